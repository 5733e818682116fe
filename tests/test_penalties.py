"""Penalties and constraints against exact values, found by name as in a run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracles import (
    Linear,
    Smooth,
    batch,
    check_finite_at_zero_gradient,
    check_lazy,
    check_linear,
    check_one_share_per_sample,
    close,
    named,
    penalty_at,
    total,
)
from torch import nn

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.scorers import ScorerOf

# The penalty of D(x) = w·x as a function of ‖w‖.
LINEAR = {
    "r1": lambda n: 10 / 2 * n**2,
    "r1:gamma=3": lambda n: 3 / 2 * n**2,
    "r2:gamma=3": lambda n: 3 / 2 * n**2,
    "wgan-gp": lambda n: 10 * (n - 1) ** 2,
    "wgan-gp:weight=3,target=0.5": lambda n: 3 * (n - 0.5) ** 2,
    "wgan-lp": lambda n: 10 * max(0, n - 1) ** 2,
    "wgan-lp:weight=3": lambda n: 3 * max(0, n - 1) ** 2,
    "dragan": lambda n: 10 * (n - 1) ** 2,
    "dragan:weight=3,target=2.0,noise=uniform": lambda n: 3 * (n - 2) ** 2,
}
GRADIENT = ["r1", "r2", "wgan-gp", "wgan-lp", "dragan"]


class Quadratic(nn.Module):
    """D(x) = ½c‖x‖², whose gradient is cx."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))

    def forward(self, x):
        return self.c / 2 * x.flatten(1).square().sum(1)


@pytest.mark.parametrize("name", LINEAR)
def test_the_penalty_of_a_linear_discriminator_depends_on_its_norm_alone(name):
    check_linear(named(name), LINEAR[name])


@pytest.mark.parametrize("name", GRADIENT)
def test_the_penalty_of_a_flat_discriminator_has_a_finite_gradient(name):
    check_finite_at_zero_gradient(named(name))


def test_r1_is_taken_at_the_data_and_r2_at_the_fakes():
    real, fake = batch(3, 2, 2, seed=1), batch(3, 2, 2, seed=2)
    mean_square = [x.flatten(1).square().sum(1).mean().item() for x in (real, fake)]
    for name, expected in zip(("r1", "r2"), mean_square, strict=True):
        found = penalty_at(named(name)(), Quadratic(0.7), real, fake)
        assert close(found, 10 / 2 * 0.7**2 * expected)


def test_r1s_gradient_by_the_parameters_is_its_closed_form():
    # (γ/2) E‖cx‖² has the derivative γ c E‖x‖² by c
    real, network = batch(3, 2, seed=1), Quadratic(0.7)
    total(named("r1:gamma=4")().d_loss(network, real, real)).backward()
    assert network.c.grad.item() == pytest.approx(4 * 0.7 * real.square().sum(1).mean().item())


@pytest.mark.parametrize("name", ["wgan-gp", "wgan-lp"])
def test_a_lipschitz_penalty_interpolates_with_one_share_per_sample(name):
    check_one_share_per_sample(named(name))


def test_wgan_lp_leaves_slopes_below_one_alone_where_wgan_gp_lifts_them():
    network = Linear(torch.tensor([0.3, 0.4]))  # norm ½
    real = torch.randn(3, 2)
    assert penalty_at(named("wgan-lp")(), network, real, real) == 0
    assert penalty_at(named("wgan-gp")(), network, real, real) == pytest.approx(10 / 4)


@pytest.mark.parametrize(("noise", "spread"), [("normal", 1.0), ("uniform", math.sqrt(1 / 9))])
def test_dragan_looks_around_the_data_at_the_scale_of_its_spread(noise, spread):
    # E δ² is s² for a normal δ, and s² E[α²] E[u²] = s²/9 for α s u
    seen = []

    class Recorder(Linear):
        def forward(self, x):
            seen.append(x.detach())
            return super().forward(x)

    real = 3 * batch(4000, 4, seed=5)
    penalty_at(named(f"dragan:scale=0.5,noise={noise}")(), Recorder(batch(4)), real, real)
    found = (seen[0] - real).square().mean().sqrt().item()
    assert found == pytest.approx(0.5 * real.std().item() * spread, rel=0.03)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_lazy_penalty_keeps_its_mean_over_updates(name):
    check_lazy(named(name), named(f"{name}:every=4"), 4)


def test_ortho_and_consistency_can_be_lazy_too():
    network, x = (
        nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.Flatten(0)),
        torch.rand(2, 1, 4, 4),
    )
    for name in ("ortho", "consistency"):
        loss, plain = named(f"{name}:every=4")(), named(name)()
        applied = []
        for _ in range(8):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                applied.append(loss.d_loss(ScorerOf(network), x, x))
            loss.after_d_update(network)
        assert [bool(terms) for terms in applied] == [True, False, False, False] * 2
        torch.manual_seed(0)
        expected = 4 * total(plain.d_loss(ScorerOf(network), x, x)).item()
        assert total(applied[4]).item() == pytest.approx(expected)


