"""What 100 installed plugins cost. Budget: 50 ms of `ganbench --help`, nothing of a step.

make bench
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganbench.discovery import Settings, find_sources
from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.registry import Registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

SOURCE = """
from ganbench import hookimpl

@hookimpl
def ganbench_losses():
    return {{"trivial-{i}": "ganbench.builtin.losses.classic:hinge"}}
"""


@pytest.fixture(params=[0, 100], ids="{}_plugins".format)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with that many trivial packages."""
    for i in range(request.param):
        (tmp_path / f"trivial_{i}.py").write_text(SOURCE.format(i=i))
        info = tmp_path / f"trivial_{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trivial-{i}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ganbench]\ntrivial-{i} = trivial_{i}\n")
    return tmp_path


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["plugins", "list"]], ids=" ".join)
def test_the_shell_s_answer(benchmark, site, args):
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, "-m", "ganbench", *args],),
        kwargs={
            "check": True,
            "stdout": subprocess.DEVNULL,
            "env": {**os.environ, "PYTHONPATH": path},
        },
        rounds=15,
        warmup_rounds=2,
    )


def test_a_step(benchmark, site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    registry = Registry(*find_sources(Settings()))
    spec = RunSpec(data="ring8", metrics=(), batch_size=64, device="cpu")
    plan = make_plan(spec, registry)
    torch.set_num_threads(1)
    with isolated():
        game = build_game(plan, plan.data.create(None), torch.device("cpu"))
        benchmark.pedantic(game.play, args=(plan.rule.create(),), rounds=200, warmup_rounds=20)
