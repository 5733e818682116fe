"""The loss through the registry, against hand arithmetic."""

from __future__ import annotations

import math

import pytest
import torch

from ganbench.errors import UsageError
from ganbench.grammar import parse_component
from ganbench.plan import make_part, make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store


def create(text):
    return make_part(default_registry(), "loss", parse_component(text)).create()


def scores(x):
    return x[:, 0]


def values(loss, a: float, b: float, n: int = 4) -> tuple[float, float]:
    """D's and G's loss where every real logit is a and every fake one b."""
    x_real, x_fake = torch.full((n, 1), a), torch.full((n, 1), b)
    d, g = loss.d_loss(scores, x_real, x_fake), loss.g_loss(scores, x_real, x_fake)
    return d["focal"].item(), g["focal"].item()


def test_at_logits_of_zero_each_term_is_a_quarter_of_log_two():
    # σ(0)² log 2 = log 2 / 4, once for reals and once for fakes.
    assert values(create("focal"), 0.0, 0.0) == pytest.approx((math.log(2) / 2, math.log(2) / 4))


def test_an_easy_sample_counts_for_little():
    # t = 4: σ(−4)² softplus(−4) = 0.017986² · 0.018150 = 5.87e-6; cross entropy has 0.018150.
    d, _ = values(create("focal"), 4.0, -4.0)
    assert d == pytest.approx(2 * 5.87e-6, rel=1e-2)


def test_without_focus_it_is_the_non_saturating_loss():
    focal, nonsat = create("focal:gamma=0"), create("nonsat")
    x_real, x_fake = torch.randn(2, 8, 1)
    for player in ("d_loss", "g_loss"):
        ours = getattr(focal, player)(scores, x_real, x_fake)["focal"]
        theirs = getattr(nonsat, player)(scores, x_real, x_fake)["nonsat"]
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_values_and_gradients_are_finite_at_large_logits(gamma, logit):
    x = torch.full((2, 1), logit, requires_grad=True)
    loss = create(f"focal:gamma={gamma}")
    total = loss.d_loss(scores, x, x)["focal"] + loss.g_loss(scores, x, x)["focal"]
    (gradient,) = torch.autograd.grad(total, x)
    assert total.isfinite()
    assert gradient.isfinite().all()


def test_an_unknown_option_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UsageError, match="no option 'gama'; did you mean 'gamma'"):
        create("focal:gama=1")


def test_a_run_with_it_ends_well(tmp_path):
    spec = RunSpec(
        loss="focal+r1:gamma=1", data="ring8", steps=3, batch_size=8, n_samples=64, threads=1
    )
    record = run_in_store(make_plan(spec, default_registry()), tmp_path).record
    assert (record.status, record.steps_done) == ("completed", 3)
