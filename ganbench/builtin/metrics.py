"""Metrics: an Evaluation -> named values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganbench.frechet import frechet_distance, moments_of
from ganbench.protocols import Metric
from ganbench.streams import generator, isolated

if TYPE_CHECKING:
    from ganbench.evaluation import Evaluation

__all__ = ["fid", "fid_infinity", "kid", "precision_recall"]

_ROWS_AT_ONCE = 1024
_SUBSETS_SEED = 2020  # torch-fidelity's default, so that it draws the same subsets
_FIT_POINTS = 15


def fid() -> Metric:
    """`fid`: the Fréchet distance of real and generated features. Heusel et al. 2017,
    arXiv 1706.08500.

    It is the literature's FID with extractor inception-v3-compat only. It falls as n_fake grows.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        return {
            "fid": frechet_distance(
                evaluation.moments_real, evaluation.moments_fake, root_a=evaluation.root_real
            )
        }

    return measure


def fid_infinity() -> Metric:
    """`fid_infinity`: the intercept of FID(n) = a + b/n, fitted by least squares over 15 random
    subsets of the generated images, of n_fake/10 to n_fake. Chong & Forsyth 2020,
    arXiv 1911.07023.

    It removes the bias of a finite n_fake, not that of a finite n_real. NaN below 20 images.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        features = evaluation.features_fake
        n = len(features)
        if n < 20:
            return {"fid_infinity": math.nan}
        draws = generator(_SUBSETS_SEED, "fid-infinity")
        sizes = np.unique(np.linspace(n // 10, n, _FIT_POINTS).astype(int))
        distances = []
        for size in sizes.tolist():
            some = features[torch.randperm(n, generator=draws)[:size]]
            distances.append(
                frechet_distance(
                    evaluation.moments_real, moments_of(some), root_a=evaluation.root_real
                )
            )
        _, intercept = np.polyfit(1 / sizes, distances, 1)
        return {"fid_infinity": float(intercept)}

    return measure


def kid(
    subsets: Annotated[int, Field(ge=1)] = 100, subset_size: Annotated[int, Field(ge=2)] = 1000
) -> Metric:
    """`kid`, `kid_std`: the unbiased squared MMD with kernel (x·y/d + 1)³, mean and standard
    deviation over random `subsets` of `subset_size` images, or of all where there are fewer.
    Bińkowski et al. 2018, arXiv 1801.01401. Computed by torch-fidelity.

    The deviation is between subsets: it is no confidence interval. NaN for one image.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        size = min(subset_size, evaluation.n_real, evaluation.n_fake)
        if size < 2:
            return {"kid": math.nan, "kid_std": math.nan}
        fake, real = evaluation.features_fake, evaluation.features_real
        with isolated():
            from torch_fidelity import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD
            from torch_fidelity.metric_kid import kid_features_to_metric

            values = kid_features_to_metric(
                fake,
                real,
                kid_subsets=subsets,
                kid_subset_size=size,
                rng_seed=_SUBSETS_SEED,
                verbose=False,
            )
        return {"kid": values[KEY_METRIC_KID_MEAN], "kid_std": values[KEY_METRIC_KID_STD]}

    return measure


def precision_recall(k: Annotated[int, Field(ge=1)] = 3) -> Metric:
    """`precision`: the share of generated features that lie in a ball around some real one,
    whose radius is the distance to its k-th nearest real neighbour; `recall`: the same with the
    sides exchanged. Kynkäänniemi et al. 2019, arXiv 1904.06991.

    Recall sees what FID hardly does: duplicates and missing variety. With n ≤ k images, k is
    n − 1.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        centre = evaluation.features_real.mean(dim=0)  # smaller numbers, smaller rounding errors
        real, fake = evaluation.features_real - centre, evaluation.features_fake - centre
        inside_real, inside_fake = _covered(
            fake, _squared_radii(fake, k), real, _squared_radii(real, k)
        )
        return {
            "precision": inside_real.double().mean().item(),
            "recall": inside_fake.double().mean().item(),
        }

    return measure


def _squared_radii(x: Tensor, k: int) -> Tensor:
    """Each row's squared distance to its k-th nearest other row: (N, d) -> (N,)."""
    k = min(k, len(x) - 1)
    norms = x.square().sum(dim=1)
    radii = [
        _squared_distances(rows, x, norms).topk(k + 1, dim=1, largest=False).values[:, -1]
        for rows in torch.split(x, _ROWS_AT_ONCE)
    ]
    return torch.cat(radii)


def _covered(x: Tensor, x_radii: Tensor, y: Tensor, y_radii: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows of x lie in a ball of y, and which of y in a ball of x: (N,) and (M,) bool."""
    norms = y.square().sum(dim=1)
    x_covered, y_covered = [], torch.zeros(len(y), dtype=torch.bool)
    for start in range(0, len(x), _ROWS_AT_ONCE):
        rows, radii = x[start : start + _ROWS_AT_ONCE], x_radii[start : start + _ROWS_AT_ONCE]
        distances = _squared_distances(rows, y, norms)
        x_covered.append((distances <= y_radii).any(dim=1))
        y_covered |= (distances <= radii[:, None]).any(dim=0)
    return torch.cat(x_covered), y_covered


def _squared_distances(x: Tensor, y: Tensor, y_norms: Tensor) -> Tensor:
    """‖x_i − y_j‖² = ‖x_i‖² + ‖y_j‖² − 2 x_i·y_j: (n, d), (M, d), (M,) -> (n, M)."""
    return torch.addmm(y_norms, x, y.T, alpha=-2).add_(x.square().sum(dim=1, keepdim=True))
