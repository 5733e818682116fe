"""Multi-layer perceptrons, for data of any shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import nn

from ganbench.builtin.networks.init import Init, initialise, normalise_spectrum
from ganbench.builtin.networks.logit import LinearLogit

__all__ = ["discriminator", "generator"]


def generator(
    z_dim: int,
    shape: Sequence[int],
    *,
    hidden: tuple[PositiveInt, ...] = (256, 512, 512),
    output: Literal["tanh", "linear"] | None = None,
    init: Init = "glorot",
) -> nn.Module:
    """Fully connected, ReLU: z -> 256 -> 512 -> 512 -> the data's shape, any shape.

    (N, z_dim) -> (N, *shape). `output` is tanh for images, which lie in [−1, 1], and linear for
    points, unless given. `init` glorot is Glorot uniform with zero biases, TensorFlow's default
    (Glorot & Bengio 2010, eq. 16). The sizes are ganbench's own.
    """
    output = output or ("tanh" if len(shape) == 3 else "linear")
    widths = [z_dim, *hidden]
    net = nn.Sequential(
        *_hidden(widths, lambda: nn.ReLU(inplace=True)),
        nn.Linear(widths[-1], math.prod(shape)),
        *([nn.Tanh()] if output == "tanh" else []),
        nn.Unflatten(1, tuple(shape)),
    )
    initialise(net, init)
    return net


def discriminator(
    shape: Sequence[int],
    *,
    hidden: tuple[PositiveInt, ...] = (512, 512, 512),
    slope: NonNegativeFloat = 0.2,
    output: Literal["logit", "sigmoid"] = "logit",
    init: Init = "glorot",
    spectral_norm: bool = False,
) -> nn.Module:
    """Fully connected, leaky ReLU: data of any shape -> 512 -> 512 -> 512 -> logit.

    (N, *shape) -> (N,). `output=sigmoid` is a mistake on purpose: losses expect logits, and get
    probabilities. `init` glorot is Glorot uniform with zero biases, TensorFlow's default.
    """
    widths = [math.prod(shape), *hidden]
    net = nn.Sequential(
        nn.Flatten(1),
        *_hidden(widths, lambda: nn.LeakyReLU(slope, inplace=True)),
        LinearLogit(widths[-1]),
        *([nn.Sigmoid()] if output == "sigmoid" else []),
        nn.Flatten(0),
    )
    initialise(net, init)
    if spectral_norm:
        normalise_spectrum(net)
    return net


def _hidden(widths: Sequence[int], activation: Callable[[], nn.Module]) -> Iterable[nn.Module]:
    for before, after in itertools.pairwise(widths):
        yield nn.Linear(before, after)
        yield activation()
