"""Settings that make a step faster: each is the game it says, and goes on after a stop."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from plain_loops import SMALL_MLP
from torch import nn
from torch.nn.functional import softplus

import ganbench
from ganbench.checkpoint import load_checkpoint, save_checkpoint
from ganbench.compiling import _GAIN, gains_by_compiling
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.fast import check_took_effect
from ganbench.player import Player
from ganbench.scorers import JointScorer, check_examples_are_scored_alone
from ganbench.spec import RunSpec
from ganbench.streams import generator as stream

MLP = {**SMALL_MLP, "opt": "adam"}
DCGAN = {
    **MLP,
    "generator": "dcgan:width=4",
    "discriminator": "dcgan:width=4,norm=none",
}
OPTIONS = {
    "share_latents": {"share_latents": True},
    "joint_batch": {"joint_batch": True},
    "channels_last": {"channels_last": True},
    "all in bf16": {
        "share_latents": True,
        "joint_batch": True,
        "channels_last": True,
        "precision": "bf16",
    },
}


def bits(game) -> list[np.ndarray]:
    tensors = [t for one in game.players for t in one.module.state_dict().values()]
    return [tensor.detach().contiguous().numpy().copy() for tensor in tensors]


def assert_same_bits(game, other) -> None:
    for ours, theirs in zip(bits(game), bits(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def by_hand(game, steps: int, *, n_dis: int = 1, share: bool = False, joint: bool = False) -> None:
    """The alternating rule in plain PyTorch, with G run once for both, or D on one batch."""
    g, d = game.generator.module, game.discriminator.module
    settings = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
    opt_g = torch.optim.Adam(g.parameters(), **settings)
    opt_d = torch.optim.Adam(d.parameters(), **settings)
    images = game.feed._x
    order = torch.randperm(len(images), generator=stream(MLP["seed"], "data", 0))
    latents = stream(MLP["seed"], "latents")
    for batch in order[: 8 * n_dis * steps].view(steps, n_dis, 8):
        for one in batch:
            real = images[one].float() / 127.5 - 1
            fake = g(torch.randn(8, 5, generator=latents))
            opt_d.zero_grad()
            if joint:
                a, b = d(torch.cat([real, fake.detach()])).split(8)
            else:
                a, b = d(real), d(fake.detach())
            (softplus(-a).mean() + softplus(b).mean()).backward()
            opt_d.step()
        fake_again = g(torch.randn(8, 5, generator=latents))
        fake = fake if share else fake_again
        opt_g.zero_grad()
        softplus(-d(fake)).mean().backward()
        opt_g.step()


@pytest.mark.parametrize("n_dis", [1, 2])
def test_shared_latents_equal_a_loop_that_runs_g_once_bit_for_bit(play, n_dis):
    game, rule = play(**MLP, share_latents=True, n_dis=n_dis)
    plain, _ = play(**MLP)
    for _ in range(20):
        game.play(rule)
    by_hand(plain, 20, n_dis=n_dis, share=True)
    assert_same_bits(game, plain)


def test_a_joint_batch_equals_a_loop_that_concatenates_bit_for_bit(play):
    game, rule = play(**MLP, joint_batch=True)
    plain, _ = play(**MLP)
    for _ in range(20):
        game.play(rule)
    by_hand(plain, 20, joint=True)
    assert_same_bits(game, plain)


@pytest.mark.parametrize("setting", ["joint_batch", "channels_last"])
@pytest.mark.parametrize("loss", ["nonsat", "hinge+r1:gamma=1", "ralsgan"])
def test_one_batch_or_another_layout_moves_a_step_by_roundings_only(play, setting, loss):
    settings = {**DCGAN, "loss": loss, "opt": "sgd:lr=0.1"}
    game, rule = play(**settings, **{setting: True})
    plain, _ = play(**settings)
    start = bits(game)
    for _ in range(3):
        game.play(rule)
        plain.play(rule)
    for ours, theirs in zip(bits(game), bits(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    moved = [np.abs(now - then).max() for now, then in zip(bits(game), start, strict=True)]
    assert max(moved) > 1e-4


def test_channels_last_lays_out_images_weights_and_what_the_optimizer_keeps(play):
    game, rule = play(**DCGAN, channels_last=True)
    game.play(rule)
    weights = [p for p in game.generator.parameters if p.ndim == 4 and p.shape[1] > 1]
    kept = [game.generator.optimizer.state[p]["exp_avg"] for p in weights]
    laid_out = [*weights, *kept, *game.feed.micro_batches(game.draw())]
    assert weights
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in laid_out)


@pytest.mark.parametrize("settings", [{}, *OPTIONS.values()], ids=["none", *OPTIONS])
@pytest.mark.parametrize("rule", ["alternating", "extragradient-past"])
def test_a_continuation_has_the_bits_of_a_game_that_never_stopped(play, tmp_path, settings, rule):
    if rule != "alternating":
        settings = {k: v for k, v in settings.items() if k != "share_latents"}
    game, step = play(**DCGAN, rule=rule, **settings)
    for _ in range(3):
        game.play(step)
    save_checkpoint(tmp_path, 3, game.state())
    other, step = play(**DCGAN, rule=rule, **settings)
    other.load_state(load_checkpoint(tmp_path))
    for _ in range(3):
        game.play(step)
        other.play(step)
    assert_same_bits(game, other)


def test_g_is_run_anew_where_it_has_moved_since_d_s_update(play):
    game, _ = play(**MLP, share_latents=True)
    batch = game.draw()
    game.d_gradient(batch)
    game.generator.move_to([p + 1 for p in game.generator.position()])
    game.g_gradient(batch)
    assert game.objective.used == set()


def test_nothing_is_shared_from_one_step_to_the_next(play):
    def d_last(game):
        terms = game.g_gradient(batch := game.draw())
        game.d_gradient(batch)
        game.discriminator.update()
        return terms

    game, _ = play(**MLP, share_latents=True)
    game.play(d_last)
    game.play(d_last)
    assert game.objective.used == set()


class Counting(nn.Module):
    """A linear D that counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        return x @ self.weight


