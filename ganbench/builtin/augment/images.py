"""Random operations on images (N, C, H, W), drawn for each image, differentiable twice."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganbench.errors import IncompatibleParts

__all__ = ["random_cutout", "random_flip", "random_shift", "require_images", "uniform"]


def require_images(name: str, x: Tensor, smallest: int = 2) -> None:
    """Raise `IncompatibleParts` unless x is a batch of images of 1 or 3 channels."""
    if x.ndim == 4 and x.shape[1] in (1, 3) and min(x.shape[2:]) >= smallest:
        return
    shape = "×".join(map(str, x.shape[1:]))
    raise IncompatibleParts(
        f"'{name}' transforms images of 1 or 3 channels and at least {smallest} × {smallest} "
        f"pixels, and this data's examples are {shape}: take such data, or instance-noise, which "
        "works on any"
    )


def uniform(x: Tensor) -> Tensor:
    """One number in [0, 1) for each image, as (N, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def random_flip(x: Tensor) -> Tensor:
    """Flip left to right half of the time."""
    return torch.where(uniform(x) < 0.5, x.flip(3), x)


def random_shift(
    x: Tensor, most: int | tuple[int, int], border: Literal["zero", "reflect"]
) -> Tensor:
    """Shift by up to `most` pixels (rows, columns) each way; beyond the border: 0, or mirrored."""
    down, right = (most, most) if isinstance(most, int) else most
    if border == "reflect":
        down, right = min(down, x.shape[2] - 1), min(right, x.shape[3] - 1)
    padding = (right, right, down, down)
    padded = pad(x, padding, mode="reflect" if border == "reflect" else "constant")
    rows, columns = _window(x, down, 2), _window(x, right, 3)
    image = torch.arange(len(x), device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def random_cutout(x: Tensor, ratio: float) -> Tensor:
    """Set to 0 a box of `ratio` times the sides, centred anywhere on the image."""
    rows, columns = _box(x, ratio, 2), _box(x, ratio, 3)
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _window(x: Tensor, most: int, axis: int) -> Tensor:
    """Indices (N, size) of a window of the original size in an axis padded by `most`."""
    start = torch.randint(0, 2 * most + 1, (len(x), 1), device=x.device)
    return start + torch.arange(x.shape[axis], device=x.device)


def _box(x: Tensor, ratio: float, axis: int) -> Tensor:
    """Where (N, size) a box lies along an axis."""
    size = x.shape[axis]
    length = int(size * ratio + 0.5)
    start = torch.randint(0, size + 1 - length % 2, (len(x), 1), device=x.device) - length // 2
    at = torch.arange(size, device=x.device)
    return (at >= start) & (at < start + length)
