"""Update rules on games that are solved on paper, through registry, game, rule and optimizer.

Sources of the truths: Gidel et al. 2019 (arXiv:1802.10551), Daskalakis et al. 2018
(arXiv:1711.00141), Zhang & Yu 2019 (arXiv:1908.05699), Mescheder et al. 2018 (arXiv:1801.04406).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganbench.errors import IncompatibleParts
from ganbench.registry import default_registry

REGISTRY = default_registry()


def trajectory(play, steps: int, **settings) -> np.ndarray:
    """(θ, ψ) before every step, and after the last: (steps + 1, 2)."""
    game, rule = play(**settings)
    points = []
    for _ in range(steps):
        points.append([p.item() for player in game.players for p in player.parameters[0]])
        game.play(rule)
    points.append([p.item() for player in game.players for p in player.parameters[0]])
    return np.array(points)


def squared_radius(points: np.ndarray) -> np.ndarray:
    return (points**2).sum(axis=1)


@pytest.mark.parametrize("lr", [0.05, 0.2, 0.5])
def test_simultaneous_sgd_on_the_bilinear_game_grows_by_exactly_one_plus_lr_squared(play, lr):
    r2 = squared_radius(
        trajectory(play, 50, data="bilinear", opt=f"sgd:lr={lr}", rule="simultaneous")
    )
    np.testing.assert_allclose(r2[1:] / r2[:-1], 1 + lr**2, rtol=1e-6)


@pytest.mark.parametrize("lr", [0.2, 1.0, 1.9])
def test_alternating_sgd_on_the_bilinear_game_stays_bounded_and_does_not_converge(play, lr):
    r2 = squared_radius(
        trajectory(play, 500, data="bilinear", opt=f"sgd:lr={lr}", rule="alternating")
    )
    # Alternating steps conserve θ² + ψ² ± lr·θψ, an ellipse for lr < 2.
    assert r2.max() < r2[0] * (2 + lr) / (2 - lr) * 1.01
    assert r2.min() > r2[0] * (2 - lr) / (2 + lr) * 0.99 / 2


@pytest.mark.parametrize("lr", [0.2, 0.5, 0.9])
def test_extragradient_sgd_on_the_bilinear_game_shrinks_by_its_exact_factor(play, lr):
    r2 = squared_radius(
        trajectory(play, 40, data="bilinear", opt=f"sgd:lr={lr}", rule="extragradient")
    )
    np.testing.assert_allclose(r2[1:] / r2[:-1], 1 - lr**2 + lr**4, rtol=1e-5)


def test_extragradient_diverges_beyond_a_step_of_one(play):
    r2 = squared_radius(
        trajectory(play, 40, data="bilinear", opt="sgd:lr=1.1", rule="extragradient")
    )
    assert r2[-1] > r2[0]


@pytest.mark.parametrize(
    ("rule", "opt"), [("simultaneous", "omd:lr={lr}"), ("extragradient-past", "sgd:lr={lr}")]
)
def test_optimistic_steps_follow_the_roots_of_their_characteristic_polynomial(play, rule, opt):
    # λ² − (1 − 2iη)λ − iη = 0; at η = ½ the double root ½(1 − i), |λ| = 0.70711.
    for lr in (0.2, 0.5):
        r2 = squared_radius(
            trajectory(play, 120, data="bilinear", opt=opt.format(lr=lr), rule=rule)
        )
        radius = max(abs(np.roots([1, -(1 - 2j * lr), -1j * lr])))
        if lr == 0.5:
            assert radius == pytest.approx(0.70711, abs=1e-5)
            # a double root: r² ~ t²·radius^2t, whose ratio tends to radius² as (1 + 1/t)²
            assert r2[60] / r2[59] == pytest.approx(radius**2 * (1 + 1 / 60) ** 2, rel=0.02)
        else:
            assert (r2[100] / r2[60]) ** (1 / 80) == pytest.approx(radius, rel=1e-3)


@pytest.mark.parametrize(("lr", "converges"), [(0.55, True), (0.6, False)])
def test_optimistic_mirror_descent_converges_only_below_one_over_root_three(play, lr, converges):
    r2 = squared_radius(
        trajectory(play, 400, data="bilinear", opt=f"omd:lr={lr}", rule="simultaneous")
    )
    assert (r2[-1] < r2[0]) == converges


def test_extragradient_looks_ahead_with_both_players_before_either_moves(play):
    # One step from (θ, ψ) = (1, 1) at lr ½. G descends −ψθ: ahead θ' = 1 + ½ψ; D descends
    # −0 + ψθ: ahead ψ' = 1 − ½θ. θ' = 1.5, ψ' = 0.5. Then θ = 1 + ½ψ' = 1.25, ψ = 1 − ½θ' = 0.25.
    points = trajectory(play, 1, data="bilinear", opt="sgd:lr=0.5", rule="extragradient")
    assert points[1].tolist() == [0.25, 1.25]  # D first


def batches_and_latents(play, **settings) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What D sees as real, and the latents of G, at each gradient of one step."""
    game, rule = play(data="gaussian:n=64", generator="mlp:hidden=[4]", z_dim=3, **settings)
    real, latents = [], []
    both = game.objective.both

    def watched(x_real, z, share):
        real.append(x_real)
        latents.append(z)
        return both(x_real, z, share)

    game.objective.both = watched
    game.play(rule)
    return real, latents


