"""Losses and penalties against finite differences in float64, through their own names."""

from __future__ import annotations

import pytest
import torch
from oracles import Smooth, check_derivatives, check_second_derivatives, named
from torch import nn

from ganbench.grammar import parse_sum

LOSSES = [
    "minimax",
    "nonsat",
    "nonsat:smoothing=0.1",
    "nonsat-negated",
    "lsgan",
    "hinge",
    "wgan",
    "rpgan",
    "ragan",
    "ralsgan",
    "f-gan:divergence=kl",
    "f-gan:divergence=reverse-kl",
    "f-gan:divergence=pearson",
    "f-gan:divergence=hellinger",
    "f-gan:divergence=jensen-shannon",
    "mmd",
    "mmd:kernel=rbf",
    "l1",
    "l2",
]
PENALTIES = [
    "r1",
    "r2",
    "wgan-gp",
    "wgan-lp:target=0.01",
    "dragan",
    "dragan:noise=uniform",
    "ortho",
    "ortho:form=full",
]
ON_IMAGES = ["consistency:shift=1,weight_fake=1.0", "nonsat+diffaug", "nonsat+ada:p=0.9"]


class Autoencoder(Smooth):
    """A smooth network with a reconstruction of its input."""

    def reconstruct(self, x):
        code = (x.flatten(1) @ self.w / self.w.shape[0] ** 0.5).tanh()
        return (self.v.sum() * code @ self.w.T).view_as(x)


@pytest.mark.parametrize("name", [*LOSSES, *PENALTIES, "nonsat+instance-noise"])
def test_a_loss_agrees_with_finite_differences(name):
    check_derivatives(named(name), (4,), Smooth((4,)))


@pytest.mark.parametrize("name", ON_IMAGES)
def test_a_loss_of_images_agrees_with_finite_differences(name):
    shape = (1, 7, 7)
    check_derivatives(named(name), shape, Smooth(shape))


ENERGIES = ["ebgan", "began", "began:eta=2"]


def test_every_loss_and_penalty_is_compared_with_finite_differences(registry):
    texts = [*LOSSES, *PENALTIES, *ON_IMAGES, *ENERGIES, "nonsat+instance-noise", "consensus"]
    compared = {part.name for text in texts for part in parse_sum(text)}
    assert set(registry.names("loss")) - compared == {
        "clip",  # no term: it acts on the weights
        "least-squares",  # lsgan by another name
    }


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_loss_agrees_with_finite_differences(name):
    check_derivatives(named(name), (4,), Autoencoder((4,)))


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penaltys_gradient_agrees_with_finite_differences(name):
    check_second_derivatives(named(name), (3,))


def test_consensus_and_its_gradient_agree_with_finite_differences():
    d, g = Smooth((2,)), nn.Linear(3, 2).double()
    z, real = torch.randn(4, 3).double(), torch.randn(4, 2).double()
    parameters = [*d.parameters(), *g.parameters()]

    def penalty(*_):
        loss = named("nonsat+consensus:gamma=2.0")()
        fake = g(z)
        totals = (
            loss.d_loss(d, real, fake)["nonsat"],
            loss.g_loss(d, real, fake)["nonsat"],
        )
        return loss.players_penalty(*totals, list(d.parameters()), list(g.parameters()))

    assert torch.autograd.gradcheck(penalty, parameters)


def test_consensus_is_half_of_gamma_times_the_squared_norm_of_both_gradients():
    d, g = Smooth((2,)), nn.Linear(3, 2).double()
    z, real = torch.randn(4, 3).double(), torch.randn(4, 2).double()
    loss = named("nonsat+consensus:gamma=3.0")()
    fake = g(z)
    d_total, g_total = (f(d, real, fake)["nonsat"] for f in (loss.d_loss, loss.g_loss))
    both = (
        *torch.autograd.grad(d_total, list(d.parameters()), retain_graph=True),
        *torch.autograd.grad(g_total, list(g.parameters()), retain_graph=True),
    )
    found = loss.players_penalty(d_total, g_total, list(d.parameters()), list(g.parameters()))
    assert found.item() == pytest.approx(3 / 2 * sum(v.square().sum().item() for v in both))
