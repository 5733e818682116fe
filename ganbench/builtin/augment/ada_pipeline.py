"""The transformations of adaptive discriminator augmentation, each applied with probability p.

Karras et al. 2020 (arXiv:2006.06676), appendix B, with its strengths. Each function composes its
transformations in the paper's order; all parameters are drawn for each image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganbench.builtin.augment.constants import constant

__all__ = ["blit", "color", "geometric", "recolor"]


def blit(x: Tensor, p: Tensor) -> Tensor:
    """x-flip, rotation by multiples of 90° and integer translation: inverses, (N, 3, 3)."""
    n = len(x)
    flip = _maybe(p, torch.randint(0, 2, (n,), device=x.device).to(x.dtype), 0.0)
    turns = _maybe(p, torch.randint(0, 4, (n,), device=x.device).to(x.dtype), 0.0)
    shift = _maybe(p, 0.25 * torch.rand(n, 2, dtype=x.dtype, device=x.device) - 0.125, 0.0)
    shift = (shift * _sides(x)).round()
    return (
        _scale(1 - 2 * flip, torch.ones_like(flip))
        @ _rotate(turns * (math.pi / 2))
        @ _shift(-shift)
    )


def geometric(x: Tensor, p: Tensor) -> Tensor:
    """Scaling, rotation, stretching, rotation and fractional translation: inverses, (N, 3, 3).

    The two rotations each happen with 1 − √(1 − p), so that one of them does with p.
    """
    n = len(x)
    p_rotation = 1 - (1 - p).clamp(0, 1).sqrt()
    size = _maybe(p, torch.exp2(0.2 * _normal(x, n)), 1.0)
    before = _maybe(p_rotation, math.pi * _symmetric(x, n), 0.0)
    stretch = _maybe(p, torch.exp2(0.2 * _normal(x, n)), 1.0)
    after = _maybe(p_rotation, math.pi * _symmetric(x, n), 0.0)
    shift = _maybe(p, 0.125 * _normal(x, n, 2), 0.0) * _sides(x)
    return (
        _scale(1 / size, 1 / size)
        @ _rotate(before)
        @ _scale(1 / stretch, stretch)
        @ _rotate(after)
        @ _shift(-shift)
    )


def color(x: Tensor, p: Tensor) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation as affine maps of RGB: (N, 4, 4).

    Hue and saturation are left out for one channel.
    """
    n = len(x)
    identity = torch.eye(4, dtype=x.dtype, device=x.device)
    rgb, last = constant((1, 1, 1, 0), x), constant((0, 0, 0, 1), x)
    along = torch.outer(rgb, rgb) / 3

    brightness = _maybe(p, 0.2 * _normal(x, n), 0.0)
    contrast = _maybe(p, torch.exp2(0.5 * _normal(x, n)), 1.0)
    flip = _maybe(p, torch.randint(0, 2, (n,), device=x.device).to(x.dtype), 0.0)
    brighter = identity + brightness[:, None, None] * torch.outer(rgb, last)
    stretched = torch.diag_embed(contrast[:, None] * rgb + last)
    flipped = identity - 2 * flip[:, None, None] * along
    total = flipped @ stretched @ brighter
    if x.shape[1] == 1:
        return total
    hue = _maybe(p, math.pi * _symmetric(x, n), 0.0)
    saturation = _maybe(p, torch.exp2(_normal(x, n)), 1.0)
    saturated = along + saturation[:, None, None] * (identity - along)
    return saturated @ _about_luma(hue) @ total


def recolor(x: Tensor, maps: Tensor) -> Tensor:
    """Apply affine maps of RGB (N, 4, 4); one channel gets their mean over the output channels."""
    if x.shape[1] == 1:
        row = maps[:, :3].mean(1)
        gain, offset = row[:, :3].sum(1), row[:, 3]
        return x * gain[:, None, None, None] + offset[:, None, None, None]
    return torch.einsum("nij,njhw->nihw", maps[:, :3, :3], x) + maps[:, :3, 3, None, None]


def _maybe(p: Tensor, values: Tensor, otherwise: float) -> Tensor:
    """Each image's values (N, …) with probability p, else `otherwise`."""
    chosen = torch.rand(len(values), dtype=values.dtype, device=values.device) < p
    chosen = chosen.view(-1, *[1] * (values.ndim - 1))
    return torch.where(chosen, values, torch.full_like(values, otherwise))


def _normal(x: Tensor, *size: int) -> Tensor:
    return torch.randn(*size, dtype=x.dtype, device=x.device)


def _symmetric(x: Tensor, n: int) -> Tensor:
    return 2 * torch.rand(n, dtype=x.dtype, device=x.device) - 1


def _sides(x: Tensor) -> Tensor:
    return constant((x.shape[3], x.shape[2]), x)


def _matrices(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _scale(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices((x, zero, zero), (zero, y, zero), (zero, zero, one))


def _rotate(angle: Tensor) -> Tensor:
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return _matrices((cos, -sin, zero), (sin, cos, zero), (zero, zero, one))


def _shift(by: Tensor) -> Tensor:
    zero, one = torch.zeros_like(by[:, 0]), torch.ones_like(by[:, 0])
    return _matrices((one, zero, by[:, 0]), (zero, one, by[:, 1]), (zero, zero, one))


def _about_luma(angle: Tensor) -> Tensor:
    """Rotation of RGB about the grey axis: circulant, (N, 4, 4)."""
    cos, sin = angle.cos(), angle.sin() / math.sqrt(3)
    same, next_, previous = (1 + 2 * cos) / 3, (1 - cos) / 3 + sin, (1 - cos) / 3 - sin
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = (
        (same, previous, next_, zero),
        (next_, same, previous, zero),
        (previous, next_, same, zero),
        (zero, zero, zero, one),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
