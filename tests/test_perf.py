"""`ganbench perf` end to end, on installations that start at once and on this one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fake_ganbench import write_installation

import ganbench
from ganbench.errors import UsageError
from ganbench.gate.report import Report
from ganbench.gate.thresholds import Thresholds
from ganbench.perf.evidence import read_restarts
from ganbench.perf.measure import Measurement, measure
from ganbench.perf.sampling import Design

# Short chunks: a step of the fake ganbench is some tens of microseconds of work.
QUICK = Design(blocks=2, chunk_s=0.004, warmup_steps=3)
# Wide enough for a machine that does other things, too: these tests are about the path.
WIDE = Thresholds({"throughput": 0.5, "peak_memory": 0.03})


def compare(base, head, thresholds: Thresholds = WIDE, **settings) -> Report:
    wanted = Measurement(
        base, head, {"case": {"loss": "nonsat"}}, thresholds, design=QUICK, servers_per_side=2,
        **{"max_time_s": 60.0, **settings},
    )  # fmt: skip
    return measure(wanted)


@pytest.fixture
def sides(tmp_path):
    """sides(base={…}, head={…}) -> two installations."""

    def make(base: dict | None = None, head: dict | None = None):
        return [
            write_installation(tmp_path / side, side, **(options or {}))
            for side, options in (("base", base), ("head", head))
        ]

    return make


def row(report: Report, metric: str):
    return next(row for row in report.rows if row.metric == metric)


def test_twins_are_ok(sides):
    report = compare(*sides())
    assert (report.verdict, report.exit_code, report.problem) == ("ok", 0, None)


def test_twice_the_work_is_a_regression_of_throughput_and_of_nothing_else(sides):
    report = compare(*sides(head={"work": 16000}))
    assert report.exit_code == 3
    assert [r.metric for r in report.regressions()] == ["throughput"]


def test_more_memory_is_a_regression_of_memory_and_of_nothing_else(sides):
    report = compare(*sides(head={"peak": "420_000_000"}))
    assert [r.metric for r in report.regressions()] == ["peak_memory"]
    # 420 MB instead of 400: exactly 5 % in each restart
    assert row(report, "peak_memory").worsening == pytest.approx(0.05)


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_side_that_dies_is_named_and_is_no_verdict(sides, side):
    report = compare(*sides(**{side: {"before_step": "os._exit(7)"}}))
    assert report.exit_code == 1
    assert report.problem == f"{side} crashed: the worker ended with exit code 7"


def test_a_killed_worker_is_named_by_its_signal(sides):
    report = compare(*sides(head={"before_step": "os.kill(os.getpid(), signal.SIGKILL)"}))
    assert report.problem == "head crashed: the worker ended with signal 9"


def test_an_error_in_a_step_is_shown_with_its_traceback(sides):
    report = compare(*sides(head={"before_step": "1 / 0"}))
    assert report.exit_code == 1
    assert report.problem.startswith("head crashed: ZeroDivisionError: division by zero\n")
    assert "game.py" in report.problem


def test_an_error_on_import_is_shown_too(sides):
    report = compare(*sides(base={"at_import": "raise RuntimeError('no such driver')"}))
    assert report.problem.startswith("base crashed: RuntimeError: no such driver")


def test_other_versions_of_torch_are_not_compared(sides):
    report = compare(*sides(base={"torch": "2.0"}, head={"torch": "2.1"}))
    assert report.exit_code == 1
    assert "the environments differ in torch (2.0 in base, 2.1 in head)" in report.problem
    assert report.rows == ()


def test_a_spec_that_only_head_knows_is_said_to_be_unknown_to_base(sides):
    report = compare(*sides(base={"losses": ("wgan",)}))
    assert report.exit_code == 1
    assert report.problem == "base can't play this: no loss 'nonsat'"


def test_a_spec_that_nobody_knows_is_the_users_mistake(sides):
    with pytest.raises(UsageError, match=r"^no loss 'nonsat'$"):
        compare(*sides(base={"losses": ()}, head={"losses": ()}))


def test_steps_that_show_other_numbers_of_images_are_not_compared(sides):
    report = compare(*sides(head={"images": 256}))
    assert report.problem.startswith("a step shows 128 images in base and 256 in head")


def test_a_folder_that_nothing_is_imported_from_is_not_measured(sides, tmp_path):
    base, _ = sides()
    (tmp_path / "empty").mkdir()
    stray = write_installation(tmp_path / "other", "head")
    stray = type(stray)("head", stray.python, (*stray.path, tmp_path / "empty"))
    with pytest.raises(UsageError, match=r"head: nothing was imported from .*empty"):
        compare(base, stray)


def test_a_machine_where_base_differs_from_itself_gives_no_pass(sides):
    """Each process of base gets its own speed, as on a machine that is too noisy."""
    lottery = "if not hasattr(Game, 'lot'): Game.lot = (os.getpid() % 7) * 3000\n"
    lottery += "        sum(range(self.lot))"
    options = {"before_step": lottery}
    limits = Thresholds({"throughput": 0.01, "peak_memory": 0.03})
    report = compare(*sides(options, options), limits, max_time_s=4.0)
    assert report.exit_code == 4
    assert row(report, "throughput").verdict == "inconclusive"


def test_time_that_is_up_leaves_an_inconclusive_report_that_says_so(sides):
    report = compare(*sides(), max_time_s=0.01)
    assert (report.exit_code, len(report.rows)) == (4, 5)
    (note,) = report.notes
    assert re.fullmatch(r"stopped by --max-time after \d+ s and 1 restarts", note)


def left_of(session: Path) -> list[psutil.Process]:
    """The processes that carry this mark and still run: the command and its workers."""
    marker = str(session)
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("PERF_TEST") == marker
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:  # it ended while it was looked at
            continue
    return found


def start_command(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """`ganbench perf` on two fake installations; its workers carry a mark of this test."""
    for side in ("base", "head"):
        write_installation(tmp_path / side, side)
    command = [sys.executable, "-m", "ganbench", "perf", "--loss", "nonsat"]
    command += ["--base-path", str(tmp_path / "base"), "--head-path", str(tmp_path / "head")]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PERF_TEST": str(tmp_path)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_command(tmp_path, number):
    command = start_command(tmp_path, "--max-time", "600", "--fail-above", "throughput=0.001%")
    deadline = time.monotonic() + 400
    while len(left_of(tmp_path)) < 8 and time.monotonic() < deadline:  # 6 servers and a worker
        time.sleep(0.1)
    command.send_signal(number)
    _, err = command.communicate(timeout=600)
    if number != signal.SIGKILL:
        assert (command.returncode, "interrupted: no verdict" in err) == (130, True)
    deadline = time.monotonic() + 400
    while left_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_of(tmp_path) == []


def test_the_command_writes_its_report_and_its_evidence(tmp_path):
    save, junit = tmp_path / "evidence.jsonl", tmp_path / "junit.xml"
    command = start_command(
        tmp_path, "--max-time", "2", "--json", "--quiet", "--save", str(save), "--junit", str(junit)
    )
    out, err = command.communicate(timeout=600)
    content = json.loads(out)
    assert {row["metric"] for row in content["rows"]} >= {"throughput", "peak_memory", "wall_time"}
    assert command.returncode in (0, 3, 4), err
    restarts = list(read_restarts(save))
    assert len(restarts) == content["rows"][0]["n"]
    assert {chunk.arm for chunk in restarts[0].chunks} == {"base", "head", "twin"}
    assert junit.read_text().startswith("<?xml")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_a_commit_is_measured_against_the_files_as_they_are(tmp_path):
    folder = tmp_path / "repository"
    write_installation(folder, work=4000)
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    write_installation(folder, work=16000)
    save = tmp_path / "evidence.jsonl"
    script = tmp_path / "script.py"  # `-m ganbench` would find the fake one in the folder
    script.write_text("from ganbench.cli import main; main()")
    command = [sys.executable, str(script), "perf", "--base-ref", "HEAD", "--json", "--quiet"]
    command += ["--save", str(save), "--max-time", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    content = json.loads(done.stdout)
    assert content["rows"][0]["worsening"] > 1, done.stderr  # four times the work
    assert content["head"]["label"] == f"files in {folder}"
    assert len(git(folder, "worktree", "list").splitlines()) == 1  # it is gone again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to compare"),
        (["--base-python", "nowhere"], "--base-python is 'nowhere', which is no Python"),
        (["--base-path", "nowhere"], "--base-path is 'nowhere', which is not a folder"),
        (["--base-ref", "no-such-commit"], "--base-ref is 'no-such-commit', which is no commit"),
        (["--base-path", ".", "--base-ref", "main"], "give --base-ref or --base-path, not both"),
        (["--base-path", ".", "--fail-above", "fid=2%"], "no metric 'fid'"),
        (["--base-path", ".", "--max-time", "0"], "--max-time is 0"),
        (["--base-path", ".", "--case", "article", "--config", "article"], "not both"),
    ],
)
def test_mistakes_are_explained_with_exit_code_2(ganbench_cli, monkeypatch, arguments, message):
    monkeypatch.chdir(Path(ganbench.__file__).parent.parent)
    answer = ganbench_cli("perf", *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_a_short_run_of_this_installation_against_itself_is_no_regression(tmp_path):
    """The real path: real imports, real games, forked."""
    root = str(Path(ganbench.__file__).parent.parent)
    command = [sys.executable, "-m", "ganbench", "perf", "--base-path", root, "--head-path", root]
    command += ["--data", "ring8", "--generator", "mlp:hidden=[8]", "--discriminator"]
    command += ["mlp:hidden=[8]", "--max-time", "3", "--json", "--quiet", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 4), done.stderr
    content = json.loads(done.stdout)
    assert content["rows"][0]["metric"] == "throughput"
    assert content["rows"][0]["base"] > 0