def test_a_joint_scorer_hands_each_half_out_once_and_scores_anything_else_alone():
    d, real, fake = Counting(), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]] * 3)
    score = JointScorer(d, real, fake)
    assert score(fake).tolist() == [2, 2, 2]
    assert score(real).tolist() == [1]
    assert d.passes == 1
    assert score(real).tolist() == [1]  # once more: a pass of its own, for a D that is random
    assert score(real + 1).tolist() == [4]
    with torch.no_grad():
        assert not score(fake).requires_grad
    assert d.passes == 4


def test_a_joint_scorer_leaves_a_batch_that_is_differentiated_to_its_own_pass():
    real = torch.tensor([[1.0, 0.0]], requires_grad=True)
    score = JointScorer(Counting(), real, torch.zeros(1, 2))
    (gradient,) = torch.autograd.grad(score(real).sum(), real)
    assert gradient.tolist() == [[1, 2]]
    assert not score.used


def test_a_discriminator_with_statistics_of_its_batch_is_found_and_left_as_it_was():
    norm = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1), nn.Flatten(0))
    before = copy.deepcopy(norm.state_dict())
    with pytest.raises(IncompatibleParts, match=r"joint_batch.*depends on the others"):
        check_examples_are_scored_alone(norm, (2,), torch.device("cpu"))
    for name, tensor in norm.state_dict().items():
        assert torch.equal(tensor, before[name])
    alone = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1), nn.Flatten(0))
    check_examples_are_scored_alone(alone, (2,), torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"joint_batch": True, "discriminator": "dcgan:width=4"}, "joint_batch.*batch norm"),
        ({"channels_last": True, "data": "ring8"}, "channels_last.*'ring8'"),
        ({"share_latents": True, "batch_size": "full"}, "share_latents.*batch_size full"),
        ({"share_latents": True, "micro_batch_size": 4}, "share_latents.*batch_size 8"),
    ],
)
def test_settings_that_do_not_fit_the_parts_are_refused(play, settings, message):
    with pytest.raises(IncompatibleParts, match=message):
        play(**{**MLP, "generator": "mlp:hidden=[4]", **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share_latents": True, "rule": "simultaneous"}, "share_latents.*'simultaneous'"),
        ({"joint_batch": True, "loss": "nonsat+diffaug"}, "joint_batch.*diffaug"),
        ({"joint_batch": True, "rule": "joint"}, "joint_batch.*'joint'"),
    ],
)
def test_a_setting_without_effect_is_refused_before_a_run_starts(tmp_path, settings, message):
    spec = RunSpec(**{**MLP, "steps": 4, "metrics": "none", "device": "cpu", **settings})
    with pytest.raises(IncompatibleParts, match=message):
        ganbench.run(spec, tmp_path)
    assert not list(tmp_path.rglob("record.json"))


