"""The Fréchet distance against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from ganbench.frechet import Moments, frechet_distance, moments_of, triangular_root


def gaussian(mean: list[float], covariance: list[list[float]]) -> Moments:
    return Moments(
        100,
        torch.tensor(mean, dtype=torch.float64),
        torch.tensor(covariance, dtype=torch.float64),
    )


def features(n: int, d: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=draws)
    return torch.randn(n, d, generator=draws) @ mixing + seed


def test_gaussians_on_a_line_are_as_far_as_their_means_and_deviations():
    # d² = (m₁ − m₂)² + (s₁ − s₂)² = (5 − 2)² + (3 − 1)² = 13
    assert frechet_distance(gaussian([5], [[9]]), gaussian([2], [[1]])) == pytest.approx(13)


def test_gaussians_with_commuting_covariances_add_up_their_axes():
    # Axes rotated by 45°: the root of [[2.5, 1.5], [1.5, 2.5]] has eigenvalues 2 and 1, that of
    # the identity 1 and 1, so that d² = (2 − 1)² + (1 − 1)² = 1.
    a = gaussian([0, 0], [[2.5, 1.5], [1.5, 2.5]])
    assert frechet_distance(a, gaussian([0, 0], [[1, 0], [0, 1]])) == pytest.approx(1)


def test_a_point_mass_is_as_far_as_the_mean_square_distance_to_it():
    # ‖(3, 4)‖² + tr diag(2, 5) = 25 + 7 = 32
    point = gaussian([0, 0], [[0, 0], [0, 0]])
    assert frechet_distance(gaussian([3, 4], [[2, 0], [0, 5]]), point) == pytest.approx(32)


@pytest.mark.parametrize("n", [500, 12], ids=["regular", "singular"])
def test_the_distance_is_the_one_with_scipys_matrix_square_root(n):
    a, b = moments_of(features(n, 20, 0)), moments_of(features(n, 20, 1))
    root = scipy.linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy())
    expected = float(
        (a.mean - b.mean).square().sum()
        + (a.covariance + b.covariance).trace()
        - 2 * np.trace(root).real
    )
    # scipy's own error on singular products is of the order of the root of the rounding
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10 if n > 20 else 1e-6)


def test_of_fewer_features_than_dimensions_the_trace_is_a_nuclear_norm_to_the_last_digits():
    # With X and Y the centred features, Σ_a Σ_b = Xᵀ X Yᵀ Y / (n − 1)², whose nonzero eigenvalues
    # are those of (X Yᵀ)ᵀ (X Yᵀ) / (n − 1)²: their roots are the singular values of X Yᵀ / (n − 1).
    n, x, y = 30, features(30, 400, 0).double(), features(30, 400, 1).double()
    gap = (x.mean(0) - y.mean(0)).square().sum()
    x, y = x - x.mean(0), y - y.mean(0)
    traces = (x.square().sum() + y.square().sum()) / (n - 1)
    expected = gap + traces - 2 * torch.linalg.svdvals(x @ y.T).sum() / (n - 1)
    a, b = moments_of(features(30, 400, 0)), moments_of(features(30, 400, 1))
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-12)


def test_the_distance_is_symmetric_and_zero_to_itself():
    a, b = moments_of(features(300, 8, 0)), moments_of(features(200, 8, 1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)
    assert 0 <= frechet_distance(a, a) < 1e-9


def test_a_given_root_saves_work_and_changes_nothing():
    a, b = moments_of(features(300, 8, 0)), moments_of(features(200, 8, 1))
    root = triangular_root(a.covariance)
    assert torch.equal(root, root.tril())
    assert torch.allclose(root @ root.T, a.covariance, rtol=1e-12, atol=1e-12)
    assert frechet_distance(a, b, root_a=root) == frechet_distance(a, b)


def test_moments_in_batches_are_those_of_the_whole():
    x = features(1000, 6, 0) + 1e4  # a mean far from zero, where E[x²] − E[x]² would fail
    whole = x.double()
    moments = moments_of(iter(x.split(77)))
    assert moments.n == 1000
    assert torch.allclose(moments.mean, whole.mean(dim=0), rtol=1e-13)
    assert torch.allclose(moments.covariance, torch.cov(whole.T), rtol=1e-9)


def test_one_feature_is_a_point_mass_and_none_is_an_error():
    one = moments_of(torch.tensor([[1.0, 2.0]]))
    assert one.n == 1
    assert one.mean.tolist() == [1, 2]
    assert one.covariance.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="no features"):
        moments_of(torch.empty(0, 2))


@pytest.mark.parametrize(
    ("d", "n"),
    [
        (256, 2000),
        (256, 100),
        pytest.param(2048, 10_000, marks=pytest.mark.slow),
        pytest.param(2048, 1_000, marks=pytest.mark.slow),
    ],
)
def test_the_distance_is_torch_fidelitys_for_many_features_and_for_fewer_than_dimensions(d, n):
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    a, b = moments_of(features(n, d, 0)), moments_of(features(n, d, 1))
    theirs = [{"mu": one.mean.numpy(), "sigma": one.covariance.numpy()} for one in (a, b)]
    expected = fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"]
    assert frechet_distance(a, b, root_a=triangular_root(a.covariance)) == pytest.approx(
        expected, rel=1e-6
    )


def test_features_of_different_dimensions_have_no_distance():
    with pytest.raises(ValueError, match="features of 1 and of 2 dimensions"):
        frechet_distance(gaussian([0], [[1]]), gaussian([0, 0], [[1, 0], [0, 1]]))


def test_the_distance_has_the_same_bits_however_many_cores_blas_would_use():
    from threadpoolctl import threadpool_limits

    a, b = moments_of(features(2000, 100, seed=0)), moments_of(features(200, 100, seed=1))
    found = set()
    for cores in (1, 2, 4):
        with threadpool_limits(limits=cores, user_api="blas"):
            found.add(frechet_distance(a, b))
    assert len(found) == 1
