"""The trainer against plain PyTorch: the same bits, and no player that disturbs the other."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from plain_loops import SMALL_MLP, PlainTraining
from test_grid import AUTOENCODER, NEEDS_A_GAME, REGISTRY
from torch import nn
from torch.nn.functional import mse_loss, softplus

from ganbench.streams import generator as stream
from ganbench.streams import isolated, seed_of

LOSSES = {  # written out here in plain torch: (D's loss, G's loss) of logits and images
    "minimax": (
        lambda a, b: softplus(-a).mean() + softplus(b).mean(),
        lambda b, real, fake: -softplus(b).mean(),
    ),
    "nonsat": (
        lambda a, b: softplus(-a).mean() + softplus(b).mean(),
        lambda b, real, fake: softplus(-b).mean(),
    ),
    "nonsat+l1:weight=10": (
        lambda a, b: softplus(-a).mean() + softplus(b).mean(),
        lambda b, real, fake: softplus(-b).mean() + 10 * (fake - real).abs().mean(),
    ),
    "nonsat+l2:weight=10": (
        lambda a, b: softplus(-a).mean() + softplus(b).mean(),
        lambda b, real, fake: softplus(-b).mean() + 10 * mse_loss(fake, real),
    ),
    "hinge": (
        lambda a, b: (1 - a).relu().mean() + (1 + b).relu().mean(),
        lambda b, real, fake: -b.mean(),
    ),
    "wgan": (lambda a, b: -a.mean() + b.mean(), lambda b, real, fake: -b.mean()),
    "lsgan": (
        lambda a, b: 0.5 * (a - 1).square().mean() + 0.5 * b.square().mean(),
        lambda b, real, fake: 0.5 * (b - 1).square().mean(),
    ),
}
OPTIMIZERS = {
    "sgd:lr=0.05": lambda m: torch.optim.SGD(m.parameters(), lr=0.05),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True),
}


def by_hand(game, loss: str, optimizer: str, rule: str, steps: int) -> None:
    """Plain PyTorch from the game's own start: its modules, data and latents, nothing else."""
    d_loss, g_loss = LOSSES[loss]
    g, d = game.generator.module, game.discriminator.module
    opt_g, opt_d = OPTIMIZERS[optimizer](g), OPTIMIZERS[optimizer](d)
    images = game.feed._x
    order = torch.randperm(len(images), generator=stream(SMALL_MLP["seed"], "data", 0))
    latents = stream(SMALL_MLP["seed"], "latents")
    for step in range(steps):
        picked = images[order[8 * step : 8 * step + 8]]
        real = picked.float() / 127.5 - 1
        fake = g(torch.randn(8, 5, generator=latents))
        if rule == "alternating":
            opt_d.zero_grad()
            d_loss(d(real), d(fake.detach())).backward()
            opt_d.step()
            fake = g(torch.randn(8, 5, generator=latents))
            opt_g.zero_grad()
            g_loss(d(fake), real, fake).backward()
            opt_g.step()
        else:
            opt_d.zero_grad()
            d_loss(d(real), d(fake.detach())).backward()
            gradients = [p.grad.clone() for p in d.parameters()]
            opt_g.zero_grad()
            g_loss(d(fake), real, fake).backward()
            for p, gradient in zip(d.parameters(), gradients, strict=True):
                p.grad = gradient
            opt_d.step()
            opt_g.step()


def bits(game) -> list[np.ndarray]:
    return [
        tensor.detach().numpy().copy()
        for player in game.players
        for tensor in player.module.state_dict().values()
    ]


