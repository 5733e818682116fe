"""Would training beside an evaluation take less time than after it? Pairs of both, interleaved.

Fixed work each way: steps of the default run, and FID of fresh samples whose real side is cached.
It needs a machine of its own: beside other work, twice the threads get a larger share of the cores,
which is no gain.
"""

from __future__ import annotations

import copy
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean, quantiles

import torch

from ganbench import devices
from ganbench.evaluation import Evaluation
from ganbench.game import build_game
from ganbench.measure import evaluation_latents
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

PAIRS = 7
N_SAMPLES = 1000
STEPS = 40


def test_training_beside_an_evaluation(benchmark):
    plan = make_plan(RunSpec(metrics="fid"), default_registry())
    device = torch.device(plan.spec.device)
    devices.set_up(device, None, "fp32")
    data, extractor = plan.data.create(None), plan.extractor.create().to(device)
    z, fid = evaluation_latents(plan, N_SAMPLES), plan.metrics[0].create()
    with isolated(), ThreadPoolExecutor(1) as thread:
        game = build_game(plan, data, device)
        rule = plan.rule.create()
        generator = copy.deepcopy(game.final_generator)

        def train() -> None:
            for _ in range(STEPS):
                game.play(rule)
            devices.synchronize(device)

        def evaluate() -> None:
            fid(Evaluation(generator, data.x, z=z, extractor=extractor, device=device))

        def after() -> None:
            train()
            evaluate()

        def beside() -> None:
            evaluation = thread.submit(evaluate)
            train()
            evaluation.result()

        def seconds(way) -> float:
            started, cpu = time.perf_counter(), time.process_time()
            way()
            took = time.perf_counter() - started
            busy[way].append((time.process_time() - cpu) / took)
            return took

        busy: dict[object, list[float]] = {after: [], beside: []}
        after(), beside()  # caches, allocations
        ratios: list[float] = []

        def pairs() -> None:
            for i in range(PAIRS):
                order = (beside, after) if i % 2 else (after, beside)
                took = {way: seconds(way) for way in order}
                ratios.append(took[beside] / took[after])

        benchmark.pedantic(pairs, rounds=1)
    low, median, high = quantiles(ratios, n=4)
    benchmark.extra_info["beside_over_after"] = [low, median, high]
    print(f"\nbeside / after: {median:.2f} (quartiles {low:.2f} to {high:.2f}, {PAIRS} pairs)")
    cores = [f"{fmean(busy[way]):.2f}" for way in (after, beside)]
    print(f"cores busy: {cores[0]} one after the other, {cores[1]} beside each other")
