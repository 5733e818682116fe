"""Runs that end early: Ctrl-C, a full disk, a failure within."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganbench import load_records

COMMAND = [sys.executable, "-m", "ganbench", "run"]
TINY = [
    *("--generator", "mlp:hidden=[16]", "--discriminator", "mlp:hidden=[16]"),
    *("--batch-size", "8", "--threads", "1", "--device", "cpu", "--metrics", "none"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(out: Path, *args: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *TINY, *args, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **variables},
    )


def said_until_training(process: subprocess.Popen[str]) -> str:
    """What stderr says until training is about to begin."""
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("run "):
            return said
    raise AssertionError(f"it ended before it began: {said}")


def wait_for(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until it is true, while the process runs."""
    deadline = time.monotonic() + 400
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def step_saved(out: Path) -> int:
    """The step of the last checkpoint of the only run, or 0."""
    for pointer in out.glob("checkpoints/*/checkpoint.json"):
        return int(json.loads(pointer.read_text())["step"])
    return 0


def test_ctrl_c_leaves_an_interrupted_record_and_the_same_command_goes_on(tmp_path):
    steps = [0]
    for attempt in range(2):
        process = start(tmp_path, "--steps", "10000000", "--checkpoint-every", "100")
        said = said_until_training(process)
        wait_for(lambda: step_saved(tmp_path) > steps[-1], process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert out.startswith("interrupted after step ")
        assert "the same command goes on" in out
        (record,) = load_records(tmp_path)
        assert record.status == "interrupted"
        assert (f"going on from step {steps[-1]}" in said) == (attempt == 1)
        assert record.steps_done > steps[-1]
        steps.append(record.steps_done)


def test_a_stop_before_training_leaves_nothing(tmp_path):
    """The signal comes in the midst of `import torch`, which here takes as long as need be."""
    (tmp_path / "torch").mkdir()
    slow = f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
    (tmp_path / "torch" / "__init__.py").write_text(slow + "time.sleep(600)\n")
    process = start(tmp_path / "r", "--steps", "10", PYTHONPATH=str(tmp_path))
    wait_for((tmp_path / "begun").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out, "Traceback" in err) == (130, "", False), err
    assert not (tmp_path / "r").exists()


def test_a_failed_run_exits_with_1_and_names_the_traceback_file(
    tmp_path, ganbench_cli, monkeypatch
):
    """A fault that no check foresees: an optimizer that breaks at its third step."""
    import torch

    step, calls = torch.optim.SGD.step, []

    def broken(self, closure=None):
        calls.append(1)
        if len(calls) > 6:
            raise ZeroDivisionError("boom")
        return step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", broken)
    answer = ganbench_cli("run", *TINY, "--opt", "sgd", "--steps", "50", "--out", tmp_path)
    assert answer.code == 1
    assert "error: the run failed: ZeroDivisionError: boom" in answer.err
    assert "Traceback" not in answer.err + answer.out
    (record,) = load_records(tmp_path)
    assert record.status == "failed"
    assert "boom" in (tmp_path / "runs" / record.run_id / "error.txt").read_text()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 KB."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_explained_and_leaves_no_half_run(small_disk, ganbench_cli):
    big = ["--steps", "3", "--batch-size", "8", "--metrics", "none", "--threads", "1"]
    answer = ganbench_cli("run", *big, "--device", "cpu", "--out", small_disk / "r")
    assert answer.code == 1
    assert answer.err.splitlines()[-1].startswith(
        "error: the run's files can't be written: No space"
    )
    assert "Traceback" not in answer.err
    assert not list((small_disk / "r").glob("runs/*"))
    assert not list((small_disk / "r").glob("runs/.*.tmp"))
