"""What would a step take if it were nothing but its operations, or nothing but its products?

A step's operations, forward, backward and of the optimizers, are noted with their shapes and
layouts, and each is run alone, again and again on the same random tensors, which then lie in the
caches. The sum of their medians, less what it takes to call an operation that does nothing, is what
no loop that makes these operations falls below with these kernels; its matrix products and
convolutions are one part of it. A step of an `mlp` with hardly a neuron in it is about what it
takes to start the operations, from Python, through autograd; what a step takes beyond both is data
that left the caches. All in turn; with default settings, and with those of the fast path that fit
the network.

    make bench
"""

from __future__ import annotations

import timeit
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
NARROW = "mlp:hidden=[8,8,8]"
FAST = {
    "mlp": {"share_latents": True, "joint_batch": True},
    "dcgan": {"share_latents": True, "channels_last": True},
}


class Operations(TorchDispatchMode):
    """Notes the calls that compute, and of these apart the ones whose floating-point operations are
    counted."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Callable[[], Any]] = []
        self.others: list[Callable[[], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            alone, options = tree_map_only(Tensor, alike, (args, kwargs or {}))
            calls = self.products if func.overloadpacket in flop_registry else self.others
            calls.append(lambda: func(*alone, **options))
        return func(*args, **kwargs or {})


def alike(x: Tensor) -> Tensor:
    """Random numbers with the shape and layout of `x`; counts and indices as they are."""
    if x.ndim == 0 or not x.is_floating_point():
        return x.detach().clone()
    return torch.empty_like(x.detach()).normal_()


def median_ms(call: Callable[[], Any], repeats: int = 5) -> float:
    return 1e3 * float(np.median(timeit.repeat(call, number=1, repeat=repeats)))


def player_of(network: str, batch_size: int, precision: str, fast: bool) -> Callable[[], Any]:
    """Plays one step."""
    spec = RunSpec(
        generator=network,
        discriminator=network,
        opt="adam",
        batch_size=batch_size,
        precision=precision,
        device="cpu",
        **(FAST[network.partition(":")[0]] if fast else {}),
    )
    plan = make_plan(spec, default_registry())
    game, rule = build_game(plan, plan.data.create(None), CPU), plan.rule.create()
    return lambda: game.play(rule)


@pytest.mark.parametrize("fast", [False, True], ids=["as it is", "fast"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [64, 128])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_products(benchmark, network, batch_size, precision, fast):
    set_up(CPU, None, precision)  # as a run does
    with isolated():
        play = player_of(network, batch_size, precision, fast)
        play_narrow: Callable[[], Any] = lambda: None  # noqa: E731
        if network == "mlp":
            play_narrow = player_of(NARROW, batch_size, precision, fast)
        with flop_counter() as counter:
            play()
        with Operations() as noted:
            play()
        nothing = torch.zeros(1)

        def alone(calls: list[Callable[[], Any]]) -> float:
            call_ms = median_ms(lambda: torch.ops.aten.alias(nothing), repeats=99)
            return sum(max(0.0, median_ms(call) - call_ms) for call in calls)

        rounds = []
        for _ in range(ROUNDS):
            steps = median_ms(play_narrow), median_ms(play)
            rounds.append((alone(noted.products), alone(noted.others), *steps))
        benchmark.pedantic(play, rounds=5)
    gflops = counter.get_total_flops() / 1e9
    rate = matmul_gflops_per_s(CPU, precision, torch.get_num_threads())
    products, others, narrow, steps = np.array(rounds).T
    found = {
        "products_alone_ms": round(float(np.median(products)), 2),
        "of_a_step": round(float(np.median(products / steps)), 3),
        "their_share_of_a_large_products_rate": round(
            gflops / float(np.median(products)) * 1e3 / rate, 3
        ),
        "all_operations_alone_ms": round(float(np.median(products + others)), 2),
        "all_of_a_step": round(float(np.median((products + others) / steps)), 3),
    }
    if network == "mlp":
        found["narrow_step_ms"] = round(float(np.median(narrow)), 2)
    benchmark.extra_info.update(found)
    print(
        f"\n{network} {batch_size} {precision} {'fast' if fast else 'as it is'}: "
        f"{len(noted.products)} products and {len(noted.others)} other operations, {found}"
    )
