"""scikit-learn's toy data in the plane, scaled into about [−1, 1]²."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from sklearn.datasets import make_circles, make_moons

from ganbench.protocols import Data

__all__ = ["circles", "moons"]

Count = Annotated[int, Field(ge=2)]
Noise = Annotated[float, Field(ge=0)]


def moons(root: Path | None, n: Count = 10_000, noise: Noise = 0.05, seed: int = 0) -> Data:
    """Two interleaved half circles in the plane: sklearn.datasets.make_moons."""
    x, labels = make_moons(n, noise=noise, random_state=seed)
    return _data((x - [0.5, 0.25]) / 1.5, labels)  # centred; the half circles reach ±1


def circles(
    root: Path | None,
    n: Count = 10_000,
    noise: Noise = 0.02,
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    seed: int = 0,
) -> Data:
    """A circle of radius 1 around one of radius `factor`: sklearn.datasets.make_circles."""
    return _data(*make_circles(n, noise=noise, factor=factor, random_state=seed))


def _data(x: np.ndarray, labels: np.ndarray) -> Data:
    facts = {"n": len(x), "source": "scikit-learn"}
    return Data(torch.from_numpy(x).float(), torch.from_numpy(labels).long(), facts)


# What a run with this data uses where its user says nothing else.
_SUITABLE = {
    "generator": "mlp:hidden=[128,128]",
    "discriminator": "mlp:hidden=[128,128]",
    "z_dim": 16,
    "metrics": "nearest-neighbour,wasserstein",
    "n_samples": 2500,
}
moons.run_defaults = _SUITABLE  # type: ignore[attr-defined]
circles.run_defaults = _SUITABLE  # type: ignore[attr-defined]