def test_a_lazy_penalty_goes_on_counting_after_a_checkpoint():
    network, x = Linear(batch(4)), batch(2, 4)
    first, second = named("r1:every=3")(), named("r1:every=3")()
    first.after_d_update(network)
    second.load_state_dict(first.state_dict())
    for loss in (first, second):
        applied = []
        for _ in range(4):
            applied.append(bool(loss.d_loss(network, x, x)))
            loss.after_d_update(network)
        assert applied == [False, False, True, False]


def test_updates_of_the_generator_and_micro_batches_do_not_count_for_a_lazy_penalty(play):
    game, rule = play(
        data="gaussian:dim=2",
        loss="nonsat+r1:every=3",
        rule="alternating:n_dis=2",
        generator="mlp:hidden=[4]",
        discriminator="mlp:hidden=[4]",
        batch_size=8,
        micro_batch_size=4,
        opt="sgd:lr=0.1",
    )
    # D's updates 0, 1 | 2, 3 | 4, 5 | 6, 7: the last of each step is reported, R1 is due at 0, 3, 6
    reported = ["d_r1" in game.play(rule) for _ in range(4)]
    assert reported == [False, True, False, False]


@pytest.mark.parametrize(
    ("rule", "due"),
    [("extragradient", [True, False, False, True]), ("extragradient-past", [True, False] * 2)],
)
def test_a_look_ahead_does_not_count_for_a_lazy_penalty(play, rule, due):
    every = 3 if rule == "extragradient" else 2
    game, step = play(
        data="gaussian:dim=2",
        loss=f"nonsat+r1:every={every}",
        rule=rule,
        generator="mlp:hidden=[4]",
        discriminator="mlp:hidden=[4]",
        batch_size=4,
        opt="sgd:lr=0.1",
    )
    assert ["d_r1" in game.play(step) for _ in range(4)] == due


def test_clip_brings_every_parameter_into_its_range_and_adds_no_term():
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([0.5, -0.5, 0.02]))
    loss = named("clip:c=0.05")()
    assert loss.d_loss(ScorerOf(network), torch.ones(1, 4), torch.ones(1, 4)) == {}
    before = [p.detach().clone() for p in network.parameters()]
    loss.after_d_update(network)
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old.clamp(-0.05, 0.05))


def test_ortho_is_zero_for_orthogonal_rows_and_counts_every_pair_otherwise():
    network = nn.Linear(2, 2, bias=False)
    x = torch.zeros(1, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.0, 3.0], [2.0, 0.0]]))
    # rows ⟂: off-diagonal 0; full (9 − 1)² + (4 − 1)²
    scorer = ScorerOf(network)
    assert total(named("ortho:weight=1.0")().d_loss(scorer, x, x)).item() == 0
    full = total(named("ortho:weight=1.0,form=full")().d_loss(scorer, x, x)).item()
    assert full == pytest.approx(64 + 9)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 1.0]]))
    # row product 1·3 + 2·1 = 5, twice
    found = total(named("ortho:weight=0.1")().d_loss(scorer, x, x)).item()
    assert found == pytest.approx(0.1 * 2 * 25)


def test_ortho_flattens_a_convolutions_kernel_and_skips_biases():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    w = network[0].weight.detach().flatten(1)
    gram = (w @ w.T).fill_diagonal_(0)
    x = torch.zeros(1, 2, 4, 4)
    found = total(named("ortho:weight=1.0")().d_loss(ScorerOf(network), x, x)).item()
    assert found == pytest.approx(gram.square().sum().item())


def test_consistency_is_zero_for_a_discriminator_that_flips_and_shifts_cannot_change():
    class Mean(nn.Module):
        def forward(self, x):
            return x.amax((1, 2, 3))

    x = torch.zeros(8, 1, 8, 8)
    x[:, :, 3:5, 3:5] = torch.rand(8, 1, 1, 1)  # stays inside by shifts of up to 2
    assert penalty_at(named("consistency:shift=2")(), Mean(), x, x) == 0


