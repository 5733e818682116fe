"""How two sets of features cover each other, by balls that reach to the k-th neighbour."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["density_and_coverage", "precision_and_recall", "squared_radii"]

_ROWS_AT_ONCE = 1024


def precision_and_recall(
    fake: Tensor, real: Tensor, k: int, real_radii: Tensor | None = None
) -> tuple[float, float]:
    """The share of `fake` (N, d) that lies in a ball around any of `real` (M, d), whose radius is
    the distance to its k-th nearest other real feature; and the same with the sides exchanged.
    With n ≤ k features, k is n − 1. Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 to 3.
    `real_radii` are `squared_radii(real, k)`, where they are known.
    """
    real_radii = squared_radii(real, k) if real_radii is None else real_radii
    fake, real = _centred(fake, real)
    fake_radii = _squared_radii(fake, k)
    inside, reached = [], torch.zeros(len(real), dtype=torch.bool)
    for start in range(0, len(fake), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        distances = _squared_distances(fake[rows], real)
        inside.append((distances <= real_radii).any(dim=1))
        reached |= (distances <= fake_radii[rows, None]).any(dim=0)
    return _share(torch.cat(inside)), _share(reached)


def density_and_coverage(
    fake: Tensor, real: Tensor, k: int, real_radii: Tensor | None = None
) -> tuple[float, float]:
    """The number of real balls that a feature of `fake` (N, d) lies in, over k, on average; and
    the share of real balls with any of `fake` in it. Naeem et al. 2020, arXiv 2002.09797, eq. 3
    and 4. Density may exceed 1; only the real side's balls count, so outliers of G add nothing.
    `real_radii` are `squared_radii(real, k)`, where they are known.
    """
    radii = squared_radii(real, k) if real_radii is None else real_radii
    fake, real = _centred(fake, real)
    balls, reached = 0, torch.zeros(len(real), dtype=torch.bool)
    for rows in torch.split(fake, _ROWS_AT_ONCE):
        inside = _squared_distances(rows, real) <= radii
        balls += int(inside.sum())
        reached |= inside.any(dim=0)
    return balls / (k * len(fake)), _share(reached)


def squared_radii(real: Tensor, k: int) -> Tensor:
    """Each real feature's squared distance to its k-th nearest other one: (M, d) -> (M,)."""
    return _squared_radii(real - real.mean(dim=0), k)


def _centred(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Around the real mean: the same distances, from smaller numbers, so with less rounding."""
    centre = real.mean(dim=0)
    return fake - centre, real - centre


def _squared_radii(x: Tensor, k: int) -> Tensor:
    """Each row's squared distance to its k-th nearest other row: (N, d) -> (N,)."""
    nearest = min(k, len(x) - 1) + 1  # the row itself among them
    radii = [
        _squared_distances(rows, x).topk(nearest, dim=1, largest=False).values[:, -1]
        for rows in torch.split(x, _ROWS_AT_ONCE)
    ]
    return torch.cat(radii)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x_i − y_j‖² = ‖x_i‖² + ‖y_j‖² − 2 x_i·y_j: (N, d), (M, d) -> (N, M)."""
    norms = x.square().sum(dim=1, keepdim=True)
    return torch.addmm(y.square().sum(dim=1), x, y.T, alpha=-2).add_(norms)


def _share(hits: Tensor) -> float:
    return hits.double().mean().item()
