"""`ganbench perf --instructions`: counts by the real valgrind, of fake installations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_ganbench import write_installation

import ganbench
from ganbench.errors import UsageError
from ganbench.perf import instructions
from ganbench.perf.instructions import (
    Counts,
    check_device,
    count,
    instructions_row,
    need_valgrind,
)
from ganbench.perf.servers import SideFailed

VALGRIND = pytest.mark.skipif(
    shutil.which("valgrind") is None or shutil.which("vgdb") is None,
    reason="valgrind is not installed: nothing counts instructions here",
)
CASES = {"case": {"loss": "nonsat"}}


@VALGRIND
def test_equal_code_counts_equal_and_a_second_loop_counts_as_the_first(tmp_path):
    """A step is a sum over 4,000 numbers; head's is two of them."""
    base = write_installation(tmp_path / "base", work=4000)
    head = write_installation(tmp_path / "head", "head", before_step="sum(range(4000))", work=4000)
    found, _ = count(base, head, CASES)
    counts = found["case"]
    assert counts.twin == pytest.approx(counts.base, rel=1e-3)
    # 4,000 additions of some hundred instructions beside one call of play: twice the loop is twice
    # the count, less under 1 %.
    assert counts.head / counts.base == pytest.approx(2, rel=0.01)


@VALGRIND
def test_a_step_counts_the_same_however_many_are_counted(tmp_path, monkeypatch):
    base = write_installation(tmp_path / "base", work=4000)
    few, _ = instructions._count_one(base, "case", CASES["case"])
    monkeypatch.setattr(instructions, "MANY", 9)
    many, _ = instructions._count_one(base, "case", CASES["case"])
    # Two requests of a worker differ by some thousand instructions, of 3 and of 8 steps.
    assert many == pytest.approx(few, rel=5e-3)
    assert few > 4000  # an addition is an instruction at least


@VALGRIND
def test_the_command_gates_instructions_if_asked_to(tmp_path):
    """Counting says that head is worse however short the timing is."""
    write_installation(tmp_path / "base", work=4000)
    write_installation(tmp_path / "head", work=4400)
    command = [sys.executable, "-m", "ganbench", "perf", "--instructions", "--max-time", "0.1"]
    command += ["--base-path", str(tmp_path / "base"), "--head-path", str(tmp_path / "head")]
    command += ["--fail-above", "instructions=5%", "--json", "--quiet"]
    root = Path(ganbench.__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600)
    assert done.returncode == 3, done.stderr
    content = json.loads(done.stdout)
    (row,) = (row for row in content["rows"] if row["metric"] == "instructions")
    assert (row["verdict"], row["unit"]) == ("regressed", "million/step")
    assert row["worsening"] == pytest.approx(0.1, abs=0.01)  # 4,400 / 4,000, less what is around it
    assert row["low"] <= row["worsening"] <= row["high"]
    assert any("counted by callgrind with AVX2 kernels" in note for note in content["notes"])


@VALGRIND
def test_a_side_that_dies_under_valgrind_is_named_with_what_to_do(tmp_path):
    base = write_installation(tmp_path / "base")
    head = write_installation(tmp_path / "head", "head", before_step="os._exit(7)")
    with pytest.raises(SideFailed) as failure:
        count(base, head, CASES)
    said = str(failure.value)
    assert "can't be counted. Under valgrind-3" in said
    assert "head crashed: its process ended with exit code 7" in said
    assert said.endswith("Measure without --instructions, or with another valgrind")


@VALGRIND
def test_where_vgdb_may_not_use_ptrace_the_message_says_how_to_allow_it(tmp_path, monkeypatch):
    vgdb = tmp_path / "vgdb"
    vgdb.write_text("#!/bin/sh\necho 'no ptrace here' >&2\nexit 1\n")
    vgdb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    base = write_installation(tmp_path / "base")
    with pytest.raises(SideFailed, match=r"vgdb fails: no ptrace here\n.*--cap-add SYS_PTRACE"):
        count(base, base, CASES)


def row(base: float, head: float, twin: float, threshold: float = float("inf")):
    return instructions_row("case", Counts(base, head, twin), threshold)


def test_the_interval_is_against_either_count_of_base():
    one = row(100e6, 110e6, 102e6)
    assert (one.base, one.head) == (101.0, 110.0)  # million; base is the mean
    assert one.worsening == pytest.approx(110 / 101 - 1)
    assert (one.low, one.high) == pytest.approx((110 / 102 - 1, 110 / 100 - 1))
    assert not one.gated
    assert one.reason == "reported, not gated; base counted twice differs by 2 %"
    nearly = row(100e6, 110e6, 100e6 + 1)
    assert nearly.reason.endswith("differs by less than 0.001 %")  # 1 of 100 million


@pytest.mark.parametrize(
    ("head", "twin", "verdict"),
    [
        (104, 100.01, "regressed"),  # 4 % more, of 3 %
        (102, 100.01, "ok"),
        (103, 100.01, "inconclusive"),  # 2.99 % to 3 %
        (110, 120, "inconclusive"),  # base differs from itself by more
        (100, 105, "inconclusive"),  # and by more than the threshold
    ],
)
def test_a_threshold_decides_where_both_counts_of_base_agree(head, twin, verdict):
    one = row(100, head, twin, 0.03)
    assert (one.verdict, one.gated) == (verdict, True)


def test_without_valgrind_the_message_says_how_to_get_it(ganbench_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = ganbench_cli("perf", "--base-path", str(tmp_path), "--instructions")
    assert answer.code == 2
    assert "there is no valgrind on the PATH. Install it (apt-get install valgrind" in answer.err
    with pytest.raises(UsageError, match="--instructions needs valgrind"):
        need_valgrind()


def test_a_threshold_of_what_is_not_counted_is_a_usage_error(ganbench_cli):
    answer = ganbench_cli("perf", "--base-path", ".", "--fail-above", "instructions=1%")
    assert answer.code == 2
    assert "instructions, which are not counted: add --instructions" in answer.err


def test_a_device_that_valgrind_does_not_see_is_refused():
    with pytest.raises(UsageError, match="the device is cpu, cuda:0: add --device cpu"):
        check_device({"environment": {"device": ["cpu", "cuda:0"]}})
    check_device({"environment": {"device": ["cpu"]}})
