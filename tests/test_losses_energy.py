"""EBGAN and BEGAN against their formulas, on an autoencoder that reconstructs half of its input."""

from __future__ import annotations

import pytest
import torch
from oracles import named, total
from torch import nn

from ganbench.errors import IncompatibleParts
from ganbench.scorers import ScorerOf


class Half(nn.Module):
    """AE(x) = w x with w = ½, so that the error is x/2."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))

    def reconstruct(self, x):
        return self.w * x

    def forward(self, x):
        return (self.reconstruct(x) - x).abs().flatten(1).mean(1)


# Two samples of a 2 × 2 image: errors of norms (5, 10), and of means |·| (3.5, 7).
REAL = torch.tensor([[[[6.0, 8.0], [0.0, 0.0]]], [[[0.0, 0.0], [12.0, -16.0]]]])
FAKE = torch.full((2, 1, 2, 2), 2.0)  # errors of norm ‖(1, 1, 1, 1)‖ = 2 and mean 1


def test_ebgan_takes_one_norm_a_sample_and_lifts_fakes_up_to_the_margin():
    loss, scorer = named("ebgan:margin=9")(), ScorerOf(Half())
    d = total(loss.d_loss(scorer, REAL, FAKE)).item()
    assert d == pytest.approx((5 + 10) / 2 + (9 - 2))
    assert total(loss.g_loss(scorer, REAL, FAKE)).item() == pytest.approx(2)


def test_ebgan_leaves_fakes_beyond_the_margin_alone():
    d = total(named("ebgan:margin=1.5")().d_loss(ScorerOf(Half()), REAL, FAKE)).item()
    assert d == pytest.approx((5 + 10) / 2)


def test_ebgans_gradient_is_finite_where_the_reconstruction_is_perfect():
    network = Half()
    nn.init.ones_(network.w)
    loss = named("ebgan")()
    total(loss.d_loss(ScorerOf(network), REAL, FAKE)).backward()
    assert network.w.grad.isfinite()


def test_began_weighs_the_fakes_by_k_which_starts_at_zero_and_balances_the_energies():
    loss, network = named("began:gamma=0.5,lambda_k=0.1")(), Half()
    scorer = ScorerOf(network)
    real, fake = (3.5 / 2 + 7 / 2) / 2, 1.0  # means of |x/2| over the pixels: 14/8, 28/8; and 1
    k = 0.0
    for _ in range(3):
        assert total(loss.d_loss(scorer, REAL, FAKE)).item() == pytest.approx(real - k * fake)
        loss.after_d_update(network)
        k = k + 0.1 * (0.5 * real - fake)
    assert total(loss.g_loss(scorer, REAL, FAKE)).item() == pytest.approx(fake)


def test_begans_k_stays_between_zero_and_one():
    loss, network = named("began:gamma=0.0,lambda_k=10")(), Half()
    loss.d_loss(ScorerOf(network), REAL, FAKE)
    loss.after_d_update(network)  # 0 + 10 (0 − 1), clipped to 0
    assert loss.state_dict()["began"]["k"].item() == 0
    loss = named("began:gamma=1.0,lambda_k=10")()
    loss.d_loss(ScorerOf(network), REAL, FAKE)
    loss.after_d_update(network)  # 0 + 10 (2.625 − 1), clipped to 1
    assert loss.state_dict()["began"]["k"].item() == 1


def test_begans_k_moves_once_an_update_however_the_batch_is_split():
    whole, parts, network = named("began")(), named("began")(), Half()
    whole.d_loss(ScorerOf(network), REAL, FAKE)
    for i in range(2):
        parts.d_loss(ScorerOf(network), REAL[i : i + 1], FAKE[i : i + 1])
    for loss in (whole, parts):
        loss.after_d_update(network)
    torch.testing.assert_close(whole.state_dict(), parts.state_dict())
    assert whole.state_dict()["began"]["k"] > 0


def test_begans_k_survives_a_checkpoint():
    first, second, network = named("began")(), named("began")(), Half()
    first.d_loss(ScorerOf(network), REAL, FAKE)
    first.after_d_update(network)
    second.load_state_dict(first.state_dict())
    d = [total(loss.d_loss(ScorerOf(network), REAL, FAKE)).item() for loss in (first, second)]
    assert d[0] == d[1] != total(named("began")().d_loss(ScorerOf(network), REAL, FAKE)).item()


def test_began_with_eta_two_squares_the_difference():
    g = total(named("began:eta=2")().g_loss(ScorerOf(Half()), REAL, FAKE * 3)).item()
    assert g == pytest.approx(9)


def test_an_energy_sees_what_a_wrapper_shows_the_discriminator():
    loss = named("ebgan+instance-noise:sigma=5")()
    plain = named("ebgan")()
    noisy = loss.g_loss(ScorerOf(Half()), REAL, FAKE)["ebgan"].item()
    assert noisy != pytest.approx(plain.g_loss(ScorerOf(Half()), REAL, FAKE)["ebgan"].item())


@pytest.mark.parametrize("name", ["ebgan", "began"])
def test_a_discriminator_of_logits_is_refused_with_what_would_fit(name):
    with pytest.raises(IncompatibleParts, match=rf"'{name}'.*Flatten.*--discriminator autoencoder"):
        named(name)().d_loss(ScorerOf(nn.Flatten(0)), REAL, FAKE)


@pytest.mark.parametrize("name", ["ebgan", "began"])
def test_energy_losses_train_the_shipped_autoencoder(play, name):
    game, rule = play(
        loss=name,
        discriminator="autoencoder:width=4,embedding=4",
        generator="mlp:hidden=[8]",
        batch_size=4,
        opt="sgd:lr=0.01",
    )
    for _ in range(2):
        terms = game.play(rule)
    assert all(term.isfinite() for term in terms.values())
