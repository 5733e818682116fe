"""DCGAN (Radford et al. 2016, arXiv 1511.06434), at any side base·2^k with base 4 to 7.

At 64 pixels, width 64 and 3 channels it is the network of PyTorch's DCGAN tutorial.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from ganbench.builtin.networks.init import Init, initialise, normalise_spectrum
from ganbench.builtin.networks.logit import ConvLogit, is_channels_last
from ganbench.builtin.networks.shapes import image_shape, stages

__all__ = ["FromPixel", "discriminator", "generator"]


class FromPixel(nn.ConvTranspose2d):
    """(N, in, 1, 1) -> (N, out, side, side): `nn.ConvTranspose2d` of one pixel, made as the matrix
    product that it is, which a CPU is faster at than at the convolution."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, weight = len(x), self.weight
        inputs, outputs, side, _ = weight.shape
        x = x.reshape(n, inputs)
        if is_channels_last(weight):
            rows = weight.permute(0, 2, 3, 1).reshape(inputs, -1)
            y = (x @ rows).view(n, side, side, outputs).permute(0, 3, 1, 2)
        else:
            y = (x @ weight.reshape(inputs, -1)).view(n, outputs, side, side)
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)


def generator(
    z_dim: int,
    shape: Sequence[int],
    *,
    width: PositiveInt = 64,
    norm: Literal["batch", "none"] = "batch",
    init: Init = "dcgan",
) -> nn.Module:
    """Transposed convolutions with batch norm and ReLU (DCGAN, Radford et al. 2016).

    (N, z_dim) -> (N, *shape) in [−1, 1]. `width` is the number of channels of the last hidden
    layer; each earlier one has twice as many.
    """
    channels, side = image_shape("dcgan", shape)
    base, k = stages(side)
    widths = [width << i for i in reversed(range(k))]
    layers: list[nn.Module] = [nn.Unflatten(1, (z_dim, 1, 1))]
    bias = norm == "none"
    layers += [FromPixel(z_dim, widths[0], base, bias=bias), *_norm(norm, widths[0])]
    layers += [nn.ReLU(inplace=True)]
    for before, after in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias), *_norm(norm, after)]
        layers += [nn.ReLU(inplace=True)]
    layers += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=bias), nn.Tanh()]
    net = nn.Sequential(*layers)
    initialise(net, init)
    return net


def discriminator(
    shape: Sequence[int],
    *,
    width: PositiveInt = 64,
    slope: NonNegativeFloat = 0.2,
    norm: Literal["batch", "none"] | None = None,
    init: Init = "dcgan",
    spectral_norm: bool = False,
) -> nn.Module:
    """Strided convolutions with batch norm and leaky ReLU (DCGAN, Radford et al. 2016).

    (N, *shape) -> logits (N,). `width` is the number of channels of the first hidden layer; each
    later one has twice as many. `norm` is batch, or none with `spectral_norm`, unless given; batch
    norm is on neither the first layer nor the last.
    """
    norm = norm or ("none" if spectral_norm else "batch")
    channels, side = image_shape("dcgan", shape)
    base, k = stages(side)
    bias = norm == "none"
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=bias)]
    layers += [nn.LeakyReLU(slope, inplace=True)]
    for i in range(1, k):
        before, after = width << (i - 1), width << i
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=bias), *_norm(norm, after)]
        layers += [nn.LeakyReLU(slope, inplace=True)]
    layers += [ConvLogit(width << (k - 1), base, bias=bias), nn.Flatten(0)]
    net = nn.Sequential(*layers)
    initialise(net, init)
    if spectral_norm:
        normalise_spectrum(net)
    return net


def _norm(norm: str, channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []
