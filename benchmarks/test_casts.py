"""How much of a bfloat16 step is the casting of weights? The cast of each weight of both players,
once, beside a step of the alternating rule, which casts each twice: what working copies of the
weights could save at most. CPU time, in turn; the median of the shares.

    make bench
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

ROUNDS = 40


def seconds(body: Callable[[], object]) -> float:
    started = time.process_time()
    body()
    return time.process_time() - started


@pytest.mark.parametrize("batch_size", [64, 128])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_casts_of_weights(benchmark, network, batch_size):
    spec = RunSpec(
        generator=network,
        discriminator=network,
        batch_size=batch_size,
        precision="bf16",
        device="cpu",
    )
    plan = make_plan(spec, default_registry())
    rule = plan.rule.create()
    with isolated():
        game = build_game(plan, plan.data.create(None), torch.device("cpu"))
        weights = [p.detach() for player in game.players for p in player.parameters]

        def cast() -> None:
            for weight in weights:
                weight.to(torch.bfloat16)

        game.play(rule)
        shares = [seconds(cast) / seconds(lambda: game.play(rule)) for _ in range(ROUNDS)]
        benchmark.pedantic(cast, rounds=10)
    share = float(np.median(shares))
    benchmark.extra_info["of_a_step"] = round(share, 4)
    print(f"\n{network} batch {batch_size}: a cast of every weight is {share:.1%} of a step")
