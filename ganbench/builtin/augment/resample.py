"""Geometric transformation of images without aliasing, differentiable twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, grid_sample, pad

from ganbench.builtin.augment.constants import constant

__all__ = ["SMALLEST", "warp"]

_PAD = 6
"""Pixels of mirror image around the image: the filter's reach from 3¼ pixels outside."""

SMALLEST = _PAD + 1

_BAND = 3.25
"""Pixels around the image that the filter of the way down sees."""

_SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""Low-pass filter of the symlet with 6 vanishing moments (Daubechies 1992); its square sums to 1,
so that twice up and down again gives the image back."""

_TAPS = tuple(tap / sum(_SYM6) for tap in _SYM6)


def warp(x: Tensor, inverse: Tensor) -> Tensor:
    """Image i at p is x_i at inverse_i · p: (N, C, H, W), (N, 3, 3) -> (N, C, H, W).

    Points are (column, row, 1) in pixels from the image's centre. x is upsampled twice with a
    wavelet's filter, sampled bilinearly and filtered down again; beyond its border it is mirrored.
    The filter is not symmetric: an image that is turned around lies 0.4 pixels off.
    Karras et al. 2020 (arXiv:2006.06676), appendix B.
    """
    n, channels, height, width = x.shape
    with torch.autocast(x.device.type, enabled=False):
        taps = constant(_TAPS, x)
        mirrored = pad(x, (_PAD,) * 4, mode="reflect")
        fine = _up(mirrored.flatten(0, 1).unsqueeze(1), taps)
        fine = fine.reshape(n, channels, *fine.shape[2:])
        moved = _Sample.apply(fine, _grid(inverse.to(x.dtype), height, width))
        coarse = _down(moved.flatten(0, 1).unsqueeze(1), taps)
        return coarse.reshape(x.shape)


def _up(x: Tensor, taps: Tensor) -> Tensor:
    """(M, 1, H, W) -> (M, 1, 2H, 2W): pixel i comes to lie at 2i + ½."""
    x = conv_transpose2d(x, 2 * taps.view(1, 1, -1, 1), stride=(2, 1), padding=(5, 0))
    return conv_transpose2d(x, 2 * taps.view(1, 1, 1, -1), stride=(1, 2), padding=(0, 5))


def _down(x: Tensor, taps: Tensor) -> Tensor:
    """(M, 1, 2H + 12, 2W + 12) -> (M, 1, H, W): the adjoint of `_up`, without its margin."""
    x = conv2d(x[:, :, 1:-1, 1:-1], taps.view(1, 1, -1, 1), stride=(2, 1))
    return conv2d(x, taps.view(1, 1, 1, -1), stride=(1, 2))


def _grid(inverse: Tensor, height: int, width: int) -> Tensor:
    """Where each point of the fine output lies in the fine input: (N, 2H + 12, 2W + 12, 2)."""
    x, y = (_fine_positions(size, inverse) for size in (width, height))
    points = torch.stack(
        [x.expand(len(y), -1), y[:, None].expand(-1, len(x)), inverse.new_ones(len(y), len(x))], -1
    )
    source = torch.einsum("nij,hwj->nhwi", inverse[:, :2], points)
    return torch.stack([_to_grid(source[..., 0], width), _to_grid(source[..., 1], height)], dim=-1)


def _fine_positions(size: int, like: Tensor) -> Tensor:
    fine = 2 * (size + _PAD)
    at = torch.arange(fine, dtype=like.dtype, device=like.device)
    return (at - (fine - 1) / 2) / 2


def _to_grid(position: Tensor, size: int) -> Tensor:
    """Pixels from the centre -> [−1, 1] over the mirrored fine image, mirrored beyond its band."""
    pixel = position + (size - 1) / 2
    period = 2 * (size - 1)
    folded = pixel.remainder(period)
    folded = torch.minimum(folded, period - folded)
    outside = (pixel < -_BAND) | (pixel > size - 1 + _BAND)
    fine = 2 * (torch.where(outside, folded, pixel) + _PAD) + 0.5
    return (2 * fine + 1) / (2 * (size + 2 * _PAD)) - 1


class _Sample(torch.autograd.Function):
    """Bilinear sampling, linear in the image: torch's own has no second derivative."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return grid_sample(image, grid, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(gradient, grid, ctx.shape), None


class _Spread(torch.autograd.Function):
    """The transpose of `_Sample`."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Any:
        ctx.save_for_backward(grid)
        image = gradient.new_empty(()).expand(shape)
        spread, _ = torch.ops.aten.grid_sampler_2d_backward(
            gradient, image, grid, 0, 0, False, (True, False)
        )
        return spread

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradient, grid), None, None
