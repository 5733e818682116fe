"""A metric from scikit-learn's nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.neighbors import NearestNeighbors

from ganbench.evaluation import Evaluation
from ganbench.protocols import Metric

__all__ = ["nearest_neighbour"]


def nearest_neighbour(points: Annotated[int, Field(ge=2)] = 2500) -> Metric:
    """Share of samples whose nearest neighbour is of their own kind, real or generated.

    Of the first `points` of each side, as points or, of images, as features. ½ where the two
    laws agree; 1 where they lie apart; less than ½ of generated ones that copy real ones. Keys
    nn_accuracy, nn_accuracy_real, nn_accuracy_fake. Lopez-Paz & Oquab 2017 (arXiv:1610.06545);
    the two parts: Xu et al. 2018 (arXiv:1806.07755), section 3.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        if evaluation.is_images:
            real, fake = evaluation.features_real, evaluation.features_fake
        else:
            real, fake = evaluation.x_real, evaluation.x_fake
        n = min(points, len(real), len(fake))
        samples = np.concatenate([real[:n].double().numpy(), fake[:n].double().numpy()])
        is_real = np.arange(2 * n) < n
        search = NearestNeighbors(n_neighbors=1).fit(samples)
        nearest = search.kneighbors(return_distance=False)[:, 0]  # of the others: not itself
        same = is_real[nearest] == is_real
        return {
            "nn_accuracy": float(same.mean()),
            "nn_accuracy_real": float(same[is_real].mean()),
            "nn_accuracy_fake": float(same[~is_real].mean()),
        }

    return measure
