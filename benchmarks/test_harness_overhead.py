"""Does the harness cost anything? Steps of a run against a tuned plain loop over the same parts.

Both play the alternating rule with nonsat and Adam on the same modules, data, batch size and
precision. Blocks of steps alternate (ABBA…), so that a machine that slows down slows both; a
process's figure is the median over pairs of blocks of plain time over harness time, of the wall
clock and of CPU time. Where tensors lie in memory moves a step by some percent from process to
process, so the figure is the median over processes, in which the two are made in turn first.
Budget: at least 1.00.

    make bench
"""

from __future__ import annotations

import json
import subprocess
import sys
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

PROCESSES = 16
PAIRS = 8
BLOCK_S = 0.4
CPU = torch.device("cpu")


def seconds(play, steps: int) -> tuple[float, float]:
    """Wall-clock and CPU time of a block."""
    wall, cpu = time.perf_counter(), time.process_time()
    play(steps)
    return time.perf_counter() - wall, time.process_time() - cpu


def ratios_here(network: str, batch_size: int, precision: str, harness_first: bool) -> list[float]:
    """This process's medians of plain time over harness time: wall clock, CPU."""
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
    set_up(CPU, None, precision)  # for both, as a run does
    with isolated():

        def make_plain():
            return PlainLoop(plan, data).play

        def make_harness():
            game = build_game(plan, data, CPU)
            training = Training(game, plan.rule.create(), steps=10**9, warmup_steps=0)
            return training._play_chunk  # what a run repeats, its clock and history included

        makers = [make_plain, make_harness]
        plays = {make: make() for make in (reversed(makers) if harness_first else makers)}
        plain, harness = plays[make_plain], plays[make_harness]
        plain(2)
        harness(2)
        per_step, _ = seconds(plain, 2)
        steps = max(2, round(BLOCK_S / (per_step / 2)))
        plain_s, harness_s = [], []
        for i in range(PAIRS):
            order = [(plain, plain_s), (harness, harness_s)]
            for play, spent in order if i % 2 else reversed(order):
                spent.append(seconds(play, steps))
    medians = np.median(np.array(plain_s) / np.array(harness_s), axis=0)
    return [float(one) for one in medians]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [64, 128])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_harness_overhead(benchmark, network, batch_size, precision):
    found = []

    def measure() -> None:
        case = [network, str(batch_size), precision, str(len(found) % 2)]
        command = [sys.executable, __file__, *case]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(answer.stdout))

    benchmark.pedantic(measure, rounds=PROCESSES)
    walls, cpus = np.array(found).T
    (low, wall, high), cpu = np.percentile(walls, [25, 50, 75]), np.median(cpus)
    benchmark.extra_info["harness_steps_per_plain_step"] = round(float(wall), 4)
    benchmark.extra_info["quartiles"] = [round(float(low), 3), round(float(high), 3)]
    benchmark.extra_info["the_same_in_cpu_time"] = round(float(cpu), 4)
    print(
        f"\n{network} batch {batch_size} {precision}: ratio {wall:.3f} "
        f"(quartiles of processes {low:.3f} to {high:.3f}), of CPU time {cpu:.3f}"
    )


if __name__ == "__main__":
    network, batch_size, precision, harness_first = sys.argv[1:]
    print(json.dumps(ratios_here(network, int(batch_size), precision, harness_first == "1")))
