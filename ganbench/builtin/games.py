"""Analytic games: point data of known law, and players whose dynamics are solved on paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganbench.protocols import Data

__all__ = [
    "LinearScore",
    "Point",
    "bilinear",
    "dirac",
    "gaussian",
    "grid25",
    "linear_score",
    "point",
    "ring8",
    "swissroll",
]

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Point(nn.Module):
    """G(z) = θ for every z: (N, z_dim) -> (N, d)."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(start)

    def forward(self, z: Tensor) -> Tensor:
        return self.theta.expand(len(z), -1)


class LinearScore(nn.Module):
    """D(x) = ψ·x: (N, d) -> (N,)."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.psi = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.psi


def point(z_dim: int, shape: tuple[int, ...], start: float = 1.0) -> nn.Module:
    """G(z) = θ, a point that ignores z; every coordinate begins at `start`.

    The generator of the Dirac-GAN. Mescheder et al. 2018 (arXiv:1801.04406), definition 2.1.
    """
    del z_dim
    return Point(torch.full((_dim(shape),), start))


def linear_score(shape: tuple[int, ...], start: float = 1.0) -> nn.Module:
    """D(x) = ψ·x, without bias; every coordinate of ψ begins at `start`.

    The discriminator of the Dirac-GAN. Mescheder et al. 2018 (arXiv:1801.04406), definition 2.1.
    """
    return LinearScore(torch.full((_dim(shape),), start))


def dirac(root: Path | None, dim: Count = 1, n: Count = 64) -> Data:
    """All data at the origin of R^dim; with players `dirac` the Dirac-GAN.

    The equilibrium is θ = ψ = 0. Mescheder et al. 2018 (arXiv:1801.04406), section 2.
    """
    del root
    return Data(torch.zeros(n, dim), None, {"n": n, "equilibrium": "origin"})


def bilinear(root: Path | None, dim: Count = 1, n: Count = 64) -> Data:
    """The bilinear game min_θ max_ψ θ·ψ: data `dirac` with loss wgan by default.

    Gidel et al. 2019 (arXiv:1802.10551), section 2.2.
    """
    return dirac(root, dim, n)


def ring8(root: Path | None, n: Count = 10_000, sd: Positive = 0.02, seed: int = 0) -> Data:
    """Eight Gaussians of standard deviation `sd` on the unit circle, in R².

    Metz et al. 2017 (arXiv:1611.02163), section 3.1 (there on a circle of radius 2).
    """
    del root
    angles = torch.arange(8) * (2 * math.pi / 8)
    return _mixture(torch.stack([angles.cos(), angles.sin()], dim=1), sd, n, seed)


def grid25(root: Path | None, n: Count = 10_000, sd: Positive = 0.025, seed: int = 0) -> Data:
    """25 Gaussians on the grid {−1, −½, 0, ½, 1}², in R².

    Srivastava et al. 2017 (arXiv:1705.07761), section 4.1, at a quarter of its scale.
    """
    del root
    line = torch.linspace(-1, 1, 5)
    return _mixture(torch.cartesian_prod(line, line), sd, n, seed)


def swissroll(root: Path | None, n: Count = 10_000, noise: Positive = 0.02, seed: int = 0) -> Data:
    """A spiral in [−1, 1]²: t(cos t, sin t)/(4.5π), t uniform in [1.5π, 4.5π], plus noise.

    The swiss roll of scikit-learn without its height, which Gulrajani et al. 2017
    (arXiv:1704.00028), figure 1, show critics on.
    """
    del root
    stream = torch.Generator().manual_seed(seed)
    t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=stream))
    spiral = torch.stack([t * t.cos(), t * t.sin()], dim=1) / (4.5 * math.pi)
    return Data(spiral + noise * torch.randn(n, 2, generator=stream), None, {"n": n})


def gaussian(
    root: Path | None, dim: Count = 2, n: Count = 10_000, mean: float = 0.0, seed: int = 0
) -> Data:
    """A unit Gaussian around (mean, …, mean) in R^dim."""
    del root
    stream = torch.Generator().manual_seed(seed)
    return Data(mean + torch.randn(n, dim, generator=stream), None, {"n": n})


def _mixture(modes: Tensor, sd: float, n: int, seed: int) -> Data:
    stream = torch.Generator().manual_seed(seed)
    which = torch.randint(len(modes), (n,), generator=stream)
    x = modes[which] + sd * torch.randn(n, 2, generator=stream)
    return Data(x, which, {"n": n, "modes": modes.tolist(), "sd": sd})


def _dim(shape: tuple[int, ...]) -> int:
    if len(shape) != 1:
        raise ValueError(
            f"plays on points (d,), but the data has shape {shape}: choose --data dirac or bilinear"
        )
    return shape[0]


def _suggest(factory: Callable[..., Any], **settings: Any) -> None:
    """Settings of a run that leaves them open when it names this data set."""
    factory.run_defaults = settings  # type: ignore[attr-defined]


_EXACT = {
    "generator": "dirac",
    "discriminator": "dirac",
    "z_dim": 1,
    "batch_size": 1,
    "metrics": "distance-to-equilibrium",
    "n_samples": 1,
}
_PLANE = {
    "generator": "mlp:hidden=[128,128]",
    "discriminator": "mlp:hidden=[128,128]",
    "z_dim": 16,
    "metrics": "mode-coverage,wasserstein,mmd",
    "n_samples": 2500,
}
_suggest(dirac, **_EXACT)
_suggest(bilinear, **{**_EXACT, "loss": "wgan"})
_suggest(ring8, **_PLANE)
_suggest(grid25, **_PLANE)
_suggest(swissroll, **{**_PLANE, "metrics": "wasserstein,mmd"})
_suggest(gaussian, **{**_PLANE, "metrics": "wasserstein,mmd"})
