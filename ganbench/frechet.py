"""The Fréchet distance between two sets of features, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "ROWS_AT_ONCE",
    "Moments",
    "frechet_distance",
    "frechet_infinity",
    "moments_of",
    "triangular_root",
]

ROWS_AT_ONCE = 4096
_FIT_POINTS = 15


@dataclass(frozen=True)
class Moments:
    """`n` features' mean (d,) and unbiased covariance (d, d), both float64 on the CPU."""

    n: int
    mean: Tensor
    covariance: Tensor


def moments_of(features: Tensor | Iterable[Tensor]) -> Moments:
    """Mean and covariance of features (N, d), whole or in batches, without ever holding them all
    in float64.

    Batches are merged pairwise: δ = m_b − m_a, m = m_a + δ n_b/n, M = M_a + M_b + δδᵀ n_a n_b/n,
    where M is the scatter matrix (n − 1)·covariance (Chan, Golub & LeVeque 1983).
    One feature has covariance 0: a point mass. Raises ValueError for none.
    """
    n, mean, scatter = 0, torch.zeros(0), torch.zeros(0)
    batches = torch.split(features, ROWS_AT_ONCE) if isinstance(features, Tensor) else features
    for batch in batches:
        x = batch.detach().to("cpu", torch.float64)
        n_new = len(x)
        if n_new == 0:
            continue
        mean_new = x.mean(dim=0)
        x = x - mean_new
        scatter_new = x.T @ x
        if n == 0:
            n, mean, scatter = n_new, mean_new, scatter_new
            continue
        delta, n_old, n = mean_new - mean, n, n + n_new
        mean = mean + delta * (n_new / n)
        scatter += scatter_new
        scatter += torch.outer(delta, delta) * (n_old * n_new / n)
    if n == 0:
        raise ValueError("no features: a mean needs at least one")
    return Moments(n, mean, scatter / max(n - 1, 1))


def triangular_root(covariance: Tensor) -> Tensor:
    """A lower triangular R with R·Rᵀ = covariance, for a symmetric positive semidefinite (d, d).

    Cholesky's factor, up to signs, by a way that a singular covariance may go: with V·Λ·Vᵀ the
    covariance and Q·U = Λ^½·Vᵀ, it is Uᵀ·U. Eigenvalues that rounding made negative count as zero.
    """
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    roots = eigenvalues.clamp(min=0).sqrt()
    _, upper = torch.linalg.qr(roots[:, None] * vectors.T, mode="r")
    return upper.T.contiguous()  # type: ignore[no-any-return]


def frechet_distance(a: Moments, b: Moments, *, root_a: Tensor | None = None) -> float:
    """d² = ‖μ_a − μ_b‖² + tr Σ_a + tr Σ_b − 2 tr (Σ_a Σ_b)^½. Dowson & Landau 1982; FID when the
    features are Inception's (Heusel et al. 2017, arXiv 1706.08500, eq. 6).

    The last trace is that of (Rᵀ Σ_b R)^½ with R Rᵀ = Σ_a: symmetric, so that `eigvalsh` applies,
    unlike to Σ_a Σ_b. Pass `root_a` = R, lower triangular, to save the larger half of the work.
    Singular covariances (n ≤ d) are fine: of n features at most n − 1 eigenvalues are not 0, and
    the others, which rounding makes 1e-16 of the largest, would add their roots. What rounding
    leaves below zero is zero.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and of {len(b.mean)} dimensions")
    root = triangular_root(a.covariance) if root_a is None else root_a
    eigenvalues = torch.linalg.eigvalsh(_between(root, b.covariance), UPLO="U")
    rank = min(a.n - 1, b.n - 1, len(root))  # at most: what lies below in order is rounding
    trace = eigenvalues[len(root) - rank :].clamp(min=0).sqrt().sum()
    gap = (a.mean - b.mean).square().sum()
    distance = gap + a.covariance.trace() + b.covariance.trace() - 2 * trace
    return max(float(distance), 0.0)


def _between(root: Tensor, covariance: Tensor) -> Tensor:
    """Rᵀ Σ R for a lower triangular R and a symmetric Σ, both (d, d): its upper triangle, in a
    third of the operations of two products. What lies below it has no meaning."""
    from scipy.linalg.lapack import dsygst

    # LAPACK counts columns first: the transpose of a tensor is its own view of the same memory.
    with _openblas().limit(limits=torch.get_num_threads()):
        product, info = dsygst(
            covariance.numpy().T, np.asfortranarray(root.numpy()), itype=2, lower=1
        )
    if info:
        raise ValueError(f"dsygst refuses its argument {-info}")
    return torch.from_numpy(product.T)


@lru_cache
def _openblas() -> Any:
    """scipy's own threads, which are as many as there are cores unless told, and move the last
    digits: a run's digits depend on its `threads`, not on the cores that it may use."""
    import scipy.linalg.lapack  # noqa: F401 - a library is found once it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(internal_api="openblas")


def frechet_infinity(
    a: Moments, features: Tensor, *, draws: torch.Generator, root_a: Tensor | None = None
) -> float:
    """The intercept of d²(n) = d∞² + c/n, fitted by least squares over 15 random subsets of
    `features` (N, d), of N/10 to N. NaN for N < 20. Chong & Forsyth 2020, arXiv 1911.07023,
    section 4.

    The bias of few features of the one side goes; that of `a` stays. May be negative.
    """
    n = len(features)
    if n < 20:
        return math.nan
    root = triangular_root(a.covariance) if root_a is None else root_a
    sizes = np.unique(np.linspace(n // 10, n, _FIT_POINTS).astype(int))
    distances = []
    for size in sizes.tolist():
        some = features[torch.randperm(n, generator=draws)[:size]]
        distances.append(frechet_distance(a, moments_of(some), root_a=root))
    _, intercept = np.polyfit(1 / sizes, distances, 1)
    return float(intercept)
