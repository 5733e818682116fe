"""Wrappers of the scorer: what D sees, that gradients pass, and how they adapt."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import batch, named, total
from torch import nn

from ganbench.builtin.augment.ada_pipeline import blit, color, geometric, recolor
from ganbench.builtin.augment.images import random_cutout, random_flip, random_shift
from ganbench.builtin.augment.resample import warp
from ganbench.errors import IncompatibleParts, UsageError

WRAPPERS = ["instance-noise", "diffaug", "ada:p=0.8"]


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Recorder(nn.Module):
    """D(x) = mean of x, and what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []
        self.scale = nn.Parameter(torch.ones(()))

    @property
    def module(self) -> nn.Module:
        return self

    def forward(self, x):
        self.seen.append(x.detach())
        return self.scale * x.flatten(1).mean(1)


def shown(name: str, x: torch.Tensor) -> torch.Tensor:
    """What D sees of x behind that wrapper."""
    network = Recorder()
    named(f"wgan+{name}")().d_loss(network, x, x)
    return network.seen[0]


# --- all wrappers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRAPPERS)
def test_both_players_losses_see_reals_and_fakes_transformed(name):
    network, x = Recorder(), batch(4, 3, 12, 12, dtype=torch.float32)
    loss = named(f"wgan+{name}")()
    loss.d_loss(network, x, x)
    loss.g_loss(network, x, x)
    assert len(network.seen) == 3
    assert not any(torch.equal(seen, x) for seen in network.seen)
    assert not torch.equal(network.seen[0], network.seen[1])


@pytest.mark.parametrize("name", WRAPPERS)
def test_gradients_pass_through_to_the_fakes(name):
    x = batch(4, 1, 12, 12, dtype=torch.float32)
    fake = x.clone().requires_grad_()
    total(named(f"wgan+{name}")().g_loss(Recorder(), x, fake)).backward()
    assert fake.grad.isfinite().all()
    assert fake.grad.abs().sum() > 0


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_has_no_term_of_its_own_and_keeps_the_module(name):
    class NeedsModule:
        def d_loss(self, discriminator, x_real, x_fake):
            assert discriminator.module is network
            return {"x": discriminator(x_real).mean()}

        g_loss = d_loss

    from ganbench.loss_sum import combine

    network, x = Recorder(), batch(2, 1, 12, 12, dtype=torch.float32)
    wrapper = named(name)()
    loss = combine([("wrapper", wrapper), ("needs", NeedsModule())])
    assert set(loss.d_loss(network, x, x)) == {"needs"}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_second_order_penalty_passes_through_the_transformation(name):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(200, 1))

    def score(x):
        return network(x)[:, 0]

    score.module = network
    x = batch(2, 1, 12, 12, dtype=torch.float32)
    terms = named(f"nonsat+r1+{name}")().d_loss(score, x, x)
    terms["r1"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["diffaug", "ada", "consistency"])
def test_points_are_refused_with_what_would_fit(name):
    with pytest.raises(IncompatibleParts, match=rf"'{name}'.*examples are 2.*instance-noise"):
        named(f"wgan+{name}")().d_loss(Recorder(), torch.ones(3, 2), torch.ones(3, 2))


def test_wrappers_apply_together():
    x = batch(2, 1, 12, 12, dtype=torch.float32)
    assert not torch.equal(shown("instance-noise+diffaug+ada:p=1.0", x), x)


# --- instance noise -----------------------------------------------------------------------------


def test_instance_noise_has_the_asked_spread_and_no_bias():
    noise = shown("instance-noise:sigma=0.3", torch.zeros(1000, 100))
    assert noise.std().item() == pytest.approx(0.3, rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=5e-3)


def test_instance_noise_falls_linearly_to_zero_over_updates_of_d():
    loss, network = named("wgan+instance-noise:sigma=0.4,anneal=4")(), Recorder()
    found = []
    for _ in range(6):
        network.seen.clear()
        loss.d_loss(network, torch.zeros(1000, 100), torch.zeros(1, 100))
        found.append(network.seen[0].std().item())
        loss.after_d_update(network)
    assert found == pytest.approx([0.4, 0.3, 0.2, 0.1, 0, 0], rel=0.02)


def test_annealing_goes_on_after_a_checkpoint():
    first, second, network = (
        *(named("wgan+instance-noise:anneal=2")() for _ in range(2)),
        Recorder(),
    )
    for _ in range(2):
        first.after_d_update(network)
    second.load_state_dict(first.state_dict())
    second.d_loss(network, torch.zeros(5, 3), torch.zeros(5, 3))
    assert network.seen[0].abs().max() == 0


