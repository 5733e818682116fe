"""`ganbench run` and `ganbench table` as a user starts them: processes, exit codes, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ganbench import RunRecord

COMMAND = [sys.executable, "-m", "ganbench"]
SMALL = [
    *("run", "--steps", "40", "--batch-size", "8", "--n-samples", "64"),
    *("--threads", "1", "--device", "cpu"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def ganbench(*args: object, cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=600,
        **options,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def first(home) -> subprocess.CompletedProcess[str]:
    """The main command at a small size, in a fresh folder."""
    return ganbench(*SMALL, "--loss", "nonsat", "--opt", "sgd", cwd=home)


@pytest.fixture(scope="module")
def again(home, first) -> subprocess.CompletedProcess[str]:
    """The same command again, for its JSON."""
    return ganbench(*SMALL, "--loss", "nonsat", "--opt", "sgd", "--json", cwd=home)


@pytest.fixture(scope="module")
def diverged(home, first) -> subprocess.CompletedProcess[str]:
    return ganbench(*SMALL, "--loss", "wgan", "--opt", "sgd:lr=1e30", cwd=home)


def test_a_run_exits_with_0_and_leaves_tables_and_one_run_folder(home, first):
    assert first.returncode == 0, first.stderr
    results = home / "results"
    (folder,) = [p for p in (results / "runs").iterdir() if "wgan" not in p.name]
    names = {p.name for p in folder.iterdir()}
    assert names >= {"record.json", "history.csv", "samples.png", "generator.safetensors"}
    for name in ("throughput.csv", "throughput.md", "fid.csv", "fid.md"):
        assert (results / name).stat().st_size > 0


def test_the_summary_names_the_numbers_their_extractor_and_files_that_exist(home, first):
    out = first.stdout
    assert out.startswith("completed: 40 steps")
    for text in ("images/s", "ms/step", "FID (fmnist-cnn-v1)", "64 generated against 10,000 real"):
        assert text in out
    paths = [word for word in out.split() if word.startswith("results/")]
    assert len(paths) == 6
    assert all((home / path).is_file() for path in paths)


def test_progress_goes_to_stderr_as_plain_lines_and_no_warning_comes_with_it(first):
    lines = first.stderr.splitlines()
    assert lines[0].startswith("run mlp-nonsat-sgd-fashion-mnist-10k-s0-")
    assert lines[-1] == "evaluating fid, kid, precision-recall"
    steps = lines[1:-1]  # one, or some more on a machine that stops for seconds
    assert all(line.startswith("step ") for line in steps)
    assert steps[-1].startswith("step 40/40")
    assert "it/s" in steps[-1]
    assert "d_nonsat" in steps[-1]
    assert "\x1b" not in first.stderr


def test_the_same_command_finds_the_finished_run_and_says_so(home, first):
    before = (home / "results" / "throughput.csv").read_text()
    found = ganbench(*SMALL, "--loss", "nonsat", "--opt", "sgd", cwd=home)
    assert found.returncode == 0
    assert found.stdout.startswith("already done")
    assert "--force" in found.stdout
    assert found.stderr == ""
    assert before in (home / "results" / "throughput.csv").read_text() + before


def test_json_is_the_record_and_nothing_else(again):
    assert again.returncode == 0
    record = RunRecord.model_validate_json(again.stdout)
    assert record.status == "completed"
    assert record.spec.opt_g == "sgd"
    assert set(record.evaluated.values) >= {"fid", "kid", "kid_std", "precision", "recall"}


def test_a_diverged_run_is_a_result_that_stays_in_both_tables(home, diverged):
    assert diverged.returncode == 0
    assert diverged.stdout.startswith("diverged at step ")
    for name in ("throughput.csv", "fid.csv"):
        table = pd.read_csv(home / "results" / name)
        assert "diverged" in set(table["status"])
    (folder,) = (home / "results" / "runs").glob("*wgan*")
    assert (folder / "history.csv").read_text().startswith("step,nimg,")


def test_table_prints_both_tables_and_rebuilds_deleted_ones(home, first):
    (home / "results" / "fid.csv").unlink()
    shown = ganbench("table", cwd=home)
    assert shown.returncode == 0
    assert "| images/s" in " ".join(shown.stdout.split())
    assert "FID (fmnist-cnn-v1)" in shown.stdout
    assert (home / "results" / "fid.csv").is_file()


def test_table_as_json_has_the_rows_of_both(home, first):
    tables = json.loads(ganbench("table", "results", "--json", cwd=home).stdout)
    row = next(row for row in tables["fid"] if row["loss"] == "nonsat")
    assert row["extractor"] == "fmnist-cnn-v1"
    assert isinstance(row["fid"], float)
    assert {row["run_id"] for row in tables["throughput"]} >= {row["run_id"]}


def test_quiet_prints_nothing(home, tmp_path):
    done = ganbench(*SMALL, "--metrics", "none", "--quiet", "--out", tmp_path / "r", cwd=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_preset_and_settings_reach_the_run(home, tmp_path):
    args = ["--config", "article-as-printed", "--set", "seed=4", "--metrics", "none", "--json"]
    done = ganbench(*SMALL, *args, "--out", tmp_path / "r", cwd=home)
    spec = RunRecord.model_validate_json(done.stdout).spec
    assert (spec.loss, spec.rule, spec.seed, spec.steps) == ("nonsat-negated", "joint", 4, 40)


def test_on_a_terminal_there_is_a_bar_with_its_rate_and_losses(home, tmp_path):
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *SMALL, "--metrics", "none", "--out", str(tmp_path / "r")],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(slave)
    shown = b""
    try:
        while block := os.read(master, 65536):
            shown += block
    except OSError:  # Linux reports the end of a terminal this way
        pass
    out, _ = process.communicate(timeout=600)
    os.close(master)
    assert process.returncode == 0
    assert b"it/s" in shown
    assert b"d_nonsat" in shown
    assert b"\x1b[" in shown
    assert out.startswith(b"completed")


def test_who_reads_only_the_first_lines_gets_no_complaint(home):
    process = subprocess.Popen(
        [*COMMAND, "plugins", "list"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=600)
    assert err == ""


def test_two_processes_at_the_same_run_at_once_both_succeed_and_leave_one_run(tmp_path):
    started = [
        subprocess.Popen(
            [*COMMAND, *SMALL, "--metrics", "none", "--out", str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        for _ in range(2)
    ]
    for process in started:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    assert len(pd.read_csv(tmp_path / "throughput.csv")) == 1
    assert len(list((tmp_path / "runs").iterdir())) == 1
