"""Adversarial losses against closed forms written out by hand, found by name as in a run."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import (
    GRID,
    Linear,
    Logit,
    at_logits,
    batch,
    check_closed_form,
    check_d_gradient,
    check_finite,
    check_g_gradient,
    check_mean_over_batch,
    close,
    named,
    sigmoid,
    softplus,
    total,
)

LOG2 = math.log(2)

# With real logit a and fake logit b: what D descends, and what G descends.
CLOSED_FORMS = {
    "minimax": (lambda a, b: softplus(-a) + softplus(b), lambda a, b: -softplus(b)),
    "nonsat": (lambda a, b: softplus(-a) + softplus(b), lambda a, b: softplus(-b)),
    "nonsat-negated": (lambda a, b: softplus(-a) + softplus(b), lambda a, b: -softplus(-b)),
    "minimax:smoothing=0.1": (
        lambda a, b: 0.9 * softplus(-a) + 0.1 * softplus(a) + softplus(b),
        lambda a, b: -softplus(b),
    ),
    "nonsat:smoothing=0.1": (
        lambda a, b: 0.9 * softplus(-a) + 0.1 * softplus(a) + softplus(b),
        lambda a, b: softplus(-b),
    ),
    "lsgan": (lambda a, b: (a - 1) ** 2 / 2 + b**2 / 2, lambda a, b: (b - 1) ** 2 / 2),
    "least-squares": (lambda a, b: (a - 1) ** 2 / 2 + b**2 / 2, lambda a, b: (b - 1) ** 2 / 2),
    "lsgan:a=-1,b=1,c=0": (
        lambda a, b: (a - 1) ** 2 / 2 + (b + 1) ** 2 / 2,
        lambda a, b: b**2 / 2,
    ),
    "hinge": (lambda a, b: max(0, 1 - a) + max(0, 1 + b), lambda a, b: -b),
    "wgan": (lambda a, b: -a + b, lambda a, b: -b),
    "rpgan": (lambda a, b: softplus(-(a - b)), lambda a, b: softplus(-(b - a))),
    "f-gan:divergence=jensen-shannon": (
        lambda a, b: softplus(-a) + softplus(b) - 2 * LOG2,
        lambda a, b: LOG2 - softplus(b),
    ),
    "f-gan:divergence=jensen-shannon,nonsat=true": (
        lambda a, b: softplus(-a) + softplus(b) - 2 * LOG2,
        lambda a, b: softplus(-b) - LOG2,
    ),
    "f-gan:divergence=pearson": (
        lambda a, b: -a + b**2 / 4 + b,
        lambda a, b: -(b**2) / 4 - b,
    ),
    "f-gan:divergence=kl": (lambda a, b: -a + math.exp(b - 1), lambda a, b: -math.exp(b - 1)),
    "f-gan:divergence=reverse-kl": (
        lambda a, b: math.exp(-a) + b - 1,
        lambda a, b: 1 - b,
    ),
    "f-gan:divergence=hellinger": (
        lambda a, b: math.exp(-a) - 1 + math.exp(b) - 1,
        lambda a, b: 1 - math.exp(b),
    ),
}
EXPONENTIAL = {name for name in CLOSED_FORMS if name.endswith(("kl", "hellinger"))}
RELATIVE_AVERAGES = ["ragan", "ralsgan"]
RELATIVE = {*RELATIVE_AVERAGES, "mmd", "mmd:kernel=rbf"}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_loss_equals_its_closed_form_at_one_logit(name):
    check_closed_form(named(name), *CLOSED_FORMS[name])


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_loss_of_a_batch_is_the_mean_over_its_pairs(name):
    check_mean_over_batch(named(name), *CLOSED_FORMS[name])


@pytest.mark.parametrize("name", [*sorted(CLOSED_FORMS.keys() - EXPONENTIAL), *RELATIVE_AVERAGES])
@pytest.mark.parametrize(("most", "dtype"), [(1e4, torch.float32), (80.0, torch.bfloat16)])
def test_values_and_gradients_are_finite_for_confident_logits(name, most, dtype):
    check_finite(named(name), most, dtype)


@pytest.mark.parametrize("name", sorted(EXPONENTIAL))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_divergences_exponential_in_the_logit_are_finite_while_the_type_can_hold_them(name, dtype):
    check_finite(named(name), 80.0, dtype)  # e^80 = 5.5e34 < 3.4e38


@pytest.mark.parametrize("name", ["mmd", "mmd:kernel=rbf"])
@pytest.mark.parametrize(("most", "dtype"), [(1e4, torch.float32), (80.0, torch.bfloat16)])
def test_kernel_losses_are_finite_for_confident_outputs(name, most, dtype):
    real = torch.tensor([[most], [-most]], dtype=dtype, requires_grad=True)
    fake = torch.tensor([[0.0], [most]], dtype=dtype, requires_grad=True)
    d = total(named(name)().d_loss(Logit(), real, fake))
    gradients = torch.autograd.grad(d, (real, fake))
    assert all(bool(value.isfinite().all()) for value in (d, *gradients))


@pytest.mark.parametrize(
    ("name", "by_b"),
    [
        ("minimax", lambda b: -sigmoid(b)),
        ("nonsat", lambda b: sigmoid(b) - 1 if b < 20 else -sigmoid(-b)),
        ("nonsat-negated", lambda b: sigmoid(-b)),
        ("wgan", lambda b: -1.0),
        ("lsgan", lambda b: b - 1.0),
    ],
)
def test_gs_gradient_equals_its_closed_form_in_float32(name, by_b):
    check_g_gradient(named(name), by_b)


def test_a_confident_rejection_leaves_nonsat_its_gradient_and_takes_that_of_minimax():
    # σ(−30) = 9.36e-14
    assert at_logits(named("nonsat")(), 0.0, -30.0, torch.float32)[3].item() == -1.0
    found = at_logits(named("minimax")(), 0.0, -30.0, torch.float32)[3].item()
    assert found == pytest.approx(-9.3576e-14, rel=1e-4)


@pytest.mark.parametrize("name", ["minimax", "nonsat", "nonsat-negated"])
def test_ds_gradient_is_the_same_for_minimax_and_nonsat(name):
    check_d_gradient(named(name), lambda a: -sigmoid(-a), sigmoid)


def test_undecided_logits_give_the_value_functions_constants():
    # log D(x) = log(1 − D(G(z))) = −log 2 each
    d, g, *_ = at_logits(named("minimax")(), 0.0, 0.0)
    assert d.item() == pytest.approx(2 * LOG2, rel=1e-12)
    assert g.item() == pytest.approx(-LOG2, rel=1e-12)
    assert at_logits(named("nonsat")(), 0.0, 0.0)[1].item() == pytest.approx(LOG2, rel=1e-12)


def test_smoothing_moves_ds_optimum_on_reals_to_the_smoothed_label():
    # softplus(−a) + s a is least where σ(−a) = s, at D = 1 − s
    a = math.log(0.9 / 0.1)
    by_a = at_logits(named("nonsat:smoothing=0.1")(), a, 0.0)[2][0].item()
    assert by_a == pytest.approx(0, abs=1e-12)


# --- relativistic averages ----------------------------------------------------------------------

REAL, FAKE = [0.5, -1.5, 3.0], [1.0, -2.0, 0.25]  # means 2/3 and −1/4


def both(name: str) -> tuple[float, float]:
    real, fake = (torch.tensor(x, dtype=torch.float64)[:, None] for x in (REAL, FAKE))
    loss = named(name)()
    return tuple(total(f(Logit(), real, fake)).item() for f in (loss.d_loss, loss.g_loss))


def test_ragan_scores_each_logit_against_the_mean_of_the_other_kind():
    d = sum(softplus(-(a + 1 / 4)) for a in REAL) / 3 + sum(softplus(b - 2 / 3) for b in FAKE) / 3
    g = sum(softplus(-(b - 2 / 3)) for b in FAKE) / 3 + sum(softplus(a + 1 / 4) for a in REAL) / 3
    assert both("ragan") == pytest.approx((d, g), rel=1e-12)


def test_ralsgan_draws_the_differences_to_one_and_minus_one():
    d = sum((a + 1 / 4 - 1) ** 2 for a in REAL) / 3 + sum((b - 2 / 3 + 1) ** 2 for b in FAKE) / 3
    g = sum((b - 2 / 3 - 1) ** 2 for b in FAKE) / 3 + sum((a + 1 / 4 + 1) ** 2 for a in REAL) / 3
    assert both("ralsgan") == pytest.approx((d, g), rel=1e-12)


@pytest.mark.parametrize("name", ["rpgan", "ragan", "ralsgan"])
def test_relativistic_losses_do_not_change_when_all_logits_move_together(name):
    real, fake = batch(4, 1, seed=1), batch(4, 1, seed=2)
    loss = named(name)()
    for f in (loss.d_loss, loss.g_loss):
        moved = total(f(Logit(), real + 7, fake + 7)).item()
        assert close(moved, total(f(Logit(), real, fake)).item())


# --- f-divergences ------------------------------------------------------------------------------

P, Q = [0.2, 0.5, 0.3], [0.4, 0.35, 0.25]  # two distributions over three outcomes

# name: (divergence of P from Q, the logit of the best D at density ratio u = p/q)
DIVERGENCES = {
    "kl": (lambda p, q: p * math.log(p / q), lambda u: 1 + math.log(u)),
    "reverse-kl": (lambda p, q: q * math.log(q / p), lambda u: math.log(u)),
    "pearson": (lambda p, q: (q - p) ** 2 / q, lambda u: 2 * (u - 1)),
    "hellinger": (lambda p, q: (math.sqrt(p) - math.sqrt(q)) ** 2, lambda u: math.log(u) / 2),
    "jensen-shannon": (
        lambda p, q: p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q)),
        lambda u: math.log(u),
    ),
}


def expected_d_loss(name: str, logits: list[float]) -> float:
    """D's loss for data P and generator Q, by summing over outcomes what one logit costs."""
    real = torch.tensor(logits, dtype=torch.float64)[:, None]
    loss = named(f"f-gan:divergence={name}")()
    one = [total(loss.d_loss(Logit(), x[None], x[None] * 0)).item() for x in real]
    other = [total(loss.d_loss(Logit(), x[None] * 0, x[None])).item() for x in real]
    both_zero = total(loss.d_loss(Logit(), real[:1] * 0, real[:1] * 0)).item()
    return sum(p * r + q * f for p, q, r, f in zip(P, Q, one, other, strict=True)) - both_zero


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_discriminators_loss_is_minus_the_divergence(name):
    divergence, best = DIVERGENCES[name]
    logits = [best(p / q) for p, q in zip(P, Q, strict=True)]
    expected = sum(divergence(p, q) for p, q in zip(P, Q, strict=True))
    assert expected_d_loss(name, logits) == pytest.approx(-expected, rel=1e-9)
    for i in range(3):  # and every other D's is higher: the bound is tight there only
        for step in (-0.1, 0.1):
            nudged = [v + step * (i == j) for j, v in enumerate(logits)]
            assert expected_d_loss(name, nudged) > -expected


