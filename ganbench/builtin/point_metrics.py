"""Metrics of point data: how far the players are from equilibrium, modes, and exact distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganbench.errors import IncompatibleParts
from ganbench.protocols import Metric

if TYPE_CHECKING:
    from ganbench.evaluation import Evaluation

__all__ = ["distance_to_equilibrium", "mmd", "mode_coverage", "wasserstein"]


def distance_to_equilibrium() -> Metric:
    """‖(θ, ψ)‖, the distance of both players' parameters from the equilibrium at the origin.

    Key distance_to_equilibrium. For data dirac and bilinear with the players of that name;
    the Dirac-GAN's: Mescheder et al. 2018 (arXiv:1801.04406), section 2.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        if evaluation.facts.get("equilibrium") != "origin" or evaluation.discriminator is None:
            raise IncompatibleParts(
                "metric 'distance-to-equilibrium' needs a game whose equilibrium is known: "
                f"data dirac or bilinear, not '{evaluation.data_label}'"
            )
        parameters = [*evaluation.generator.parameters(), *evaluation.discriminator.parameters()]
        squares = torch.stack([p.detach().double().square().sum() for p in parameters])
        return {"distance_to_equilibrium": float(squares.sum().sqrt())}

    return measure


def mode_coverage(
    within: Annotated[float, Field(gt=0)] = 3.0, least: Annotated[int, Field(ge=1)] = 20
) -> Metric:
    """Modes of a mixture that G reaches, and the share of its samples near any mode.

    A sample counts for its nearest mode if it lies within `within` standard deviations of it; a
    mode is covered by `least` such samples (VEEGAN's count asks for 1, which noise meets). Keys
    modes_covered, high_quality_share. Srivastava et al. 2017 (arXiv:1705.07761), section 4.1.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        if "modes" not in evaluation.facts:
            raise IncompatibleParts(
                "metric 'mode-coverage' needs data with known modes: ring8 or grid25, not "
                f"'{evaluation.data_label}'"
            )
        modes = torch.tensor(evaluation.facts["modes"])
        distance, nearest = torch.cdist(evaluation.x_fake.float(), modes).min(dim=1)
        close = distance <= within * evaluation.facts["sd"]
        hits = torch.bincount(nearest[close], minlength=len(modes))
        return {
            "modes_covered": float((hits >= least).sum()),
            "high_quality_share": float(close.float().mean()),
        }

    return measure


def wasserstein(points: Annotated[int, Field(ge=2)] = 1000) -> Metric:
    """The exact 1-Wasserstein distance of the first `points` samples of each side.

    The cost of the best one-to-one assignment under the Euclidean distance, by
    scipy.optimize.linear_sum_assignment. Of two samples of one law it is not 0 but about
    n^(−1/2) in the plane. Key wasserstein. Peyré & Cuturi 2019 (arXiv:1803.00567), section 2.3.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        from scipy.optimize import linear_sum_assignment

        x_real, x_fake = _as_many(evaluation, points)
        cost = torch.cdist(x_real, x_fake).numpy()
        rows, columns = linear_sum_assignment(cost)
        return {"wasserstein": float(cost[rows, columns].mean())}

    return measure


def mmd(points: Annotated[int, Field(ge=2)] = 2000) -> Metric:
    """Unbiased squared maximum mean discrepancy, Gaussian kernel at the median distance.

    k(x, y) = exp(−‖x − y‖²/2m²), m the median distance between real points. It can be slightly
    negative. Key mmd. Gretton et al. 2012 (JMLR 13), eq. 3.
    """

    def measure(evaluation: Evaluation) -> Mapping[str, float]:
        x_real, x_fake = _as_many(evaluation, points)
        n = len(x_real)
        within = torch.cdist(x_real, x_real)
        scale = 2 * torch.median(within[~torch.eye(n, dtype=torch.bool)]).square()
        scale = scale.clamp_min(torch.finfo(scale.dtype).tiny)

        def mean_of_pairs(x: Tensor) -> Tensor:
            kernel = torch.exp(-torch.cdist(x, x).square() / scale)
            return (kernel.sum() - kernel.trace()) / (n * (n - 1))

        across = torch.exp(-torch.cdist(x_real, x_fake).square() / scale).mean()
        return {"mmd": float(mean_of_pairs(x_real) + mean_of_pairs(x_fake) - 2 * across)}

    return measure


def _as_many(evaluation: Evaluation, at_most: int) -> tuple[Tensor, Tensor]:
    """Equally many points of each side, flattened, float64."""
    n = min(at_most, evaluation.n_real, evaluation.n_fake)
    return (
        evaluation.x_real[:n].flatten(1).double().cpu(),
        evaluation.x_fake[:n].flatten(1).double().cpu(),
    )
