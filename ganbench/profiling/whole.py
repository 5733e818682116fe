"""Time of a step that is played as a whole: from a tape, or as a CUDA graph."""

from __future__ import annotations

import time

import numpy as np
import torch

from ganbench import devices
from ganbench.game import Game
from ganbench.graphs.check import as_a_run_plays
from ganbench.graphs.rule import WARMUP_STEPS
from ganbench.plan import Plan

__all__ = ["seconds_as_a_whole"]


def seconds_as_a_whole(plan: Plan, game: Game, device: torch.device, steps: int) -> float | None:
    """Median seconds of `steps` steps; None if a run of `plan` plays its steps piece by piece."""
    rule = plan.rule.create()
    whole = as_a_run_plays(plan.spec, game, rule)
    if whole is rule:
        return None
    for _ in range(WARMUP_STEPS + 1):
        game.play(whole)
    spent = []
    for _ in range(steps):
        devices.synchronize(device)
        started = time.perf_counter()
        game.play(whole)
        devices.synchronize(device)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))
