"""R3GAN (Huang et al. 2024, arXiv 2501.05441): ResNeXt blocks without normalisation.

Published for 256 × 256 with width 768 and z_dim 64; the default width is a small one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from ganbench.builtin.networks.logit import LinearLogit
from ganbench.builtin.networks.shapes import image_shape, stages

__all__ = ["discriminator", "generator"]

Width = Annotated[int, Field(ge=8, multiple_of=8)]

_SLOPE = 0.2
_GROUP = 16  # channels of a group in the middle convolution
_EXPANSION = 2


def generator(
    z_dim: int,
    shape: Sequence[int],
    *,
    width: Width = 64,
    blocks: PositiveInt = 2,
    output: Literal["tanh", "linear"] = "tanh",
) -> nn.Module:
    """ResNeXt blocks, no normalisation, bilinear upsampling (R3GAN, Huang et al. 2024).

    (N, z_dim) -> (N, *shape). `width` is the number of channels up to 32 pixels, halved at each
    doubling beyond (768 as published), and `blocks` how many there are at each size. As published
    the output is linear; tanh keeps it in [−1, 1].
    """
    channels, side = image_shape("r3gan", shape)
    base, k = stages(side)
    widths = [_width_at(base << i, width) for i in range(k + 1)]
    layers: list[nn.Module] = [_GenerativeBasis(z_dim, widths[0], base)]
    for i, c in enumerate(widths):
        if i > 0:
            layers += [*_transition(widths[i - 1], c), _Resample("up")]
        layers += [_Block(c, depth=blocks * len(widths)) for _ in range(blocks)]
    layers += [_linear(nn.Conv2d(widths[-1], channels, 1, bias=False))]
    return nn.Sequential(*layers, *([nn.Tanh()] if output == "tanh" else []))


def discriminator(shape: Sequence[int], *, width: Width = 64, blocks: PositiveInt = 2) -> nn.Module:
    """The mirror image of R3GAN's generator (Huang et al. 2024).

    (N, *shape) -> logits (N,). `width` is the number of channels up to 32 pixels, halved at each
    doubling beyond (768 as published), and `blocks` how many there are at each size.
    """
    channels, side = image_shape("r3gan", shape)
    base, k = stages(side)
    widths = [_width_at(base << i, width) for i in reversed(range(k + 1))]
    layers: list[nn.Module] = [_linear(nn.Conv2d(channels, widths[0], 1, bias=False))]
    for i, c in enumerate(widths):
        if i > 0:
            layers += [_Resample("down"), *_transition(widths[i - 1], c)]
        layers += [_Block(c, depth=blocks * len(widths)) for _ in range(blocks)]
    last = widths[-1]
    return nn.Sequential(
        *layers,
        _linear(nn.Conv2d(last, last, base, groups=last, bias=False)),
        nn.Flatten(1),
        _linear(LinearLogit(last, bias=False)),
        nn.Flatten(0),
    )


class _Block(nn.Module):
    """x + 1×1 ∘ grouped 3×3 ∘ 1×1, twice as wide inside.

    Fix-up initialisation: the last convolution is 0, and the others are drawn for `depth` blocks
    in a row, with the gain depth^(−1/4).
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        inner = _EXPANSION * channels
        gain = nn.init.calculate_gain("leaky_relu", _SLOPE) * depth**-0.25
        last = nn.Conv2d(inner, channels, 1, bias=False)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(
            _linear(nn.Conv2d(channels, inner, 1), gain),
            nn.LeakyReLU(_SLOPE),
            _linear(nn.Conv2d(inner, inner, 3, padding=1, groups=inner // _GROUP), gain),
            nn.LeakyReLU(_SLOPE),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class _GenerativeBasis(nn.Module):
    """A learned picture per channel, times a linear map of z: (N, z_dim) -> (N, C, base, base)."""

    def __init__(self, z_dim: int, channels: int, base: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, base, base))
        self.linear = _linear(nn.Linear(z_dim, channels, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.linear(z)[:, :, None, None] * self.basis
        return out


class _Resample(nn.Module):
    """Double or halve the side with the filter [1, 3, 3, 1] / 8 both ways, zero outside."""

    kernel: Tensor

    def __init__(self, way: Literal["up", "down"]) -> None:
        super().__init__()
        self.way = way
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(taps, taps)[None, None]
        self.register_buffer("kernel", 4 * kernel if way == "up" else kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        resample = F.conv_transpose2d if self.way == "up" else F.conv2d
        return resample(x, kernel, stride=2, padding=1, groups=channels)


def _width_at(side: int, width: int) -> int:
    """`width` up to 32 pixels, half of it up to 64, and so on, in multiples of 8."""
    doublings = max(0, (side - 1).bit_length() - 5)
    return max(8, (width >> doublings) // 8 * 8)


def _transition(before: int, after: int) -> list[nn.Module]:
    return [] if before == after else [_linear(nn.Conv2d(before, after, 1, bias=False))]


def _linear(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Draw the weights from N(0, gain² / fan_in); biases 0."""
    fan_in = math.prod(layer.weight.shape[1:])
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