def test_consistency_weighs_the_squared_change_of_the_logit_for_reals_and_if_asked_for_fakes():
    class Left(nn.Module):  # D is the left half's mean: a flip takes 1 to 0 or 0 to 1
        def forward(self, x):
            return x[..., : x.shape[3] // 2].mean((1, 2, 3))

    x = torch.zeros(2000, 1, 2, 4)
    x[..., :2] = 1
    torch.manual_seed(0)
    found = penalty_at(named("consistency:shift=0")(), Left(), x, x * 0)
    assert found == pytest.approx(10 / 2, rel=0.1)  # half of the images are flipped
    none = penalty_at(named("consistency:shift=0")(), Left(), x * 0, x)
    fakes = penalty_at(named("consistency:shift=0,weight_fake=4.0")(), Left(), x * 0, x)
    assert none == 0
    assert fakes == pytest.approx(4 / 2, rel=0.1)


def test_consistency_of_points_is_refused():
    with pytest.raises(IncompatibleParts, match=r"consistency.*images"):
        named("consistency")().d_loss(Linear(torch.ones(2)), torch.ones(3, 2), torch.ones(3, 2))


# --- through the whole path ---------------------------------------------------------------------


def radii(play, steps: int, **settings) -> np.ndarray:
    game, rule = play(**settings)
    found = []
    for _ in range(steps + 1):
        values = [p.item() for player in game.players for p in player.parameters[0]]
        found.append(math.hypot(*values))
        game.play(rule)
    return np.array(found)


@pytest.mark.parametrize(("lr", "gamma"), [(0.1, 1.0), (0.3, 0.5), (0.5, 0.0)])
def test_consensus_turns_the_bilinear_games_orbit_into_a_spiral_of_known_rate(play, lr, gamma):
    # v = (∓ψ, ±θ) and (γ/2)‖v‖² = (γ/2)(θ² + ψ²), so that a step is (1 − ηγ)I + ηJ with J a
    # quarter turn, and r² changes by (1 − ηγ)² + η².
    r = radii(
        play,
        20,
        data="bilinear",
        loss=f"wgan+consensus:gamma={gamma}",
        opt=f"sgd:lr={lr}",
        rule="simultaneous",
    )
    np.testing.assert_allclose((r[1:] / r[:-1]) ** 2, (1 - lr * gamma) ** 2 + lr**2, rtol=1e-5)


@pytest.mark.parametrize("loss", ["minimax", "nonsat"])
def test_r1_makes_the_dirac_gan_converge_at_its_eigenvalues_rate(play, loss):
    # λ = −γ/2 ± √(γ²/4 − ¼); at γ = 0.3, h = 0.2: |1 + hλ| = 0.975
    gamma, h = 0.3, 0.2
    eigenvalue = complex(-gamma / 2, math.sqrt(0.25 - gamma**2 / 4))
    r = radii(
        play,
        400,
        data="dirac",
        generator="dirac:start=0.01",
        discriminator="dirac:start=0.01",
        loss=f"{loss}+r1:gamma={gamma}",
        opt=f"sgd:lr={h}",
        rule="simultaneous",
    )
    assert abs(1 + h * eigenvalue) == pytest.approx(0.975, abs=5e-4)
    assert (r[300] / r[20]) ** (1 / 280) == pytest.approx(abs(1 + h * eigenvalue), abs=2e-3)


def test_clipping_keeps_the_players_weights_in_range_through_a_run(play):
    game, rule = play(
        data="gaussian:dim=2",
        loss="wgan+clip:c=0.02",
        generator="mlp:hidden=[4]",
        discriminator="mlp:hidden=[4]",
        batch_size=8,
        opt="sgd:lr=0.5",
    )
    for _ in range(3):
        game.play(rule)
        largest = max(p.abs().max().item() for p in game.discriminator.module.parameters())
        assert largest == pytest.approx(0.02)


# --- what does not fit --------------------------------------------------------------------------


class OnceOnly(torch.autograd.Function):
    """x², with a first derivative alone."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class OnceDifferentiable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return OnceOnly.apply(x * self.w).sum(1)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_network_without_second_derivatives_is_refused_by_name(name):
    x = torch.ones(3, 2)
    with pytest.raises(IncompatibleParts, match=rf"'{name}'.*OnceDifferentiable.*such as mlp"):
        named(name)().d_loss(ScorerOf(OnceDifferentiable()), x, x)


def test_consensus_of_a_network_without_second_derivatives_is_refused():
    network, g = OnceDifferentiable(), Linear(torch.ones(2))
    x = torch.ones(3, 2)
    with pytest.raises(IncompatibleParts, match="'consensus'"):
        named("consensus")().players_penalty(
            network(x).sum(), g(x).sum(), list(network.parameters()), list(g.parameters())
        )


def test_a_discriminator_that_ignores_its_input_is_refused():
    class Blind(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), requires_grad=True) * 1.0

    with pytest.raises(IncompatibleParts, match=r"Blind does not depend"):
        named("r1")().d_loss(ScorerOf(Blind()), torch.ones(3, 2), torch.ones(3, 2))


def test_ortho_without_matrices_is_refused():
    with pytest.raises(IncompatibleParts, match="has none"):
        named("ortho")().d_loss(ScorerOf(nn.Identity()), torch.ones(1, 2), torch.ones(1, 2))


@pytest.mark.parametrize(
    "text", ["r1:gamma=-1", "r1:every=0", "clip:c=0", "wgan-gp:weight=-1", "dragan:noise=other"]
)
def test_an_option_out_of_range_is_refused(text):
    with pytest.raises(UsageError):
        named(text)()


def test_a_penalty_does_not_touch_gradients_at_hand():
    network = Smooth((2,))
    x = batch(3, 2)
    named("r1")().d_loss(network, x, x)
    assert all(p.grad is None for p in network.parameters())
    assert not x.requires_grad