@pytest.mark.parametrize("rule", ["alternating", "simultaneous"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_hundred_steps_equal_a_hand_written_loop_bit_for_bit(play, loss, optimizer, rule):
    settings = {**SMALL_MLP, "loss": loss, "opt": optimizer, "rule": rule}
    game, step = play(**settings)
    plain, _ = play(**settings)
    for _ in range(100):
        game.play(step)
    by_hand(plain, loss, optimizer, rule, 100)
    for ours, theirs in zip(bits(game), bits(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)


EVERY_LOSS = [f"nonsat+{name}" if name in NEEDS_A_GAME else name for name in REGISTRY.names("loss")]
EVERY_RULE = REGISTRY.names("rule")
SEED = SMALL_MLP["seed"]


def check_against_the_plain_loop(play, loss: str, optimizer: str, rule: str) -> None:
    alone = loss in AUTOENCODER
    settings = {**SMALL_MLP, "loss": loss, "opt": optimizer, "rule": rule}
    if alone:
        settings["discriminator"] = "autoencoder:width=2,embedding=2"
    game, step = play(**settings)
    for _ in range(100):
        game.play(step)
    ours = bits(game)
    game, _ = play(**settings)
    make = OPTIMIZERS[optimizer]
    plain = PlainTraining(game, lambda of: make(nn.ParameterList(of)), SEED)
    for _ in range(100):
        getattr(plain, rule.replace("-", "_"))()
        plain.step += 1
    for our, theirs in zip(ours, bits(game), strict=True):
        np.testing.assert_array_equal(our, theirs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_hundred_steps_of_every_rule_equal_its_plain_loop_bit_for_bit(play, rule, optimizer):
    check_against_the_plain_loop(play, "nonsat", optimizer, rule)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", EVERY_RULE)
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_every_loss_by_every_rule_equals_its_plain_loop_bit_for_bit(play, loss, rule, optimizer):
    check_against_the_plain_loop(play, loss, optimizer, rule)


@pytest.mark.parametrize("loss", ["nonsat+l1", "wgan", "minimax"])
def test_g_s_gradient_leaves_d_untouched_and_the_other_way_round(play, loss):
    game, _ = play(**SMALL_MLP, loss=loss)
    batch = game.draw()
    before = copy.deepcopy([p.detach() for p in game.discriminator.parameters])
    game.g_gradient(batch)
    assert all(p.grad is None for p in game.discriminator.parameters)
    pairs = zip(game.discriminator.parameters, before, strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    game.generator.update()
    game.d_gradient(batch)
    assert all(p.grad is None for p in game.generator.parameters)
    assert all(p.grad is not None for p in game.discriminator.parameters)


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("micro", [1, 7, 32])
def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(play, micro):
    gradients = []
    for size in (64, micro):
        game, _ = play(data="ring8:n=64", loss="nonsat+l2:weight=3", batch_size="full",
                       micro_batch_size=size)  # fmt: skip
        z = game.gradients(game.draw())
        assert all(p.grad.dtype == torch.float64 for p in game.generator.parameters), z
        gradients.append([p.grad for player in game.players for p in player.parameters])
    for whole, pieces in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, pieces, rtol=1e-12, atol=1e-14)


def test_gd_uses_all_data_in_bounded_pieces(play):
    game, rule = play(**{**SMALL_MLP, "batch_size": "full"}, opt="gd")
    assert game.feed.batch_size == 10_000
    assert game.feed.micro_batch_size == 1000
    game.play(rule)
    assert game.nimg == 10_000


def test_each_epoch_shows_every_example_once(play):
    game, _ = play(data="digits", batch_size=100, generator="mlp:hidden=[4]")
    seen = torch.cat([game.draw() for _ in range(18)])  # 1,800 of 1,797
    assert seen[:1797].unique().numel() == 1797
    assert not torch.equal(seen[:3], seen[1797:])


def test_more_d_updates_do_not_shift_the_order_of_the_data_or_the_start(play):
    one, _ = play(**SMALL_MLP, n_dis=1)
    three, _ = play(**SMALL_MLP, n_dis=3)
    assert all(np.array_equal(a, b) for a, b in zip(bits(one), bits(three), strict=True))
    assert torch.equal(one.draw(), three.draw())


def test_another_discriminator_does_not_change_the_generators_start(play):
    one, _ = play(**SMALL_MLP)
    other, _ = play(**{**SMALL_MLP, "discriminator": "mlp:hidden=[32]"})
    for p, q in zip(one.generator.parameters, other.generator.parameters, strict=True):
        assert torch.equal(p, q)


def test_streams_differ_by_name_and_by_seed_and_repeat():
    seeds = {seed_of(s, *name) for s in range(50) for name in [("data", 0), ("data", 1), ("z",)]}
    assert len(seeds) == 150
    assert seed_of(7, "data", 1) == seed_of(7, "data", 1)


def test_isolated_gives_the_callers_random_state_back():
    torch.manual_seed(1)
    np.random.seed(1)
    expected = (torch.rand(1).item(), np.random.rand())
    torch.manual_seed(1)
    np.random.seed(1)
    with isolated(5):
        torch.rand(10)
        np.random.rand(10)
    assert (torch.rand(1).item(), np.random.rand()) == expected


@pytest.mark.parametrize(("halflife", "expected"), [(0.008, 0.5), (0.016, 2**-0.5)])
def test_ema_forgets_by_half_each_halflife(play, halflife, expected):
    # batch 8 = 0.008 kimg: after one step with half-life 0.008 the average is half the start.
    game, rule = play(**SMALL_MLP, ema_halflife_kimg=halflife)
    start = [p.detach().clone() for p in game.generator.parameters]
    game.play(rule)
    for first, now, mean in zip(
        start, game.generator.parameters, game.final_generator.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, expected * first + (1 - expected) * now)


def test_an_infinite_halflife_is_polyaks_average(play):
    game, rule = play(**SMALL_MLP, ema_halflife_kimg=float("inf"), opt="sgd")
    visited = [[p.detach().clone() for p in game.generator.parameters]]
    for _ in range(4):
        game.play(rule)
        visited.append([p.detach().clone() for p in game.generator.parameters])
    for i, mean in enumerate(game.final_generator.parameters()):
        torch.testing.assert_close(mean, torch.stack([v[i] for v in visited]).mean(0))


def test_a_linear_schedule_ends_at_zero(play):
    game, rule = play(**SMALL_MLP, schedule="linear", steps=4, opt="sgd:lr=0.1")
    rates = []
    for _ in range(4):
        rates.append(game.generator.optimizer.param_groups[0]["lr"])
        game.play(rule)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
