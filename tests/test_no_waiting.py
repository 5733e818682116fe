"""No step waits for the device: every loss and every optimizer under every rule.

On a CPU operations are watched for which a GPU's host would wait; with a GPU torch itself raises.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from test_grid import AUTOENCODER, IMAGES_ONLY, NEEDS_A_GAME, REGISTRY

from ganbench.game import build_game
from ganbench.graphs.tape import NoWaiting, Waits
from ganbench.plan import make_plan
from ganbench.spec import RunSpec
from ganbench.streams import isolated

# Between them they ask the loss for everything; the other rules, in other orders.
FAST = ("alternating", "simultaneous", "joint", "unrolled")
RULES = [
    rule if rule in FAST else pytest.param(rule, marks=pytest.mark.slow)
    for rule in (*REGISTRY.names("rule"), "unrolled:by=gradient")
]
LOSSES = [name if name not in NEEDS_A_GAME else f"nonsat+{name}" for name in REGISTRY.names("loss")]
# Those of torch that read the device at each step, whoever calls them.
WAITING = {
    "adafactor": "its step is relative to the parameters' norm, which it reads",
    "asgd": "its rate follows its count of steps, which it keeps on the device and reads",
    "lbfgs": "it reads the gradient's norm to see whether to stop",
}
REFUSED = {"sparseadam"}
SMALL = {"generator": "mlp:hidden=[4]", "discriminator": "mlp:hidden=[4]"}
SMALL |= {"data": "gaussian:dim=8,n=64", "batch_size": 4, "z_dim": 4}


def of_loss(loss: str) -> dict[str, object]:
    name = loss.removeprefix("nonsat+")
    change = {"loss": loss}
    if name in AUTOENCODER:
        change["discriminator"] = "autoencoder:width=2"
    if name in IMAGES_ONLY:
        change["data"] = "fashion-mnist-10k"
    return change


@contextmanager
def game_of(device: str, **settings):
    plan = make_plan(RunSpec(**{**SMALL, **settings, "device": device}), REGISTRY)
    with isolated():
        yield build_game(plan, plan.data.create(None), torch.device(device)), plan.rule.create()


def beside_a_gpu(game) -> list[torch.Tensor]:
    """The counts of steps that torch's optimizers keep on the CPU wherever parameters are."""
    return [
        state[name]
        for player in game.players
        for optimizer in (player.optimizer, getattr(player.optimizer, "base", None))
        for group in (optimizer.param_groups if optimizer is not None else ())
        for state in map(optimizer.state.get, group["params"])
        for name in ("step", "mu_product")
        if state and name in state and not group.get("fused")
    ]


def wait_of(game, rule) -> str | None:
    """What a step waits for, once the first ones have made what optimizers and rules keep."""
    for _ in range(2):
        game.play(rule)
    try:
        with NoWaiting(beside_a_gpu(game)):
            game.play(rule)
    except Waits as wait:
        return str(wait)
    return None


def settings_of_optimizer(opt: str, rule: str) -> dict[str, object]:
    settings: dict[str, object] = {"opt": opt, "rule": rule}
    if opt == "gd":
        settings["batch_size"] = "full"
    return settings


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_no_loss_waits_for_the_device(loss, rule):
    with game_of("cpu", **of_loss(loss), rule=rule) as (game, step):
        assert wait_of(game, step) is None


# `unrolled` by the optimizer differentiates a copy of it, with adam in the test above.
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "unrolled"])
@pytest.mark.parametrize("opt", sorted({*REGISTRY.names("optimizer")} - REFUSED))
def test_no_optimizer_waits_for_the_device_but_those_of_torch_that_read_it(opt, rule):
    with game_of("cpu", **settings_of_optimizer(opt, rule)) as (game, step):
        found = wait_of(game, step)
    assert (found is not None) == (opt in WAITING), found


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x[0].item(),
        lambda x: float(x.sum()),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: bool((x > 0).all()),
        lambda x: torch.equal(x, x),
        lambda x: x.unique(),
    ],
)
def test_what_reads_the_device_is_seen(read):
    with pytest.raises(Waits), NoWaiting():
        read(torch.arange(3.0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("loss", LOSSES)
def test_on_a_gpu_torch_sees_no_loss_wait(loss):
    with game_of("cuda", **of_loss(loss)) as (game, step):
        for _ in range(2):
            game.play(step)
        torch.cuda.set_sync_debug_mode("error")
        try:
            game.play(step)
        finally:
            torch.cuda.set_sync_debug_mode("default")
