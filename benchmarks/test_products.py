"""What would a step take if it were nothing but its matrix products and convolutions?

A step's products, forward and backward, are noted with their shapes and layouts, and each is run
alone, again and again on the same random tensors, which then lie in the caches. The sum of their
medians is what no loop over these networks falls below with these kernels; beside it the time of
a step, in turn. Batch 128; with default settings, and with those of the fast path that fit the
network.

    make bench
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from ganbench.devices import matmul_gflops_per_s, set_up
from ganbench.flops import flop_counter
from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

ROUNDS = 15
CPU = torch.device("cpu")
FAST = {
    "mlp": {"share_latents": True, "joint_batch": True},
    "dcgan": {"share_latents": True, "channels_last": True},
}


class Products(TorchDispatchMode):
    """Notes the calls whose operations are counted as floating-point ones."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in flop_registry:
            alone, options = tree_map_only(Tensor, alike, (args, kwargs or {}))
            self.calls.append(lambda: func(*alone, **options))
        return func(*args, **kwargs or {})


def alike(x: Tensor) -> Tensor:
    """Random numbers with the shape and layout of `x`."""
    return torch.empty_like(x.detach()).normal_()


def ms(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - started)


@pytest.mark.parametrize("fast", [False, True], ids=["as it is", "fast"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_products(benchmark, network, precision, fast):
    settings = FAST[network] if fast else {}
    spec = RunSpec(
        generator=network,
        discriminator=network,
        opt="adam",
        batch_size=128,
        precision=precision,
        device="cpu",
        **settings,
    )
    plan = make_plan(spec, default_registry())
    rule = plan.rule.create()
    set_up(CPU, None, precision)  # as a run does
    with isolated():
        game = build_game(plan, plan.data.create(None), CPU)
        with flop_counter() as counter:
            game.play(rule)
        with Products() as products:
            game.play(rule)

        def alone() -> float:
            return sum(float(np.median([ms(call) for _ in range(5)])) for call in products.calls)

        alone_ms, step_ms = [], []
        for _ in range(ROUNDS):
            alone_ms.append(alone())
            step_ms.append(float(np.median([ms(lambda: game.play(rule)) for _ in range(5)])))
        benchmark.pedantic(lambda: game.play(rule), rounds=5)
    gflops = counter.get_total_flops() / 1e9
    rate = matmul_gflops_per_s(CPU, precision, torch.get_num_threads())
    share = float(np.median(np.array(alone_ms) / np.array(step_ms)))
    products_ms = float(np.median(alone_ms))
    benchmark.extra_info["products_alone_ms"] = round(products_ms, 2)
    benchmark.extra_info["of_a_step"] = round(share, 3)
    benchmark.extra_info["their_share_of_a_large_products_rate"] = round(
        gflops / products_ms * 1e3 / rate, 3
    )
    print(
        f"\n{network} {precision} {'fast' if fast else 'as it is'}: {len(products.calls)} products "
        f"alone {products_ms:.2f} ms, {share:.2f} of a step, "
        f"{gflops / products_ms * 1e3:.0f} GFLOP/s of {rate:.0f}"
    )
