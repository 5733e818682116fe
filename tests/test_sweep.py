"""Sweeps through the command line, in real processes: what is done, what is told, what survives."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from ganbench.store import load_records

T = TypeVar("T")
SMALL = [
    *("--generator", "mlp:hidden=[8]", "--discriminator", "mlp:hidden=[8]", "--data", "ring8"),
    *("--metrics", "none", "--batch-size", "16", "--device", "cpu", "--z-dim", "4"),
]
GRID = ["--loss", "nonsat,hinge", "--opt", "adam,sgd", "--seed", "0..1", "--steps", "20"]
LONG = [
    *("--plugin", str(Path(__file__).with_name("held.py")), "--loss", "held"),
    *("--seed", "0..3", "--steps", "1500", "--checkpoint-every", "100"),
]


def start(out: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ganbench", "sweep", *SMALL, "--no-rehearse", *flags]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def sweep(out: Path, *flags: str) -> tuple[int, str, str]:
    return finish(start(out, *flags))


def weights(out: Path) -> dict[str, str | None]:
    return {record.run_id: record.weights_sha256 for record in load_records(out)}


def when(true: Callable[[], T], process: subprocess.Popen[str]) -> T:
    """What is true, as soon as it is, while the process runs."""
    deadline = time.monotonic() + 400
    while not (found := true()):
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return found


def workers_at_a_run(out: Path) -> list[psutil.Process]:
    """The workers of a sweep that hold a claim."""
    found = []
    for owner in files(out, "claims/[!.]*/*"):
        with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
            found.append(psutil.Process(json.loads(owner.read_text())["pid"]))
    return found


def files(out: Path, pattern: str) -> list[Path]:
    """Those that match now. Folders may go meanwhile, which `Path.glob` takes amiss."""
    return sorted(map(Path, glob.glob(f"{glob.escape(str(out))}/{pattern}")))


def started_at(out: Path) -> dict[str, float]:
    found = {}
    for file in files(out, "runs/[!.]*/record.json"):
        with contextlib.suppress(FileNotFoundError):
            found[file.parent.name] = file.stat().st_mtime_ns
    return found


@pytest.fixture(scope="module")
def serial_weights(tmp_path_factory) -> dict[str, str | None]:
    """What the long sweep gives if nothing happens to it."""
    out = tmp_path_factory.mktemp("serial")
    code, _, err = sweep(out, *LONG, "--backend", "serial")
    assert code == 0, err
    return weights(out)


def test_one_sweep_on_two_backends_gives_the_same_weights_and_is_then_found_done(tmp_path):
    serial, local = tmp_path / "serial", tmp_path / "local"
    for out, backend in ((serial, "serial"), (local, "local:workers=2")):
        code, said, err = sweep(out, *GRID, "--backend", backend)
        assert code == 0, err
        assert "8 of 8 runs done" in said
    assert len(weights(serial)) == 8
    assert None not in weights(serial).values()
    assert weights(serial) == weights(local)
    before = started_at(local)
    code, said, _ = sweep(local, *GRID, "--json")
    told = json.loads(said)
    assert (code, told["done"], told["ran_now"], told["not_done"]) == (0, 8, 0, [])
    assert started_at(local) == before
    assert not (local / "claims").exists()
    assert (local / "throughput.csv").read_text().count("\n") == 9


def test_one_bad_run_fails_alone_and_the_sweep_says_so(tmp_path, ganbench_cli):
    plugin = tmp_path / "bad_loss.py"
    plugin.write_text(
        "from ganbench import hookimpl\n"
        "class Bad:\n"
        "    def __init__(self): self.calls = 0\n"
        "    def d_loss(self, d, x_real, x_fake):\n"
        "        self.calls += 1\n"
        "        if self.calls > 5: raise RuntimeError('the sixth step is bad')\n"
        "        return {'bad': d(x_real).mean()}\n"
        "    def g_loss(self, d, x_real, x_fake): return {'bad': d(x_fake).mean()}\n"
        "@hookimpl\n"
        "def ganbench_losses(): return {'bad': Bad}\n"
    )
    out = tmp_path / "out"
    flags = ["--loss", "bad,nonsat", "--seed", "0..1", "--steps", "20", "-p", str(plugin)]
    code, said, err = sweep(out, *flags, "--backend", "local:workers=1", "--json")
    told = json.loads(said)
    assert (code, told["runs"], told["completed"]) == (1, 4, 2), err
    assert [one["status"] for one in told["not_done"]] == ["failed", "failed"]
    assert "the sixth step is bad" in told["not_done"][0]["error"]
    collected = ganbench_cli("collect", out)
    assert collected.code == 1
    assert collected.out.count("the sixth step is bad") == 2
    done = started_at(out)
    code, said, err = sweep(out, *flags, "--backend", "serial")
    assert code == 1
    assert "2 run(s) on serial, 2 already done" in err
    for record in load_records(out):
        tried_again = started_at(out)[record.run_id] != done[record.run_id]
        assert tried_again == (record.status == "failed")


def test_a_dry_run_lists_what_is_left_with_its_cost_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "ganbench", "sweep", *SMALL, *GRID, "--out", str(tmp_path)]

    def dry() -> dict:
        done = subprocess.run([*command, "--dry-run", "--json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    told = dry()
    assert list(tmp_path.iterdir()) == []
    assert (told["to_run"], told["already_done"]) == (8, 0)
    assert {run["estimated_from"] for run in told["runs"]} == {"rehearsal"}
    assert all(run["seconds"] > 0 and run["disk_bytes"] > 1000 for run in told["runs"])
    code, _, err = sweep(tmp_path, *GRID, "--seed", "0")
    assert code == 0, err
    told = dry()
    assert (told["to_run"], told["already_done"]) == (4, 4)
    left = [run for run in told["runs"] if run["status"] == "to run"]
    assert {run["estimated_from"] for run in left} == {"finished runs"}


@pytest.mark.slow
def test_parts_that_only_a_step_shows_not_to_fit_are_told_before_anything_runs(tmp_path):
    command = [sys.executable, "-m", "ganbench", "sweep", *SMALL, "--steps", "20"]
    flags = ["--loss", "nonsat,nonsat+diffaug", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    assert done.returncode == 2
    assert "1 of the 2 runs can't be" in done.stderr
    assert "diffaug" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_no_run_begins_after_the_budget_of_time(tmp_path):
    code, said, _ = sweep(tmp_path, *LONG, "--budget", "0.000001s", "--json", "--backend", "serial")
    told = json.loads(said)
    assert (code, told["done"]) == (1, 0)
    assert {one["status"] for one in told["not_done"]} == {"skipped"}


@pytest.mark.slow
def test_a_killed_worker_loses_only_its_run_which_a_fresh_one_does(tmp_path, serial_weights):
    (tmp_path / "held").touch()
    process = start(
        tmp_path, *LONG, "--backend", "local:workers=2", HELD_WHILE=str(tmp_path / "held")
    )
    victim, *_ = when(lambda: workers_at_a_run(tmp_path), process)
    victim.kill()
    (tmp_path / "held").unlink()
    code, said, err = finish(process)
    assert code == 0, err
    assert "4 of 4 runs done" in said
    assert weights(tmp_path) == serial_weights


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_the_same_command_and_repeats_nothing(tmp_path, serial_weights):
    one_is_done = str(tmp_path / "runs" / "[!.]*" / "record.json")
    process = start(tmp_path, *LONG, "--backend", "local:workers=1", HELD_WHILE=one_is_done)
    done = when(lambda: started_at(tmp_path), process)
    assert len(done) == 1  # the second run is held, and then leaves a record of its interruption
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    code, said, err = sweep(tmp_path, *LONG, "--backend", "local:workers=2", "--json")
    assert code == 0, err
    assert json.loads(said)["done"] == 4
    assert done.items() <= started_at(tmp_path).items(), "the finished run was repeated"
    assert weights(tmp_path) == serial_weights
    assert [p.name for p in (tmp_path / "runs").iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
def test_two_sweeps_at_once_over_one_grid_do_each_run_once(tmp_path, serial_weights):
    both = [start(tmp_path, *LONG, "--backend", "local:workers=1", "--json") for _ in range(2)]
    told = []
    for process in both:
        code, said, err = finish(process)
        assert code == 0, err
        told.append(json.loads(said))
    assert [one["done"] for one in told] == [4, 4]
    assert sum(one["ran_now"] for one in told) == 4
    assert weights(tmp_path) == serial_weights


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["serial", "local:workers=2"])
def test_ctrl_c_saves_the_runs_under_way_and_the_same_command_goes_on(
    tmp_path, serial_weights, backend
):
    saved = "checkpoints/*/checkpoint.json"
    process = start(tmp_path, *LONG, "--backend", backend, HELD_WHILE=str(tmp_path / saved))
    when(lambda: files(tmp_path, saved), process)
    process.send_signal(signal.SIGINT)
    code, said, err = finish(process)
    assert code == 130, err
    assert "the same command again" in said
    assert "Traceback" not in err
    assert any(record.status == "interrupted" for record in load_records(tmp_path))
    code, _, err = sweep(tmp_path, *LONG, "--backend", backend)
    assert code == 0, err
    assert weights(tmp_path) == serial_weights


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own, with room for about two runs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, text=True)
    if not mounted or mounted.returncode:
        pytest.skip("no file system can be mounted here, which takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_sweep_and_with_room_the_same_command_completes_it(small_disk):
    out = small_disk / "out"
    flags = ["--loss", "nonsat,hinge", "--seed", "0..7", "--steps", "20", "--backend", "serial"]
    code, said, err = sweep(out, *flags)
    assert code == 1
    assert "No space left on device" in err
    assert "Traceback" not in err
    done = started_at(out)
    whole = {record.run_id: record.status for record in load_records(out)}
    assert 0 < len(done) < 16
    assert whole == dict.fromkeys(done, "completed")
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    code, said, err = sweep(out, *flags)
    assert code == 0, err
    assert "16 of 16 runs done" in said
    assert {run_id: started_at(out)[run_id] for run_id in done} == done
    assert [p.name for p in (out / "runs").iterdir() if p.name.startswith(".")] == []


def test_a_claim_of_a_machine_that_fell_silent_is_taken_over_once(tmp_path):
    from ganbench.sweep.claims import claim, is_claimed

    owner = tmp_path / "claims" / "a-run" / "their-token"
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "began": 0.0}))
    assert is_claimed(tmp_path, "a-run")
    with claim(tmp_path, "a-run") as held:
        assert not held
    silent = time.time() - 121  # a heartbeat each 20 s; after 120 s without one it is gone
    os.utime(owner, (silent, silent))
    with claim(tmp_path, "a-run") as first, claim(tmp_path, "a-run") as second:
        assert (first, second) == (True, False)
        assert not owner.exists()
    assert not is_claimed(tmp_path, "a-run")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's /proc")
def test_a_claim_stays_where_the_clock_was_set_meanwhile(tmp_path, monkeypatch):
    from ganbench.sweep.claims import claim, is_claimed

    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    started = int(psutil.boot_time())
    text = Path("/proc/stat").read_text()
    (proc / "stat").write_text(text.replace(f"btime {started}", f"btime {started + 3600}"))
    with claim(tmp_path, "a-run"):
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))
        assert psutil.boot_time() == started + 3600
        assert is_claimed(tmp_path, "a-run")


def test_one_of_many_that_claim_at_once_gets_it(tmp_path):
    from ganbench.sweep.claims import claim

    held: list[int] = []
    begun, let_go = threading.Barrier(8), threading.Event()

    def take(number: int) -> None:
        begun.wait()
        with claim(tmp_path, "a-run") as mine:
            if mine:
                held.append(number)
                let_go.wait(240)

    takers = [threading.Thread(target=take, args=(i,)) for i in range(8)]
    for taker in takers:
        taker.start()
    deadline = time.monotonic() + 400
    while sum(taker.is_alive() for taker in takers) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    let_go.set()
    for taker in takers:
        taker.join()
    assert len(held) == 1


def test_a_backend_that_is_not_there_is_explained(tmp_path):
    for flags, told in (
        (["--backend", "locl"], "did you mean 'local'"),
        (["--backend", "local:workers=99"], "workers is 99"),
        (["--detach"], "--detach is for slurm"),
        (["--slurm-partition"], "needs a value"),
        (["--slurm-time-min", "9"], "--slurm-time-min is for --backend slurm"),
        (["--backend", "slurm", "--slurm-time-min", "0"], "time_min is 0"),
    ):
        code, _, err = sweep(tmp_path / "out", *GRID, *flags)
        assert (code, told in err, "Traceback" in err) == (2, True, False), err
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_results_folder_is_explained(tmp_path, ganbench_cli):
    file = tmp_path / "results"
    file.write_text("not a folder")
    answer = ganbench_cli("sweep", *SMALL, "--no-rehearse", "--out", file)
    assert (answer.code, answer.out) == (2, "")
    assert "where nothing can be written" in answer.err
    for command in ("status", "collect"):
        answer = ganbench_cli(command, file)
        assert (answer.code, answer.out) == (2, "")
        assert "is a file: give the results folder" in answer.err
    assert file.read_text() == "not a folder"


def test_what_is_damaged_in_a_folder_is_left_out_and_the_same_command_mends_it(
    tmp_path, ganbench_cli
):
    grid = [*SMALL, "--no-rehearse", "--steps", "20", "--seed", "0..4", "--backend", "serial"]
    command = ["sweep", *grid, "--out", tmp_path, "--json"]
    assert ganbench_cli(*command).code == 0
    whole = weights(tmp_path)
    paths = sorted(tmp_path.glob("runs/*/record.json"))
    for path, text in zip(paths, ["", "[]", '{"run_id": "half'], strict=False):
        path.write_text(text)
    paths[3].unlink()
    # A run that was killed just before its folder was renamed: its record is nobody's yet.
    shutil.copytree(paths[4].parent, paths[4].parent.with_name(f".{paths[4].parent.name}.vm-1.tmp"))
    assert [record.run_id for record in load_records(tmp_path)] == [paths[4].parent.name]
    for name, text in (("half", '{"run_ids": ["a'), ("list", "[3]"), ("other", '{"run_ids": 3}')):
        (tmp_path / "sweeps" / f"{name}.json").write_text(text)
    answer = ganbench_cli("status", tmp_path, "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["states"]) == (0, {"completed": 1, "waiting": 4})
    assert "other.json is no list of a sweep's runs" in answer.err
    assert ganbench_cli("collect", tmp_path).code == 1
    assert (tmp_path / "throughput.csv").read_text().count("\n") == 1 + 1
    told = json.loads(ganbench_cli(*command).out)
    assert (told["done"], told["ran_now"]) == (5, 4)
    assert weights(tmp_path) == whole
