"""What do S seeds at once cost beside one? Steps of S seeds at once against those of one run.

Blocks of steps alternate (ABAB…), so that a machine that slows down slows both; the figure is the
median over pairs of blocks of vectorised over plain CPU time, wall time beside it. Both are played
from a tape where a run plays them so. Budget: at most S for `mlp` at batch 128. A plain step's
threads hand each other more than those of S seeds at once, so that pairs during which the cores
shared no cache have a figure of their own. Peak memory is that of the process while each trains.

    make bench
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from cores import APART, handover_ratio

from ganbench import devices
from ganbench.game import build_game
from ganbench.graphs.check import as_a_run_plays
from ganbench.graphs.rule import WARMUP_STEPS
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated
from ganbench.vectorize.game import build_vector_game

PAIRS = 15
CPU = torch.device("cpu")


def seconds(play: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    play()
    return time.process_time() - cpu, time.perf_counter() - wall


def peak_mb(play: Callable[[], None]) -> float:
    devices.reset_peak_memory(CPU)
    play()
    return devices.peak_memory_bytes(CPU) / 1e6


@pytest.mark.parametrize("seeds", [2, 4, 8])
@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 3),
        ({"loss": "wgan+wgan-gp"}, 2),
        ({"data": "ring8"}, 50),
    ],
    ids=["mlp", "mlp-wgan-gp", "ring8"],
)
def test_vectorized(benchmark, settings, steps, seeds):
    registry = default_registry()
    plans = [
        make_plan(RunSpec(**settings, opt="adam", device="cpu", seed=seed), registry)
        for seed in range(seeds)
    ]
    data = plans[0].data.create(None)
    devices.set_up(CPU, None, "fp32")  # as a run does
    with isolated():
        plain = build_game(plans[0], data, CPU)
        many = build_vector_game(plans, data, CPU)
        rule_of_one = rule_of_many = plans[0].rule.create()

        def play_plain() -> None:
            for _ in range(steps):
                plain.play(rule_of_one)

        def play_many() -> None:
            for _ in range(steps):
                many.play(rule_of_many)

        memory = peak_mb(play_plain), peak_mb(play_many)
        rule_of_one, rule_of_many = (
            as_a_run_plays(plans[0].spec, game, plans[0].rule.create()) for game in (plain, many)
        )
        for _ in range(WARMUP_STEPS + 1):
            plain.play(rule_of_one)
            many.play(rule_of_many)
        pairs, handovers = [], [handover_ratio()]
        for _ in range(PAIRS):
            pairs.append([seconds(play_plain), seconds(play_many)])
            handovers.append(handover_ratio())
        benchmark.pedantic(play_many, rounds=3)
        many.lockstep.close()
    ratios = np.array(pairs)[:, 1] / np.array(pairs)[:, 0]
    apart = np.maximum(handovers[:-1], handovers[1:]) >= APART
    for name, chosen in [
        ("cpu_time_of_plain_runs", ratios[~apart]),
        ("the_same_with_no_cache_shared", ratios[apart]),
    ]:
        if not len(chosen):
            continue
        (cpu, wall), (low, high) = np.median(chosen, axis=0), np.percentile(chosen[:, 0], [25, 75])
        benchmark.extra_info[name] = round(float(cpu), 3)
        print(
            f"\n{seeds} seeds, {name.replace('_', ' ')}: {cpu:.2f} (quartiles {low:.2f} to "
            f"{high:.2f}), {wall:.2f} of wall time; {len(chosen)} of {PAIRS} pairs"
        )
    benchmark.extra_info["peak_memory_mb"] = [round(one) for one in memory]
    print(f"peak memory {memory[1]:.0f} MB beside {memory[0]:.0f} MB")
