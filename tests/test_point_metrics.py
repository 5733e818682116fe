"""Metrics of points against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from ganbench.evaluation import Evaluation
from ganbench.grammar import parse_component
from ganbench.plan import make_part


class Fixed(nn.Module):
    """A generator of the same points whatever the latents."""

    def __init__(self, points: Tensor) -> None:
        super().__init__()
        self.points = nn.Parameter(points)

    def forward(self, z: Tensor) -> Tensor:
        return self.points[: len(z)]


@pytest.fixture
def measure(registry) -> Callable[..., dict[str, float]]:
    """measure(metric, real, fake) -> its values, by name and through an evaluation."""

    def of(metric: str, real: Tensor, fake: Tensor, **more) -> dict[str, float]:
        evaluation = Evaluation(
            Fixed(fake),
            real,
            z=torch.zeros(len(fake), 1),
            extractor=None,
            device=torch.device("cpu"),
            data_label="points",
            **more,
        )
        return dict(make_part(registry, "metric", parse_component(metric)).create()(evaluation))

    return of


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_wasserstein_pairs_the_points_at_the_least_cost(measure):
    # 0 with 1 and 10 with 8 cost (1 + 2)/2; the other pairing (8 + 9)/2.
    assert measure("wasserstein", column(0, 10), column(8, 1)) == {"wasserstein": 1.5}


def test_wasserstein_of_a_shifted_sample_is_the_length_of_the_shift(measure):
    real = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    fake = real.flip(0) + torch.tensor([3.0, 4.0])
    assert measure("wasserstein", real, fake)["wasserstein"] == pytest.approx(5, rel=1e-6)
    assert measure("wasserstein", real, real.flip(0))["wasserstein"] == pytest.approx(0, abs=1e-6)


def test_wasserstein_on_the_line_is_that_of_the_sorted_samples(measure):
    stream = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(300, 1, generator=stream) * scale for scale in (1.0, 2.0))
    expected = wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy())
    assert measure("wasserstein", real, fake)["wasserstein"] == pytest.approx(expected, rel=1e-5)


def test_wasserstein_takes_the_first_points_of_each_side(measure):
    found = measure("wasserstein:points=2", column(0, 1, 100), column(1, 2, 0))
    assert found == {"wasserstein": 1.0}


def test_mmd_equals_its_definition_summed_by_hand(measure):
    # Real 0 and 2 lie m = 2 apart: k(d) = exp(−d²/8). Fakes 1 and 5.
    real, fake = column(0, 2), column(1, 5)
    across = (2 * math.exp(-1 / 8) + math.exp(-25 / 8) + math.exp(-9 / 8)) / 4
    expected = math.exp(-4 / 8) + math.exp(-16 / 8) - 2 * across
    assert measure("mmd", real, fake)["mmd"] == pytest.approx(expected, rel=1e-6)


def test_mmd_of_one_law_averages_to_nothing_and_tells_two_laws_apart(measure):
    stream = torch.Generator().manual_seed(0)
    same = [
        measure("mmd", *(torch.randn(100, 2, generator=stream) for _ in range(2)))["mmd"]
        for _ in range(20)
    ]
    assert min(same) < 0 < max(same)  # unbiased: on either side of zero
    shifted = torch.randn(100, 2, generator=stream) + 1
    assert measure("mmd", torch.randn(100, 2, generator=stream), shifted)["mmd"] > 5 * max(same)


def test_modes_are_covered_by_enough_samples_within_three_deviations(measure):
    modes, sd = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 0.1
    near = [
        torch.tensor([[0.299, 0.0]]).expand(20, 2),  # mode 0, by 20 samples
        torch.tensor([[1.0, -0.299]]).expand(19, 2),  # mode 1, by one too few
        torch.tensor([[0.0, 1.301]]).expand(61, 2),  # beyond 3σ of mode 2
    ]
    facts = {"modes": modes, "sd": sd}
    found = measure("mode-coverage", torch.zeros(4, 2), torch.cat(near), facts=facts)
    assert found == {"modes_covered": 1.0, "high_quality_share": pytest.approx(0.39)}
    told = measure("mode-coverage:least=1", torch.zeros(4, 2), torch.cat(near), facts=facts)
    assert told["modes_covered"] == 2
    wider = measure("mode-coverage:within=4", torch.zeros(4, 2), torch.cat(near), facts=facts)
    assert wider["high_quality_share"] == 1


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_the_data_themselves_cover_every_mode(measure, registry, name):
    data = make_part(registry, "data", parse_component(name)).create(None)
    found = measure("mode-coverage", data.x, data.x[:2500], facts=data.facts)
    assert found["modes_covered"] == len(data.facts["modes"])
    # Of a Gaussian in the plane 1 − exp(−3²/2) = 0.98889 lies within 3σ.
    assert found["high_quality_share"] == pytest.approx(1 - math.exp(-4.5), abs=0.006)


def test_the_distance_to_the_equilibrium_is_that_of_both_players(measure):
    found = measure(
        "distance-to-equilibrium",
        torch.zeros(2, 1),
        column(3.0),
        facts={"equilibrium": "origin"},
        discriminator=Fixed(column(-4.0)),
    )
    assert found == {"distance_to_equilibrium": 5.0}
