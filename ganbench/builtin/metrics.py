"""Metrics: an Evaluation -> named values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ganbench.frechet import frechet_distance, frechet_infinity
from ganbench.neighbours import density_and_coverage, precision_and_recall
from ganbench.protocols import Metric
from ganbench.streams import generator, isolated

if TYPE_CHECKING:
    from ganbench.evaluation import Evaluation

__all__ = ["density_coverage", "fid", "fid_infinity", "kid", "precision_recall"]

_SUBSETS_SEED = 2020  # torch-fidelity's default, so that it draws the same subsets


def fid() -> Metric:
    """`fid`: the Fréchet distance of real and generated features.

    Heusel et al. 2017, arXiv 1706.08500. It is the literature's FID with extractor
    inception-v3-compat only. It falls as n_fake grows.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        return {
            "fid": frechet_distance(
                evaluation.moments_real, evaluation.moments_fake, root_a=evaluation.root_real
            )
        }

    measure.moments_only = True  # type: ignore[attr-defined]
    return measure


def fid_infinity() -> Metric:
    """`fid_infinity`: what FID would be with endless generated images.

    The intercept of FID(n) = a + b/n over random subsets. Chong & Forsyth 2020, arXiv 1911.07023.

    It removes the bias of a finite n_fake, not that of a finite n_real. NaN below 20 images.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        distance = frechet_infinity(
            evaluation.moments_real,
            evaluation.features_fake,
            root_a=evaluation.root_real,
            draws=generator(_SUBSETS_SEED, "fid-infinity"),
        )
        return {"fid_infinity": distance}

    return measure


def kid(
    subsets: Annotated[int, Field(ge=1)] = 100, subset_size: Annotated[int, Field(ge=2)] = 1000
) -> Metric:
    """`kid`, `kid_std`: the unbiased squared MMD of features with kernel (x·y/d + 1)³.

    Mean and standard deviation over random `subsets` of `subset_size` images, or of all where there
    are fewer.
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
    """`precision` and `recall`: who lies in the others' neighbourhoods of `k`.

    precision: the share of generated features inside the real ones' neighbourhoods; recall: the
    share of real features inside the generated ones'. Kynkäänniemi et al. 2019, arXiv 1904.06991.

    Recall sees what FID hardly does: duplicates and missing variety.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        fake, real = evaluation.features_fake, evaluation.features_real
        precision, recall = precision_and_recall(fake, real, k, evaluation.radii_real(k))
        return {"precision": precision, "recall": recall}

    return measure


def density_coverage(k: Annotated[int, Field(ge=1)] = 5) -> Metric:
    """`density` and `coverage`: how the fakes fill the real neighbourhoods of `k`.

    density: how many of them a generated feature lies in, over k; coverage: the share of them that
    any generated feature lies in. Naeem et al. 2020, arXiv 2002.09797.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        fake, real = evaluation.features_fake, evaluation.features_real
        density, coverage = density_and_coverage(fake, real, k, evaluation.radii_real(k))
        return {"density": density, "coverage": coverage}

    return measure
