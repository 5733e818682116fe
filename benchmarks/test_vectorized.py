"""What do S seeds at once cost beside one? Steps of the vectorised game against one plain run's.

Blocks of steps alternate (ABAB…), so that a machine that slows down slows both; the figure is the
median over pairs of blocks of vectorised over plain CPU time, wall time beside it, and so beside
the same steps from a tape, as a run plays them by default. Budget: at most S for `mlp` at batch
128. A plain step's threads hand each other more than those of S seeds at once, so that pairs during
which the cores shared no cache have a figure of their own. Peak memory is that of the process while
each trains.

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
    rule = plans[0].rule.create()
    devices.set_up(CPU, None, "fp32")  # as a run does
    with isolated():
        plain, taped = (build_game(plans[0], data, CPU) for _ in "ab")
        from_a_tape = as_a_run_plays(plans[0].spec, taped, plans[0].rule.create())
        many = build_vector_game(plans, data, CPU)

        def play_plain() -> None:
            for _ in range(steps):
                plain.play(rule)

        def play_taped() -> None:
            for _ in range(steps):
                taped.play(from_a_tape)

        def play_many() -> None:
            for _ in range(steps):
                many.play(rule)

        for _ in range(WARMUP_STEPS + 1):
            taped.play(from_a_tape)
        memory = peak_mb(play_plain), peak_mb(play_many)
        pairs, handovers = [], [handover_ratio()]
        for _ in range(PAIRS):
            turns = play_plain, play_many, play_taped, play_many
            pairs.append([seconds(play) for play in turns])
            handovers.append(handover_ratio())
        benchmark.pedantic(play_many, rounds=3)
        many.lockstep.close()
    plain_s, many_s, taped_s, again_s = np.moveaxis(np.array(pairs), 1, 0)
    ratios, of_taped = many_s / plain_s, again_s / taped_s
    apart = np.maximum(handovers[:-1], handovers[1:]) >= APART
    for name, chosen in [
        ("cpu_time_of_plain_runs", ratios[~apart]),
        ("the_same_with_no_cache_shared", ratios[apart]),
        ("cpu_time_of_runs_from_a_tape", of_taped[~apart]),
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
