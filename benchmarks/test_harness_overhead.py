"""Does the harness cost anything? Steps of a run against a tuned plain loop over the same parts.

Both play the alternating rule with nonsat and Adam on the same modules, data, batch size and
precision, and beside them a second plain loop, which shows what a ratio of equals comes to here.
Blocks of steps take turns, and the other way round, so that a machine that slows down slows all; a
process's figure is the median over pairs of blocks of plain time over harness time, of the wall
clock and of CPU time. Where tensors lie in memory moves a step by some percent from process to
process, so the figure is the median over processes, which make the three in all orders.
Budget: at least 1.00.

    make bench
"""

from __future__ import annotations

import itertools
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
from ganbench.graphs.check import as_a_run_plays
from ganbench.graphs.rule import WARMUP_STEPS
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated
from ganbench.training import Training

PROCESSES = 12  # each order twice
PAIRS = 8
BLOCK_S = 0.4
ORDERS = list(itertools.permutations(["plain", "harness", "second plain"]))
CPU = torch.device("cpu")


def seconds(play, steps: int) -> tuple[float, float]:
    """Wall-clock and CPU time of a block."""
    wall, cpu = time.perf_counter(), time.process_time()
    play(steps)
    return time.perf_counter() - wall, time.process_time() - cpu


def ratios_here(network: str, batch_size: int, precision: str, order: int) -> list[list[float]]:
    """This process's medians of plain time over harness time: wall clock, CPU; and over that of
    another plain loop."""
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
            rule = as_a_run_plays(spec, game, plan.rule.create())
            training = Training(game, rule, steps=10**9, warmup_steps=0)
            return training._play_chunk  # what a run repeats, its clock and history included

        makers = {"plain": make_plain, "harness": make_harness, "second plain": make_plain}
        plays = {name: makers[name]() for name in ORDERS[order]}
        for play in plays.values():
            play(WARMUP_STEPS + 2)
        per_step, _ = seconds(plays["plain"], 2)
        steps = max(2, round(BLOCK_S / (per_step / 2)))
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in plays}
        for i in range(PAIRS):
            for name in plays if i % 2 else reversed(plays):
                spent[name].append(seconds(plays[name], steps))
    found = [np.array(spent["plain"]) / np.array(spent[one]) for one in ("harness", "second plain")]
    return [[float(one) for one in np.median(ratios, axis=0)] for ratios in found]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [64, 128])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_harness_overhead(benchmark, network, batch_size, precision):
    found = []

    def measure() -> None:
        case = [network, str(batch_size), precision, str(len(found) % len(ORDERS))]
        command = [sys.executable, __file__, *case]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(answer.stdout))

    benchmark.pedantic(measure, rounds=PROCESSES)
    for i, of in enumerate(["harness", "second_plain"]):
        walls, cpus = np.array(found)[:, i].T
        (low, wall, high), cpu = np.percentile(walls, [25, 50, 75]), np.median(cpus)
        benchmark.extra_info |= {
            f"{of}_steps_per_plain_step": round(float(wall), 4),
            f"{of}_quartiles": [round(float(low), 3), round(float(high), 3)],
            f"{of}_in_cpu_time": round(float(cpu), 4),
        }
        print(
            f"\n{network} batch {batch_size} {precision}, {of.replace('_', ' ')}: ratio {wall:.3f} "
            f"(quartiles of processes {low:.3f} to {high:.3f}), of CPU time {cpu:.3f}"
        )


if __name__ == "__main__":
    network, batch_size, precision, order = sys.argv[1:]
    print(json.dumps(ratios_here(network, int(batch_size), precision, int(order))))
