"""SIGKILL at ten random moments of a run with checkpoints, then the same command: the same bits."""

from __future__ import annotations

import contextlib
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
HELD_FROM = STEPS * 3 // 4
# `ganbench`, which waits there until it is killed: who kills it can't come too late.
HELD = f"""
import os, time
from ganbench.cli import main
from ganbench.training import Training
play, parent = Training._play_chunk, os.getppid()
def play_or_wait(self, length):
    while self.game.step >= {HELD_FROM} and os.getppid() == parent:
        time.sleep(0.01)
    return play(self, length)
Training._play_chunk = play_or_wait
main()
"""
RUN = [
    *("run", "--generator", "mlp:hidden=[32]"),
    *("--discriminator", "mlp:hidden=[32]", "--loss", "nonsat+instance-noise", "--opt", "adam"),
    *("--steps", str(STEPS), "--batch-size", "32", "--n-samples", "500", "--metrics", "fid"),
    *("--checkpoint-every", str(EVERY), "--threads", "1", "--device", "cpu", "--quiet"),
]


def start(out: Path, *program: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, *(program or ("-m", "ganbench")), *RUN, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def record_in(out: Path) -> dict:
    (folder,) = (out / "runs").iterdir()
    return json.loads((folder / "record.json").read_text())


def step_of(out: Path) -> int:
    """The step of the last checkpoint, or −1."""
    with contextlib.suppress(FileNotFoundError):  # the folder goes when the run has ended
        for pointer in out.glob("checkpoints/*/checkpoint.json"):
            return int(json.loads(pointer.read_text())["step"])
    return -1


@pytest.mark.slow
def test_a_run_killed_at_ten_random_moments_ends_with_the_bits_of_one_that_was_not(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(whole))
    dice = random.Random()  # other moments each time, whatever the seed of the tests
    moments = sorted(dice.randrange(HELD_FROM) for _ in range(10))
    for moment in moments:
        process = start(killed, "-c", HELD)
        while step_of(killed) < moment:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        time.sleep(dice.random() * 0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
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
