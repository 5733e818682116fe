"""Time of a step for every network, precision and rule, and of the settings that make it faster.

Each line gives the share of this machine's measured matrix-multiply rate at that precision. Bars,
on two CPU cores: float32 at least 0.6 for mlp and 0.8 for dcgan, bfloat16 at least 0.40 and 0.45.

    make bench
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from ganbench.compiling import compile_step
from ganbench.devices import matmul_gflops_per_s, set_up
from ganbench.flops import flop_counter
from ganbench.game import build_game
from ganbench.graphs.check import as_a_run_plays
from ganbench.graphs.rule import WARMUP_STEPS
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

NETWORKS = ["mlp", "dcgan", "sngan-resnet", "r3gan"]
RULES = ["alternating", "simultaneous", "extragradient", "extragradient-past", "lookahead-minimax"]
FAST = {
    "as it is": {},
    "share_latents": {"share_latents": True},
    "channels_last": {"channels_last": True},
    "joint_batch": {"joint_batch": True},
    "onednn": {"onednn": True},
    "compile": {"compile": True},
    "share_latents+joint_batch": {"share_latents": True, "joint_batch": True},
    "share_latents+joint_batch+onednn": {
        "share_latents": True,
        "joint_batch": True,
        "onednn": True,
    },
    "share_latents+channels_last": {"share_latents": True, "channels_last": True},
    "all": {"share_latents": True, "joint_batch": True, "compile": True},
}


def play(benchmark, **settings) -> None:
    plan = make_plan(RunSpec(device="cpu", **settings), default_registry())
    data, device = plan.data.create(None), torch.device("cpu")
    set_up(device, None, plan.spec.precision, plan.spec.onednn)  # as a run does
    with isolated():
        game, rule = build_game(plan, data, device), plan.rule.create()
        compile_step(game, on=False)
        with flop_counter() as counter:
            game.play(rule)
        compile_step(game, on=plan.spec.compile)
        rule = as_a_run_plays(plan.spec, game, rule)
        for _ in range(WARMUP_STEPS + 2):
            game.play(rule)
        spent = []

        def step() -> None:
            started = time.perf_counter()
            game.play(rule)
            spent.append(time.perf_counter() - started)

        benchmark.pedantic(step, rounds=15)
    gflops = counter.get_total_flops() / 1e9
    rate = matmul_gflops_per_s(device, plan.spec.precision, torch.get_num_threads())
    share = gflops / float(np.median(spent)) / rate
    benchmark.extra_info |= {"gflops_per_step": gflops, "fraction_of_peak": round(share, 3)}
    print(f"\n{settings}: {1e3 * np.median(spent):.1f} ms, {share:.2f} of {rate:.0f} GFLOP/s")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_step(benchmark, network, precision, rule):
    settings = {"generator": network, "discriminator": network, "batch_size": 64}
    play(benchmark, **settings, precision=precision, rule=rule)


@pytest.mark.parametrize("fast", FAST.values(), ids=FAST)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("network", "discriminator"), [("mlp", "mlp"), ("dcgan", "dcgan"), ("dcgan", "dcgan:norm=none")]
)
def test_fast_step(benchmark, network, discriminator, precision, fast):
    if fast.get("joint_batch") and discriminator == "dcgan":
        pytest.skip("joint_batch needs a discriminator without batch statistics")
    if fast.get("channels_last") and network == "mlp":
        pytest.skip("an mlp has no layout of channels")
    if fast.get("onednn") and precision != "fp32":
        pytest.skip("onednn is for float32 products")
    settings = {"generator": network, "discriminator": discriminator, "batch_size": 128}
    play(benchmark, **settings, precision=precision, **fast)