# --- operations on images -----------------------------------------------------------------------


def test_a_shift_moves_every_image_on_its_own_and_fills_with_zeros():
    x = torch.zeros(400, 1, 7, 7)
    x[:, :, 3, 3] = 1
    moved = random_shift(x, 2, border="zero")
    at = moved.flatten(1).argmax(1)
    places = {(int(i) // 7 - 3, int(i) % 7 - 3) for i in at}
    assert places == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    assert torch.equal(moved.flatten(1).sum(1), torch.ones(400))
    edge = random_shift(torch.ones(400, 1, 7, 7), 2, border="zero")
    # what stays of 7 × 7 is 5, 6 or 7 pixels along each side
    assert set(edge.flatten(1).sum(1).tolist()) == {a * b for a in (5, 6, 7) for b in (5, 6, 7)}


def test_a_reflecting_shift_mirrors_at_the_border_without_repeating_it():
    row = torch.arange(5.0).repeat(200, 1, 5, 1)
    rows = {tuple(r.tolist()) for r in random_shift(row, (0, 1), border="reflect")[:, 0, 0]}
    assert rows == {(1, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 3)}


def test_half_of_the_images_are_flipped():
    row = torch.arange(3.0).repeat(2000, 1, 1, 1)
    flipped = random_flip(row)[:, 0, 0, 0] == 2
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_cutout_sets_a_box_of_half_the_sides_to_zero_cut_off_at_the_border():
    kept = random_cutout(torch.ones(2000, 3, 8, 8), 0.5)
    assert torch.equal(kept[:, 0], kept[:, 2])
    gone = (1 - kept[:, 0]).flatten(1).sum(1)
    assert gone.max() == 16  # a box of 4 × 4 that lies inside
    assert gone.min() == 4  # one centred on a corner
    assert (gone == 16).float().mean().item() == pytest.approx((5 / 9) ** 2, abs=0.04)


# --- DiffAugment --------------------------------------------------------------------------------


def test_brightness_saturation_and_contrast_are_drawn_in_their_ranges():
    # On grey images saturation does nothing and contrast keeps the mean: it moves by u − ½.
    grey = torch.zeros(4000, 3, 2, 2)
    moved = shown("diffaug:policy=color", grey).mean((1, 2, 3))
    assert moved.min() == pytest.approx(-0.5, abs=0.01)
    assert moved.max() == pytest.approx(0.5, abs=0.01)
    # Contrast alone changes the spread of one channel's image, by u + ½ in [½, 3/2).
    stripes = torch.tensor([-1.0, 1.0]).repeat(4000, 1, 2, 1)
    spread = shown("diffaug:policy=color", stripes).std((1, 2, 3), correction=0)
    assert spread.min() == pytest.approx(0.5, abs=0.01)
    assert spread.max() == pytest.approx(1.5, abs=0.01)


def test_a_policy_may_be_a_list_or_a_text():
    x = torch.ones(50, 1, 8, 8)
    for policy in ('"cutout"', '["cutout"]', "cutout"):
        assert (shown(f"diffaug:policy={policy}", x) == 0).any()
    assert (shown('diffaug:policy="translation, cutout"', x) == 0).any()


def test_an_unknown_step_of_a_policy_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'cutout'"):
        named("diffaug:policy=cutouts")()


# --- ADA: geometry ------------------------------------------------------------------------------


def eye(n: int) -> torch.Tensor:
    return torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)


@pytest.mark.parametrize("size", [(7, 7), (12, 9), (28, 28)])
def test_warping_by_the_identity_gives_the_image_back_to_rounding(size):
    x = batch(2, 3, *size)
    torch.testing.assert_close(warp(x, eye(2)), x, atol=1e-10, rtol=0)


def test_warping_by_whole_pixels_moves_and_mirrors():
    x = batch(1, 1, 16, 16)
    inverse = eye(1)
    inverse[:, 0, 2] = 3  # the pixel at column c comes from column c + 3
    moved = warp(x, inverse)
    torch.testing.assert_close(moved[..., :12], x[..., 3:15], atol=1e-10, rtol=0)
    mirrored = x[..., [14, 13]]  # columns 16 and 17 of an image mirrored about column 15
    assert (moved[..., 13:15] - mirrored).abs().mean() < 0.25 * mirrored.abs().mean()


def test_a_quarter_turn_of_a_smooth_image_is_a_quarter_turn():
    line = torch.linspace(-1, 1, 24, dtype=torch.float64)
    x = (torch.sin(2 * line)[:, None] + torch.cos(3 * line)[None])[None, None]
    inverse = eye(1)
    inverse[0, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    error = (warp(x, inverse)[0, 0] - torch.rot90(x[0, 0])).abs()
    # The filter's lag moves the turned image by 0.4 pixels, whose slope is at most 3 · 2/23.
    assert error.max() < 0.41 * 3 * 2 / 23
    assert (x[0, 0] - torch.rot90(x[0, 0])).abs().max() > 1


def test_warping_a_constant_changes_nothing():
    x = torch.full((8, 1, 14, 14), 0.3, dtype=torch.float64)
    inverse = blit(x, torch.ones(())) @ geometric(x, torch.ones(()))
    torch.testing.assert_close(warp(x, inverse), x, atol=1e-6, rtol=0)


def test_a_warp_is_linear_and_has_both_derivatives():
    x = batch(1, 1, 7, 7).requires_grad_()
    inverse = geometric(x, torch.ones(()))

    def warped(y):
        return warp(y, inverse)

    assert torch.autograd.gradcheck(warped, (x,))
    assert torch.autograd.gradgradcheck(warped, (x,))


def test_at_probability_zero_nothing_happens_to_an_image():
    x, p = batch(3, 3, 12, 12), torch.zeros(())
    torch.testing.assert_close(blit(x, p) @ geometric(x, p), eye(3))
    torch.testing.assert_close(recolor(x, color(x, p)), x)
    torch.testing.assert_close(shown("ada", x), x, atol=1e-6, rtol=0)


def test_each_transformation_happens_with_probability_p():
    x, p = torch.zeros(8000, 3, 8, 8), torch.tensor(0.3)
    inverse = geometric(x, p)
    unmoved = (inverse == eye(1).float()).flatten(1).all(1).float().mean().item()
    # scaling, stretching and translation not: 0.7 each; neither rotation: 0.7
    assert unmoved == pytest.approx(0.7**4, abs=0.02)
    # blitting draws the identity in ½ of the flips and ¼ of the turns, and of the shifts by −1, 0
    # or 1 of 8 pixels in ½ along each side
    blitted = (blit(x, p) - eye(1).float()).flatten(1).abs().amax(1) < 1e-5
    expected = (0.7 + 0.3 / 2) * (0.7 + 0.3 / 4) * (0.7 + 0.3 / 4)
    assert blitted.float().mean().item() == pytest.approx(expected, abs=0.02)


def test_sizes_and_shifts_have_the_published_spread():
    x, p = torch.zeros(20_000, 1, 32, 32), torch.ones(())
    inverse = geometric(x, p)
    area = inverse[:, :2, :2].det()  # 1/s²: the stretch and the rotations keep the area
    assert (area.log2() / -2).std().item() == pytest.approx(0.2, rel=0.03)
    whole = blit(x, p)[:, :2, 2]
    assert whole.abs().max().item() == pytest.approx(4, abs=1e-4)  # 1/8 of 32
    assert (whole - whole.round()).abs().max() < 1e-4


# --- ADA: colour --------------------------------------------------------------------------------


def test_colour_maps_keep_grey_on_the_grey_axis():
    x = torch.rand(50, 1, 2, 2, dtype=torch.float64).expand(-1, 3, -1, -1)
    seen = recolor(x, color(x, torch.ones(())))
    torch.testing.assert_close(seen[:, 0], seen[:, 1])
    torch.testing.assert_close(seen[:, 0], seen[:, 2])


def test_hue_turns_keep_length_and_luma_when_nothing_else_happens():
    from ganbench.builtin.augment.ada_pipeline import _about_luma

    turns = torch.tensor([0.0, 2 * math.pi / 3, 1.1], dtype=torch.float64)
    maps = _about_luma(turns)[:, :3, :3]
    identity = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(maps @ maps.mT, identity.expand(3, -1, -1))
    torch.testing.assert_close(maps[0], identity)
    assert maps.det().tolist() == pytest.approx([1, 1, 1])
    red = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(maps[1] @ red, torch.tensor([0, 1.0, 0], dtype=torch.float64))


def test_colour_has_the_published_spread():
    x, p = torch.zeros(20_000, 3, 2, 2, dtype=torch.float64), torch.ones(())
    maps = color(x, p)
    grey = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    gain = torch.einsum("i,nij,j->n", grey, maps[:, :3, :3], grey)  # ± contrast
    assert gain.abs().log2().std().item() == pytest.approx(0.5, rel=0.03)
    assert (gain < 0).double().mean().item() == pytest.approx(0.5, abs=0.02)
    brightness = (maps[:, :3, 3] @ grey) / gain / math.sqrt(3)
    assert brightness.std().item() == pytest.approx(0.2, rel=0.03)


def test_one_channel_takes_the_mean_of_the_colour_map():
    x = torch.rand(6, 1, 2, 2, dtype=torch.float64)
    maps = color(x, torch.ones(()))
    as_rgb = recolor(x.expand(-1, 3, -1, -1), maps).mean(1, keepdim=True)
    torch.testing.assert_close(recolor(x, maps), as_rgb)


# --- ADA: adaptation ----------------------------------------------------------------------------


def adapt(name: str, real_logit: float, updates: int, n: int = 10) -> torch.Tensor:
    """p after some updates in which D scores every real with `real_logit`."""
    network = Recorder()
    loss = named(name)()

    def score(x):
        return network.scale * real_logit + 0 * x.flatten(1).mean(1)

    score.module = network
    x = torch.zeros(n, 1, 8, 8)
    for _ in range(updates):
        loss.d_loss(score, x, x.clone())
        loss.after_d_update(network)
        loss.g_loss(score, x, x.clone())
    return loss.state_dict()["ada"]["p"]


@pytest.mark.parametrize("name", ["nonsat+ada", "ada+nonsat", "nonsat+r1+ada"])
def test_p_rises_by_the_images_seen_over_the_speed_while_d_is_sure_of_the_reals(name):
    # r = 1 > 0.6: after 8 updates of 10 images, 80 images of 1,000 × 0.5
    text = name.replace("ada", "ada:kimg=0.5")
    assert adapt(text, 2.0, 8).item() == pytest.approx(80 / 500)


def test_p_moves_at_every_interval_only():
    assert adapt("nonsat+ada:kimg=0.5", 2.0, 3).item() == 0
    assert adapt("nonsat+ada:kimg=0.5,interval=2", 2.0, 3).item() == pytest.approx(20 / 500)


def test_p_falls_while_d_doubts_the_reals_and_stops_at_zero():
    assert adapt("nonsat+ada:kimg=0.5,p=0.5", -1.0, 4).item() == pytest.approx(0.5 - 40 / 500)
    assert adapt("nonsat+ada:kimg=0.5", -1.0, 4).item() == 0


def test_adaptation_compares_the_share_of_sure_reals_with_the_target():
    network, x = Recorder(), torch.zeros(10, 1, 8, 8)
    signs = torch.tensor([1.0] * 8 + [-1.0] * 2)  # r = 0.6

    def score(seen):
        return network.scale * signs

    score.module = network
    for target, expected in ((0.5, 10 / 500), (0.7, 0.0)):
        loss = named(f"nonsat+ada:kimg=0.5,interval=1,target={target}")()
        loss.d_loss(score, x, x.clone())
        loss.after_d_update(network)
        assert loss.state_dict()["ada"]["p"].item() == pytest.approx(expected)


def test_adaptation_survives_a_checkpoint_between_two_intervals():
    network, x = Recorder(), torch.ones(10, 1, 8, 8)
    first, second = named("nonsat+ada:kimg=0.5")(), named("nonsat+ada:kimg=0.5")()

    def update(loss):
        loss.d_loss(network, x, x.clone())
        loss.after_d_update(network)

    for _ in range(3):
        update(first)
    second.load_state_dict(first.state_dict())
    for loss in (first, second):
        update(loss)
    torch.testing.assert_close(first.state_dict(), second.state_dict())
    assert first.state_dict()["ada"]["p"].item() == pytest.approx(40 / 500)


def test_adaptation_scores_nothing_twice():
    network, x = Recorder(), torch.ones(4, 1, 8, 8)
    loss = named("nonsat+ada")()
    loss.d_loss(network, x, x.clone())
    loss.after_d_update(network)
    assert len(network.seen) == 2


def test_a_loss_that_scores_no_real_image_can_not_drive_the_adaptation():
    loss, x = named("r1+ada")(), torch.ones(4, 1, 8, 8)
    network = Recorder()
    loss.d_loss(network, x, x.clone())
    with pytest.raises(IncompatibleParts, match=r"nonsat.*write ada last"):
        loss.after_d_update(network)


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_train_through_the_whole_path(play, name):
    game, rule = play(
        loss=f"nonsat+{name}",
        generator="mlp:hidden=[8]",
        discriminator="mlp:hidden=[8]",
        batch_size=4,
        opt="sgd:lr=0.01",
    )
    for _ in range(2):
        terms = game.play(rule)
    assert all(term.isfinite() for term in terms.values())
