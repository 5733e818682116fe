"""SIGKILL at ten random moments of a run with checkpoints, then the same command: the same bits."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

STEPS, EVERY = 4000, 100
COMMAND = [
    *(sys.executable, "-m", "ganbench", "run", "--generator", "mlp:hidden=[32]"),
    *("--discriminator", "mlp:hidden=[32]", "--loss", "nonsat+instance-noise", "--opt", "adam"),
    *("--steps", str(STEPS), "--batch-size", "32", "--n-samples", "500", "--metrics", "fid"),
    *("--checkpoint-every", str(EVERY), "--threads", "1", "--device", "cpu", "--quiet"),
]


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()


def record_in(out: Path) -> dict:
    (folder,) = (out / "runs").iterdir()
    return json.loads((folder / "record.json").read_text())


def step_of(out: Path) -> int:
    """The step of the last checkpoint, or −1."""
    for pointer in out.glob("checkpoints/*/checkpoint.json"):
        return int(json.loads(pointer.read_text())["step"])
    return -1


@pytest.mark.slow
def test_a_run_killed_at_ten_random_moments_ends_with_the_bits_of_one_that_was_not(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(whole))
    dice = random.Random()  # other moments each time, whatever the seed of the tests
    # A quarter of the run is left after the last, for this process to come to it in time.
    moments = sorted(dice.randrange(STEPS * 3 // 4) for _ in range(10))
    kills = 0
    for moment in moments:
        process = start(killed)
        while process.poll() is None and step_of(killed) < moment:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.05)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills == 10, moments
    process = start(killed)
    finish(process)
    expected, found = record_in(whole), record_in(killed)
    assert found["status"] == "completed"
    assert found["weights_sha256"] == expected["weights_sha256"], moments
    assert found["evaluated"]["values"] == expected["evaluated"]["values"]
    assert not (killed / "checkpoints").exists()


@pytest.mark.slow
def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    finish(start(tmp_path))
    (folder,) = (tmp_path / "runs").iterdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    half = folder.with_name(f".{folder.name}.{socket.gethostname()}-{dead.pid}.tmp")
    half.mkdir()
    alive = folder.with_name(f".{folder.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    alive.mkdir()
    shutil.rmtree(folder)
    finish(start(tmp_path))
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {folder.name, alive.name}


def test_two_processes_at_the_same_run_leave_one_whole_result(tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    for process in both:
        finish(process)
    assert record_in(tmp_path)["status"] == "completed"
    assert [p.name for p in (tmp_path / "runs").iterdir() if p.name.startswith(".")] == []