@pytest.mark.parametrize(
    ("batches", "same"), [("", False), (":batches=2", False), (":batches=1", True)]
)
def test_extragradient_takes_its_gradients_on_one_batch_or_two_as_told(play, batches, same):
    real, latents = batches_and_latents(play, rule=f"extragradient{batches}", batch_size=32)
    assert len(real) == 2
    assert torch.equal(*real) == same
    assert torch.equal(*latents) == same


def test_extragradient_on_full_batches_sees_them_twice(play):
    real, _ = batches_and_latents(play, rule="extragradient", batch_size="full")
    assert torch.equal(*real)


def test_extragradient_on_one_batch_shrinks_the_bilinear_game_as_on_two(play):
    paths = [
        trajectory(play, 20, data="bilinear", opt="sgd:lr=0.2", rule=rule)
        for rule in ("extragradient:batches=1", "extragradient")
    ]
    np.testing.assert_array_equal(*paths)


def test_simultaneous_moves_both_from_the_same_point(play):
    points = trajectory(play, 1, data="bilinear", opt="sgd:lr=0.5", rule="simultaneous")
    assert points[1].tolist() == [0.5, 1.5]


def test_alternating_moves_g_against_the_new_d(play):
    # ψ = 1 − ½·1 = 0.5, then θ = 1 + ½·0.5 = 1.25.
    points = trajectory(play, 1, data="bilinear", opt="sgd:lr=0.5", rule="alternating")
    assert points[1].tolist() == [0.5, 1.25]


def test_n_dis_is_the_number_of_d_updates_a_step(play):
    # ψ = 1 − 3·½·1 = −0.5, then θ = 1 + ½·(−0.5) = 0.75.
    points = trajectory(play, 1, data="bilinear", opt="sgd:lr=0.5", n_dis=3)
    assert points[1].tolist() == [-0.5, 0.75]


def test_unrolled_g_descends_through_the_updates_that_d_would_make(play):
    # D moves: ψ = 1 − h. Unrolled k times: ψ_k = ψ − k·h·θ. G descends −ψ_k(θ)·θ:
    # its gradient is −(ψ − 2khθ), so θ = 1 + h(ψ − 2kh). With h = ¼, k = 2: ψ = ¾, θ = 1 − ¼·¼.
    points = trajectory(play, 1, data="bilinear", opt="sgd:lr=0.25", rule="unrolled:k=2")
    assert points[1].tolist() == [0.75, 0.9375]


def test_unrolled_by_the_gradient_is_unrolled_by_sgd(play):
    by_sgd, by_gradient = (
        trajectory(play, 20, data="dirac", opt="sgd:lr=0.1", rule=f"unrolled:k=3,by={by}")
        for by in ("optimizer", "gradient")
    )
    np.testing.assert_array_equal(by_sgd, by_gradient)


@pytest.mark.parametrize("opt", REGISTRY.names("optimizer"))
@pytest.mark.parametrize("rule", REGISTRY.names("rule"))
def test_every_rule_works_with_every_optimizer(play, rule, opt):
    if opt == "sparseadam":
        pytest.skip("sparseadam takes sparse gradients only, and networks here make dense ones")
    game, step = play(
        data="gaussian:dim=4,n=64",
        generator="mlp:hidden=[8]",
        discriminator="mlp:hidden=[8]",
        rule="unrolled:k=2,by=gradient" if rule == "unrolled" else rule,
        opt=opt,
        batch_size="full" if opt == "gd" else 16,
        z_dim=4,
    )
    start = [player.position() for player in game.players]
    for _ in range(6):
        assert all(term.isfinite() for term in game.play(step).values())
    for player, before in zip(game.players, start, strict=True):
        now = player.position()
        assert all(p.isfinite().all() for p in now)
        assert any(not p.equal(q) for p, q in zip(now, before, strict=True))


# Of torch.optim's with a `differentiable` option, all but adamax and rprop, which overwrite what
# their own derivative needs.
DIFFERENTIABLE = {
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "asgd",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
}


@pytest.mark.parametrize("opt", REGISTRY.names("optimizer"))
def test_unrolled_through_an_optimizer_plays_or_names_what_would(play, opt):
    if opt in ("sparseadam", "gd"):
        pytest.skip("sparseadam is refused anyway, and gd is sgd on a full batch")
    game, step = play(
        data="gaussian:dim=4,n=64",
        generator="mlp:hidden=[8]",
        discriminator="mlp:hidden=[8]",
        rule="unrolled:k=2",
        opt=opt,
        batch_size=16,
        z_dim=4,
    )
    if opt in DIFFERENTIABLE:
        assert all(term.isfinite() for term in game.play(step).values())
        return
    with pytest.raises(IncompatibleParts, match="unrolled:by=gradient"):
        game.play(step)


