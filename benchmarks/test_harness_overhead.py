"""Does the harness cost anything? Steps of a run against a tuned plain loop over the same parts.

Both play the alternating rule with nonsat and Adam on the same modules, data, batch size and
precision. Blocks of steps alternate (ABBA…), so that a machine that slows down slows both; the
figure is the median over pairs of blocks of plain time over harness time, of the wall clock and of
CPU time. Budget: at least 1.00.

    make bench
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from plain_loop import PlainLoop

from ganbench.devices import set_up
from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated
from ganbench.training import Training

PAIRS = 20
BLOCK_S = 0.4


def seconds(play, steps: int) -> tuple[float, float]:
    """Wall-clock and CPU time of a block."""
    wall, cpu = time.perf_counter(), time.process_time()
    play(steps)
    return time.perf_counter() - wall, time.process_time() - cpu


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [64, 128])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_harness_overhead(benchmark, network, batch_size, precision):
    spec = RunSpec(
        generator=network,
        discriminator=network,
        opt="adam",
        device="cpu",
        batch_size=batch_size,
        precision=precision,
    )
    plan = make_plan(spec, default_registry())
    data = plan.data.create(None)
    set_up(torch.device("cpu"), None, precision)  # for both, as a run does
    with isolated():
        plain = PlainLoop(plan, data)
        game = build_game(plan, data, torch.device("cpu"))
        training = Training(game, plan.rule.create(), steps=10**9, warmup_steps=0)

        def play_harness(count: int) -> None:
            training._play_chunk(count)  # what a run repeats, its clock and history included

        plain.play(2)
        play_harness(2)
        per_step, _ = seconds(plain.play, 2)
        steps = max(2, round(BLOCK_S / (per_step / 2)))
        plain_s, harness_s = [], []
        for i in range(PAIRS):
            order = [(plain.play, plain_s), (play_harness, harness_s)]
            for play, spent in order if i % 2 else reversed(order):
                spent.append(seconds(play, steps))
        benchmark.pedantic(play_harness, args=(steps,), rounds=3)
    ratios = np.array(plain_s) / np.array(harness_s)
    (low, wall, high), cpu = np.percentile(ratios[:, 0], [25, 50, 75]), np.median(ratios[:, 1])
    benchmark.extra_info["harness_steps_per_plain_step"] = round(float(wall), 4)
    benchmark.extra_info["the_same_in_cpu_time"] = round(float(cpu), 4)
    print(
        f"\n{network} batch {batch_size} {precision}: ratio {wall:.3f} "
        f"(quartiles {low:.3f} to {high:.3f}), of CPU time {cpu:.3f}"
    )
