"""Sweeps on a real SLURM cluster: arrays, scancel, a drained node, a login process that dies.

`scripts/slurm.sh run .venv/bin/python -m pytest -m slurm` brings a cluster up for them.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ganbench.store import load_records


def answer(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else ""


HERE = shutil.which("sbatch") and answer("sinfo", "--noheader", "--format=%N")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(not HERE, reason="no SLURM cluster answers: scripts/slurm.sh up"),
    pytest.mark.timeout(1800),
]
GRID = [
    *("--generator", "mlp:hidden=[8]", "--discriminator", "mlp:hidden=[8]", "--data", "ring8"),
    *("--metrics", "none", "--batch-size", "16", "--device", "cpu", "--z-dim", "4"),
    *("--seed", "0..3", "--steps", "4000", "--checkpoint-every", "250", "--no-rehearse"),
    *("--plugin", str(Path(__file__).with_name("held.py")), "--loss", "held"),
]
SLURM = ["--backend", "slurm", "--slurm-comment", "a test of ganbench"]


def ganbench(*words: object, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ganbench", *map(str, words)]
    environment = {**os.environ, **variables}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=900)
    return process.returncode, out, err


def start(out: Path, *more: str, held: Path | None = None) -> subprocess.Popen[str]:
    """The sweep, whose runs wait in the midst of training while `held` is there."""
    words = ("sweep", *GRID, *SLURM, "--out", out, "--json", *more)
    return ganbench(*words, HELD_WHILE=str(held or ""))


def same_command_completes_it(out: Path, expected: dict) -> dict:
    code, said, err = finish(start(out))
    assert code == 0, err
    assert {r.run_id: r.weights_sha256 for r in load_records(out)} == expected
    assert [p for p in (out / "runs").iterdir() if p.name.startswith(".")] == []
    return json.loads(said)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 400
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


def checkpoints(out: Path) -> list[Path]:
    return sorted(map(Path, glob.glob(f"{out}/checkpoints/*/checkpoint.json")))


def arrays(out: Path) -> list[str]:
    return sorted(file.stem for file in (out / "slurm").glob("*.json"))


def records(out: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in out.glob("runs/[!.]*/record.json")}


@pytest.fixture
def held(tmp_path_factory) -> Path:
    """A file that holds runs as long as it is there."""
    file = tmp_path_factory.mktemp("held") / "held"
    file.touch()
    return file


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, str | None]:
    """The weights of the same sweep in one process."""
    out = tmp_path_factory.mktemp("serial")
    code, _, err = finish(ganbench("sweep", *GRID, "--backend", "serial", "--out", out))
    assert code == 0, err
    weights = {record.run_id: record.weights_sha256 for record in load_records(out)}
    assert None not in weights.values()
    return weights


def test_an_array_job_gives_the_weights_of_one_process(tmp_path, expected):
    told = same_command_completes_it(tmp_path, expected)
    assert (told["done"], told["ran_now"]) == (4, 4)
    assert len(arrays(tmp_path)) == 1
    before = records(tmp_path)
    told = same_command_completes_it(tmp_path, expected)
    assert (told["ran_now"], records(tmp_path)) == (0, before)


def test_what_scancel_stops_the_same_command_goes_on_with(tmp_path, expected, held):
    process = start(tmp_path, held=held)
    until(lambda: arrays(tmp_path) and checkpoints(tmp_path))
    (array,) = arrays(tmp_path)
    answer("scancel", f"{array}_0")
    until(lambda: "0" not in [task for task, _ in queue(array)])
    held.unlink()
    code, said, err = finish(process)
    # A task that SLURM had to kill is lost, and tried once more at once; one that saved what it had
    # waits for the next command.
    assert code == (1 if json.loads(said)["not_done"] else 0), err
    done = {r.run_id for r in load_records(tmp_path) if r.status == "completed"}
    before = records(tmp_path)
    same_command_completes_it(tmp_path, expected)
    assert all(records(tmp_path)[run_id] == before[run_id] for run_id in done)


def test_a_drained_node_keeps_runs_waiting_until_it_is_back(tmp_path, expected):
    node = HERE.split()[0]
    answer("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    try:
        code, said, err = finish(start(tmp_path, "--detach"))
        assert code == 0, err
        told = json.loads(said)
        (array,) = arrays(tmp_path)
        assert [task["task"] for task in told["tasks"]] == [f"{array}_{i}" for i in range(4)]
        assert {task["run_id"] for task in told["tasks"]} == expected.keys()
        assert all(task["submitted"] for task in told["tasks"])
        code, said, err = finish(start(tmp_path, "--detach"))
        assert [task["submitted"] for task in json.loads(said)["tasks"]] == [False] * 4, err
        code, said, err = finish(ganbench("status", tmp_path, "--json"))
        assert json.loads(said)["states"] == {"waiting": 4}, err
    finally:
        answer("scontrol", "update", f"nodename={node}", "state=resume")
    told = same_command_completes_it(tmp_path, expected)
    assert told["done"] == 4
    assert len(arrays(tmp_path)) == 1, "what was in the queue was submitted again"
    code, said, err = finish(ganbench("collect", tmp_path, "--json"))
    assert (code, json.loads(said)["states"]) == (0, {"completed": 4}), err


def queue(array: str) -> list[list[str]]:
    """Number and state of each task that is in the queue."""
    command = ["squeue", "--noheader", "--array", "--format=%K %T", f"--jobs={array}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 or "Invalid job id" in done.stderr, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


URGENT = ["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"]


@pytest.mark.parametrize(
    "stop",
    [["scontrol", "requeue"], ["scancel", "--signal=USR2"], URGENT],
    ids=["requeued", "time is up", "pre-empted"],
)
def test_a_task_that_is_put_back_goes_on_from_where_it_was_to_the_same_weights(
    tmp_path, expected, held, stop
):
    if stop is URGENT and not answer("sinfo", "--noheader", "--partition=urgent"):
        pytest.skip("this cluster has no partition that pre-empts; scripts/slurm.sh makes one")
    process = start(tmp_path, held=held)
    until(lambda: arrays(tmp_path) and checkpoints(tmp_path))
    (array,) = arrays(tmp_path)
    (checkpoint, *_) = checkpoints(tmp_path)
    run_id = checkpoint.parent.name
    task = str(
        json.loads((tmp_path / "slurm" / f"{array}.json").read_text())["run_ids"].index(run_id)
    )
    # scancel tries again until a job that is already on its way out takes the signal.
    victim = [] if stop is URGENT else [f"{array}_{task}"]
    stopping = subprocess.Popen([*stop, *victim], stderr=subprocess.DEVNULL)
    try:
        until(lambda: [task, "PENDING"] in queue(array))
    finally:
        stopping.kill()
        stopping.wait()
    if "scancel" in stop:  # USR2, which is what comes before the time is up
        record = json.loads((tmp_path / "runs" / run_id / "record.json").read_text())
        assert record["status"] == "interrupted"
        assert json.loads(checkpoint.read_text())["step"] == record["steps_done"]
    assert checkpoint.exists()
    held.unlink()
    code, said, err = finish(process)
    assert (code, json.loads(said)["done"]) == (0, 4), err
    assert {r.run_id: r.weights_sha256 for r in load_records(tmp_path)} == expected
    assert arrays(tmp_path) == [array], "what was put back was submitted again"


def test_a_killed_login_process_loses_nothing_and_nothing_is_submitted_twice(
    tmp_path, expected, held
):
    process = start(tmp_path, held=held)
    until(lambda: arrays(tmp_path) and checkpoints(tmp_path))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    held.unlink()
    same_command_completes_it(tmp_path, expected)
    assert len(arrays(tmp_path)) == 1


def test_ctrl_c_cancels_what_was_submitted(tmp_path, expected, held):
    process = start(tmp_path, held=held)
    until(lambda: arrays(tmp_path) and checkpoints(tmp_path))
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    (array,) = arrays(tmp_path)
    until(lambda: not queue(array))
    held.unlink()
    same_command_completes_it(tmp_path, expected)