def test_unrolled_by_no_steps_is_alternating(play):
    unrolled = trajectory(play, 20, data="dirac", opt="adam:lr=0.05", rule="unrolled:k=0")
    alternating = trajectory(play, 20, data="dirac", opt="adam:lr=0.05", rule="alternating")
    np.testing.assert_array_equal(unrolled, alternating)


def test_lookahead_minimax_averages_both_players_every_k_steps(play):
    plain = trajectory(play, 2, data="bilinear", opt="sgd:lr=0.5", rule="alternating")
    ahead = trajectory(
        play, 2, data="bilinear", opt="sgd:lr=0.5", rule="lookahead-minimax:k=2,alpha=0.5"
    )
    np.testing.assert_array_equal(ahead[1], plain[1])
    np.testing.assert_allclose(ahead[2], (plain[0] + plain[2]) / 2, rtol=1e-6)


def test_extra_adam_extrapolates_with_adams_own_direction(play):
    # Adam's first step is lr·sign(g): both look ahead by 0.1, so θ' = 1.1, ψ' = 0.9 and the
    # second gradients are −ψ' and θ'. β = (0, 0.5): v̂ = (½g₁² + g₂²)/1.5, moments of both.
    points = trajectory(
        play, 1, data="bilinear", opt="adam:lr=0.1,betas=[0.0,0.5]", rule="extragradient"
    )
    psi = 1 - 0.1 * 1.1 / np.sqrt((0.5 * 1**2 + 1.1**2) / 1.5)
    theta = 1 + 0.1 * 0.9 / np.sqrt((0.5 * 1**2 + 0.9**2) / 1.5)
    np.testing.assert_allclose(points[1], [psi, theta], rtol=1e-6)


@pytest.mark.parametrize(("h", "gamma"), [(0.2, 0.3), (0.2, 1.5)])
def test_r1_on_the_dirac_gan_contracts_at_the_rate_of_its_eigenvalues(play, h, gamma):
    # λ = −γ/2 ± √(γ²/4 − ¼): r1's term is (γ/2)ψ², whose gradient is γψ.
    r2 = squared_radius(
        trajectory(
            play,
            700,
            data="dirac",
            loss=f"minimax+r1:gamma={gamma}",
            opt=f"sgd:lr={h}",
            rule="simultaneous",
        )
    )
    eigenvalues = -gamma / 2 + np.array([1, -1]) * np.sqrt(complex(gamma**2 / 4 - 0.25))
    rate = max(abs(1 + h * eigenvalues))
    if gamma == 0.3:
        assert rate == pytest.approx(0.975, abs=5e-4)
    measured = (r2[600] / r2[200]) ** (1 / 800)
    assert measured == pytest.approx(rate, rel=2e-3)


@pytest.mark.parametrize("loss", ["minimax", "nonsat"])
def test_the_plain_dirac_gan_spirals_out_near_its_equilibrium_when_both_move_at_once(play, loss):
    # Eigenvalues ±i/2: |1 ± ih/2|² = 1 + h²/4. At h = 0.2 r² grows by 1.01 a step.
    near = {"generator": "dirac:start=1e-3", "discriminator": "dirac:start=1e-3"}
    r2 = squared_radius(
        trajectory(
            play, 300, data="dirac", loss=loss, opt="sgd:lr=0.2", rule="simultaneous", **near
        )
    )
    assert (r2[300] / r2[100]) ** (1 / 200) == pytest.approx(1.01, abs=2e-4)


def test_the_plain_dirac_gan_orbits_when_the_players_alternate(play):
    r2 = squared_radius(
        trajectory(play, 400, data="dirac", loss="minimax", opt="sgd:lr=0.1", rule="alternating")
    )
    assert r2.min() / r2[0] > 0.5
    assert r2.max() / r2[0] < 2


def test_wgan_does_not_converge_on_the_dirac_gan(play):
    r2 = squared_radius(
        trajectory(play, 500, data="dirac", loss="wgan", opt="sgd:lr=0.1", rule="alternating")
    )
    assert r2[-100:].max() > 0.5 * r2[0]


def test_every_rule_is_a_pure_function_of_the_seed(play, registry):
    for rule in registry.names("rule"):
        first = trajectory(play, 5, data="dirac", opt="adam:lr=0.1", rule=rule)
        again = trajectory(play, 5, data="dirac", opt="adam:lr=0.1", rule=rule)
        np.testing.assert_array_equal(first, again)
        assert np.isfinite(first).all()
        assert not np.array_equal(first[0], first[-1])


def test_a_rule_leaves_no_gradient_behind(play, registry):
    for rule in registry.names("rule"):
        game, step = play(data="ring8", rule=rule, batch_size=8)
        game.play(step)
        for player in game.players:
            assert all(p.grad is None for p in player.parameters), rule
            assert all(p.requires_grad for p in player.parameters), rule


def test_the_joint_rule_gives_each_player_the_other_ones_gradient_too(play):
    # wgan: d + g losses sum to −ψ·0 + ψθ − ψθ = 0, so nobody moves.
    points = trajectory(play, 3, data="bilinear", opt="sgd:lr=0.5", rule="joint")
    assert torch.tensor(points).eq(1).all()
