"""The scripts that measure the gate's error rates, and what they have kept."""

from __future__ import annotations

import csv
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / "data" / "perf"


@pytest.fixture
def script(monkeypatch):
    """script(name) -> the module scripts/<name>.py."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["item", "dataloader", "fused", "frozen", "leak", "slow"])
def test_a_planted_copy_plays_a_step_and_differs_from_the_package(script, tmp_path, kind):
    planted = script("planted")
    one = planted.extra_work(8) if kind == "slow" else planted.PLANTS[kind]
    folder = planted.plant(one, tmp_path)
    for name, _, new in one.edits:
        text = (folder / "ganbench" / name).read_text("utf-8")
        assert new in text
        assert text != (planted.PACKAGE / name).read_text("utf-8")
    code = f"""
import sys; sys.path.insert(0, {str(folder)!r})
import torch, ganbench; assert ganbench.__file__.startswith({str(folder)!r})
from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
plan = make_plan(RunSpec(device="cpu", metrics="none", threads=1), default_registry())
game = build_game(plan, plan.data.create(None), torch.device("cpu"))
game.play(plan.rule.create())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_replay_of_blocks_that_are_all_alike_gives_the_change_they_have(script):
    replay = script("perf_replay")
    logs = np.zeros((12, 4, 3))
    logs[..., 1] = np.log(1.05)  # head takes 5 % longer in each block
    change, twin = replay.draw(replay.Run(logs, 1.0), 20, np.random.default_rng(0))
    assert change == pytest.approx([np.log(1.05)] * 20)
    assert twin == [0.0] * 20


def recorded() -> dict[str, dict[str, str]]:
    if not (DATA / "replays.csv").exists():
        pytest.skip("no replays are kept: scripts/perf_evidence.py records and replays them")
    with (DATA / "replays.csv").open() as file:
        return {row["question"]: row for row in csv.DictReader(file)}


def test_the_replays_that_are_kept_can_be_replayed_from_the_evidence_that_is_kept(script):
    """Some of them, with other random numbers: within 4 standard errors of what is kept."""
    kept = recorded()
    replay = script("perf_replay")
    for question, kinds, threshold in replay.QUESTIONS:
        if question not in kept:
            continue
        runs = replay.recorded_runs(DATA, kinds)
        rng, times = np.random.default_rng(1), 100
        found = [
            replay.replay_once(runs[rng.integers(len(runs))], threshold, rng)[0]
            for _ in range(times)
        ]
        share = int(kept[question]["regressed"]) / int(kept[question]["replays"])
        error = (share * (1 - share) / times) ** 0.5 + 1 / times
        assert found.count("regressed") / times == pytest.approx(share, abs=4 * error), question