def test_settings_that_are_off_need_no_effect():
    check_took_effect(RunSpec(), ())


def test_compile_without_a_compiler_names_what_to_install(play):
    from torch._inductor import config

    without = config.patch({"cpp.cxx": ("no-such-compiler",)})
    with without, pytest.raises(UsageError, match=r"install g\+\+ or clang"):
        play(**MLP, compile=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({**MLP, "share_latents": True, "joint_batch": True}, 1e-5),
        ({**DCGAN, "channels_last": True}, 1e-5),
        ({**MLP, "precision": "bf16"}, 1e-3),
    ],
)
def test_a_compiled_step_equals_the_plain_one_to_a_tolerance(play, settings, tolerance):
    settings = {**settings, "opt": "sgd:lr=0.1"}
    game, rule = play(**settings, compile=True)
    again, _ = play(**settings, compile=True)
    plain, _ = play(**settings)
    for _ in range(3):
        game.play(rule)
        again.play(rule)
        plain.play(rule)
    assert_same_bits(game, again)
    for ours, theirs in zip(bits(game), bits(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_what_was_compiled_for_other_settings_leaves_room_for_the_next(play):
    """Else torch.compile would run the second game's functions as they are, in a process that has
    compiled many, and in another one compile them."""
    from torch._dynamo import config
    from torch._dynamo.utils import counters

    wider = {**MLP, "generator": "mlp:hidden=[24]", "compile": True}
    for settings in ({**MLP, "compile": True}, wider):
        counters.clear()
        game, rule = play(**settings)
        with config.patch(recompile_limit=2):  # G with and without gradient
            for _ in range(2):
                game.play(rule)
        assert counters["frames"]["ok"] == counters["frames"]["total"] == 4  # and the two losses


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_GAIN))
def test_a_compiled_update_is_the_plain_one_to_rounding(name):
    """Seven moves each, on gradients of their own making."""
    moved = []
    for on in (False, True):
        torch.manual_seed(0)
        module = nn.Linear(6, 3)
        player = Player(module, getattr(torch.optim, name)(module.parameters(), lr=0.01))
        player.compile(on)
        assert (player._compiled_step is not None) is on
        for _ in range(7):
            player.backward(module(torch.ones(2, 6)).square().sum())
            player.update()
        moved.append([p.detach().numpy().copy() for p in module.parameters()])
    for ours, theirs in zip(*moved, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)  # radam cancels in float32


@pytest.mark.parametrize(
    ("optimizer", "compiles"),
    [
        (torch.optim.RMSprop, True),
        (torch.optim.Adam, False),  # its fused kernel is faster
        (type("RMSprop", (torch.optim.RMSprop,), {}), False),  # somebody's own
    ],
)
def test_updates_are_compiled_where_that_makes_them_faster(optimizer, compiles):
    assert gains_by_compiling(optimizer(nn.Linear(1, 1).parameters())) is compiles


def test_updates_by_a_schedule_are_not_compiled(play):
    game, _ = play(**{**MLP, "opt": "rmsprop", "schedule": "linear", "compile": True})
    assert [player._compiled_step for player in game.players] == [None, None]
    game, _ = play(**{**MLP, "opt": "rmsprop", "compile": True})
    assert None not in [player._compiled_step for player in game.players]


@pytest.mark.slow
def test_compile_refuses_a_loss_that_differentiates_twice(tmp_path):
    spec = RunSpec(**MLP, steps=4, metrics="none", device="cpu", loss="nonsat+r1", compile=True)
    with pytest.raises(IncompatibleParts, match=r"compile.*nonsat\+r1.*gradient"):
        ganbench.run(spec, tmp_path)
