"""The fixture `ganbench_case`, in pytest processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganbench.compare import compare_places

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SPEED = """
def test_speed(ganbench_case):
    ganbench_case(rounds=5, loss="nonsat", opt="adam", batch_size=8)
"""


def run_pytest(folder: Path, source: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """pytest with the plugin, whether or not this checkout's entry points are installed."""
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "ganbench.pytest_plugin", *flags]
    # A pytest of its own, also under pytest-xdist, where pytest-benchmark switches itself off.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """The JSON of one restart."""
    folder = tmp_path_factory.mktemp("measured")
    done = run_pytest(folder, SPEED, "--benchmark-json", "speed.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "speed.json"


def test_three_lines_are_a_benchmark_that_says_what_it_measured(measured):
    (one,) = json.loads(measured.read_text())["benchmarks"]
    extra = one["extra_info"]["ganbench"]
    assert one["stats"]["rounds"] == 5
    assert (extra["spec"]["loss"], extra["spec"]["batch_size"]) == ("nonsat", 8)
    assert extra["environment"]["threads"] == 1
    assert extra["images_per_step"] == 8
    assert extra["peak_memory_mb"] > 50
    wall_ms = 1e3 * one["stats"]["median"] / extra["steps_per_round"]
    assert 0 < extra["cpu_ms_per_step"] < 1.5 * wall_ms  # one thread: not more CPU than wall time


def test_its_json_feeds_compare(measured):
    report = compare_places(str(measured), str(measured))
    figures = {row.metric: row for row in report.rows}
    assert figures.keys() == {"time", "cpu_time", "peak_memory"}
    assert figures["cpu_time"].worsening == 0
    assert figures["cpu_time"].verdict == "inconclusive"  # one restart is never a pass
    assert report.problem is None


def test_switched_off_it_plays_once_and_a_wrong_setting_fails_with_the_message_alone(tmp_path):
    wrong = SPEED.replace("test_speed", "test_wrong").replace("nonsat", "nonsatt")
    done = run_pytest(tmp_path, SPEED + wrong, "--benchmark-disable")
    assert "1 failed, 1 passed" in done.stdout
    assert "no loss 'nonsatt'; did you mean 'nonsat'?" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_pytest_benchmark_the_message_says_what_to_install(tmp_path):
    done = run_pytest(tmp_path, SPEED, "-p", "no:benchmark")
    assert done.returncode == 1
    assert "needs pytest-benchmark" in done.stdout
    assert "pip install pytest-benchmark" in done.stdout


def test_who_does_not_use_it_imports_nothing_heavy(tmp_path):
    source = """
import sys

def test_nothing():
    assert "ganbench.pytest_plugin" in sys.modules
    assert not {"torch", "numpy", "pandas", "typer", "pydantic"} & sys.modules.keys()
"""
    done = run_pytest(tmp_path, source)
    assert done.returncode == 0, done.stdout


def test_the_package_registers_the_plugin_under_its_own_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # the same name as -p takes, so that pytest never registers the module twice
    assert project["entry-points"]["pytest11"] == {
        "ganbench.pytest_plugin": "ganbench.pytest_plugin"
    }