# --- MMD ----------------------------------------------------------------------------------------


def kernel_by_hand(name: str, r2: float) -> float:
    if name == "mmd:kernel=rbf":
        return sum(math.exp(-r2 / (2 * s**2)) for s in (1, 2, 4, 8, 16))
    return sum((1 + r2 / (2 * s)) ** -s for s in (0.2, 0.5, 1, 2, 5))


@pytest.mark.parametrize("name", ["mmd", "mmd:kernel=rbf"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_equals_its_definition_summed_by_hand(name, unbiased):
    def mean(xs, ys, skip):
        pairs = [(i, j) for i in range(3) for j in range(3) if not (skip and i == j)]
        return sum(kernel_by_hand(name, (xs[i] - ys[j]) ** 2) for i, j in pairs) / len(pairs)

    mmd2 = mean(REAL, REAL, unbiased) + mean(FAKE, FAKE, unbiased) - 2 * mean(REAL, FAKE, False)
    text = f"{name}{',' if ':' in name else ':'}unbiased={str(unbiased).lower()}"
    assert both(text) == pytest.approx((-mmd2, mmd2), rel=1e-12)


def test_mmds_scales_can_be_chosen():
    one = both("mmd:kernel=rbf,scales=[2.0],unbiased=false")[1]
    k = lambda r: math.exp(-(r**2) / 8)  # noqa: E731
    pairs = lambda xs, ys: sum(k(x - y) for x in xs for y in ys) / 9  # noqa: E731
    assert one == pytest.approx(pairs(REAL, REAL) + pairs(FAKE, FAKE) - 2 * pairs(REAL, FAKE))


def test_the_biased_mmd_of_a_sample_with_itself_is_zero():
    x = batch(6, 1)
    assert total(named("mmd:unbiased=false")().g_loss(Logit(), x, x)).item() == pytest.approx(0)


def test_an_unbiased_mmd_of_one_sample_is_refused_with_the_remedy():
    from ganbench.errors import IncompatibleParts

    with pytest.raises(IncompatibleParts, match=r"batch of 1.*unbiased=false"):
        named("mmd")().d_loss(Logit(), batch(1, 1), batch(1, 1))


# --- reconstruction -----------------------------------------------------------------------------


def test_l1_and_l2_weigh_the_mean_difference_and_act_on_g_alone():
    real = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    fake = torch.tensor([[1.0, 1.0], [0.0, -4.0]])  # differences 1, 0, −2, −3
    for name, expected in (
        ("l1", 100 * (1 + 0 + 2 + 3) / 4),
        ("l1:weight=2", 2 * (1 + 0 + 2 + 3) / 4),
        ("l2", 999 * (1 + 0 + 4 + 9) / 4),
        ("l2:weight=2", 2 * (1 + 0 + 4 + 9) / 4),
    ):
        loss = named(name)()
        assert loss.d_loss(Logit(), real, fake) == {}
        assert total(loss.g_loss(Logit(), real, fake)).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", [*CLOSED_FORMS, *sorted(RELATIVE), "l1", "l2"])
def test_ds_loss_of_detached_fakes_reaches_no_generator_and_gs_reaches_the_fakes(name):
    network = Linear(batch(4, seed=3))
    real, fake = batch(3, 4, seed=1), batch(3, 4, seed=2).requires_grad_()
    d_terms = named(name)().d_loss(network, real, fake.detach())
    if d_terms:
        total(d_terms).backward()
    assert fake.grad is None
    total(named(name)().g_loss(network, real, fake)).backward()
    assert fake.grad is not None


@pytest.mark.parametrize("a", GRID)
def test_hinge_stops_ds_gradient_beyond_the_margins(a):
    by_a, by_b = at_logits(named("hinge")(), a, a)[2]
    assert by_a.item() == (-1.0 if a < 1 else 0.0)
    assert by_b.item() == (1.0 if a > -1 else 0.0)
