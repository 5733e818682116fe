"""What 100 installed plugins cost. Budget: 50 ms of `ganbench --help`, nothing of a step.

With and without them in turns; the figure is the median over pairs.

    pytest benchmarks/test_plugin_overhead.py -m "" --benchmark-only -s
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ganbench.discovery import Settings, find_sources
from ganbench.game import Game, build_game
from ganbench.plan import make_plan
from ganbench.registry import Registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

PAIRS = 25
STEPS = 200
SOURCE = """
from ganbench import hookimpl

@hookimpl
def ganbench_losses():
    return {{"trivial-{i}": "ganbench.builtin.losses.classic:hinge"}}
"""


def site(folder: Path, plugins: int) -> Path:
    """A folder with that many trivial packages."""
    folder.mkdir()
    for i in range(plugins):
        (folder / f"trivial_{i}.py").write_text(SOURCE.format(i=i))
        info = folder / f"trivial_{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trivial-{i}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ganbench]\ntrivial-{i} = trivial_{i}\n")
    return folder


def in_turns(without: Callable[[], object], with_them: Callable[[], object]) -> np.ndarray:
    """Seconds of each: (pairs, 2), after one of each that does not count."""
    measured = []
    for _ in range(1 + PAIRS):
        pair = []
        for run in (without, with_them):
            begun = time.perf_counter()
            run()
            pair.append(time.perf_counter() - begun)
        measured.append(pair)
    return np.array(measured[1:])


def tell(benchmark, what: str, seconds: np.ndarray) -> None:
    added = seconds[:, 1] - seconds[:, 0]
    ms = 1e3 * np.percentile(added, [50, 25, 75])
    benchmark.extra_info["added_ms"] = round(float(ms[0]), 4)
    print(
        f"\n{what}: {1e3 * np.median(seconds[:, 0]):.3f} ms; 100 plugins add {ms[0]:+.3f} ms "
        f"(quartiles {ms[1]:+.3f} to {ms[2]:+.3f})"
    )


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["plugins", "list"]], ids=" ".join)
def test_the_shell_s_answer(benchmark, tmp_path, args):
    def answer(folder: Path) -> Callable[[], object]:
        path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return lambda: subprocess.run(
            [sys.executable, "-m", "ganbench", *args],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )

    without, with_them = answer(site(tmp_path / "0", 0)), answer(site(tmp_path / "100", 100))
    tell(benchmark, f"ganbench {' '.join(args)}", in_turns(without, with_them))
    benchmark.pedantic(with_them, rounds=3)


def test_a_step(benchmark, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    spec = RunSpec(data="ring8", metrics=(), batch_size=64, device="cpu")

    def steps(plugins: int) -> Callable[[], object]:
        with monkeypatch.context() as patch:
            patch.syspath_prepend(site(tmp_path / str(plugins), plugins))
            plan = make_plan(spec, Registry(*find_sources(Settings())))
        game: Game = build_game(plan, plan.data.create(None), torch.device("cpu"))
        rule = plan.rule.create()
        return lambda: [game.play(rule) for _ in range(STEPS)]

    with isolated():
        seconds = in_turns(without := steps(0), steps(100))
        tell(benchmark, "a step", seconds / STEPS)
        benchmark.pedantic(without, rounds=3)
