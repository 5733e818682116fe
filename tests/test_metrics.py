"""Metrics against torch-fidelity on the same images, and against hand arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ganbench.builtin.datasets import fashion_mnist_10k
from ganbench.builtin.extractors import (
    fmnist_cnn_v1,
    inception_v3_compat,
    register_with_torch_fidelity,
)
from ganbench.builtin.metrics import density_coverage, fid, fid_infinity, kid, precision_recall
from ganbench.evaluation import Evaluation
from ganbench.streams import isolated

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(tmp_path / "cache"))


class Pixels(nn.Module):
    """The pixels themselves as features."""

    name, sha256, preprocessing = "pixels", "0" * 64, "none"
    feature_dim = 2

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).float()


class Album(nn.Module):
    """A generator that hands out given uint8 images: the latent is the image's number."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def forward(self, z: Tensor) -> Tensor:
        return self.images[z[:, 0].long()].float() / 127.5 - 1


def compare(fake: Tensor, real: Tensor, extractor: nn.Module) -> Evaluation:
    numbers = torch.arange(len(fake)).float()[:, None]
    return Evaluation(Album(fake), real, z=numbers, extractor=extractor, device=CPU)


class Images(Dataset[Tensor]):
    """What torch-fidelity takes: bare uint8 tensors."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def torch_fidelity_values(fake: Tensor, real: Tensor, **settings: Any) -> dict[str, float]:
    import torch_fidelity

    register_with_torch_fidelity()
    with isolated():
        values = torch_fidelity.calculate_metrics(
            input1=Images(fake),
            input2=Images(real),
            fid=True,
            kid=True,
            prc=True,
            cuda=False,
            cache=False,
            save_cpu_ram=True,  # no worker processes
            verbose=False,
            **settings,
        )
    return {
        "fid": values[torch_fidelity.KEY_METRIC_FID],
        "kid": values[torch_fidelity.KEY_METRIC_KID_MEAN],
        "kid_std": values[torch_fidelity.KEY_METRIC_KID_STD],
        "precision": values[torch_fidelity.KEY_METRIC_PRECISION],
        "recall": values[torch_fidelity.KEY_METRIC_RECALL],
    }


def blurred(x: Tensor) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    return gaussian_blur(x, [5, 5], [0.7, 0.7])


def test_every_metric_of_the_embedded_extractor_is_torch_fidelitys():
    x = fashion_mnist_10k(None).x
    real, fake = x[:700], blurred(x[700:1300])
    one = compare(fake, real, fmnist_cnn_v1())
    ours = fid()(one) | kid(subsets=10, subset_size=300)(one) | precision_recall()(one)
    theirs = torch_fidelity_values(
        fake, real, feature_extractor="fmnist-cnn-v1", kid_subsets=10, kid_subset_size=300
    )
    assert 0 < ours["precision"] < 1
    assert 0 < ours["recall"] < 1
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory) -> Iterator[Path]:
    """Inception's architecture with random weights of a variance that signals survive."""
    import torch_fidelity.feature_extractor_inceptionv3 as module

    class Untrained(module.FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, state: Any) -> None:
            del state

    empty = tmp_path_factory.mktemp("inception") / "empty.pth"
    torch.save({}, empty)
    with isolated(seed=0):
        network = Untrained("untrained", ["2048"], feature_extractor_weights_path=str(empty))
        for part in network.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    path = empty.with_name("random.pth")
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


def test_every_metric_of_inception_is_torch_fidelitys(inception_weights):
    x = fashion_mnist_10k(None).x
    real, fake = x[:14], blurred(x[14:26]) // 4
    one = compare(fake, real, inception_v3_compat(str(inception_weights)))
    ours = fid()(one) | kid(subsets=4, subset_size=10)(one) | precision_recall()(one)
    theirs = torch_fidelity_values(
        fake.expand(-1, 3, -1, -1),
        real.expand(-1, 3, -1, -1),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(inception_weights),
        feature_layer_prc="2048",
        kid_subsets=4,
        kid_subset_size=10,
    )
    # Of 12 fakes all but 11 eigenvalues are 0. The roots of what rounding makes of them are in
    # torch-fidelity's trace, and not in ours: 3.5e-5 here. Ours is right: test_frechet.py.
    assert ours.pop("fid") == pytest.approx(theirs.pop("fid"), abs=5e-5)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_the_same_images_on_both_sides_have_no_distance_and_full_coverage():
    x = fashion_mnist_10k(None).x[:200]
    one = compare(x, x, fmnist_cnn_v1())
    assert fid()(one)["fid"] == pytest.approx(0, abs=1e-6)
    assert precision_recall()(one) == {"precision": 1, "recall": 1}


def pixels(*values: int) -> Tensor:
    """Images of one row: (n, 1, 1, 2), of which the second pixel is black."""
    return torch.tensor([[[[value, 0]]] for value in values], dtype=torch.uint8)


def test_precision_and_recall_count_who_lies_in_whose_balls():
    # k = 1. Real 0, 10, 100 have radii 10, 10, 90: balls [-10, 10], [0, 20], [10, 190].
    # Fake 5, 15, 200, 250 have radii 10, 10, 50, 50: [-5, 15], [5, 25], [150, 250], [200, 300].
    # In a real ball lie the fakes 5 and 15, 2 of 4; in a fake ball the reals 0 and 10, 2 of 3.
    one = compare(pixels(5, 15, 200, 250), pixels(0, 10, 100), Pixels())
    values = precision_recall(k=1)(one)
    assert values == {"precision": pytest.approx(2 / 4), "recall": pytest.approx(2 / 3)}


def test_density_and_coverage_count_balls_around_the_real_images_alone():
    # k = 1: the real balls [-10, 10], [0, 20], [10, 190] of above. Fake 5 lies in two of them, 15
    # in two, 200 and 250 in none: density 4/(1·4); every one of the 3 balls holds a fake.
    one = compare(pixels(5, 15, 200, 250), pixels(0, 10, 100), Pixels())
    assert density_coverage(k=1)(one) == {"density": 1, "coverage": 1}
    # A lone fake 5 leaves the third ball empty; density 2/(1·1).
    values = density_coverage(k=1)(compare(pixels(5), pixels(0, 10, 100), Pixels()))
    assert values == {"density": 2, "coverage": pytest.approx(2 / 3)}


def test_duplicates_keep_precision_and_lose_recall_and_coverage():
    x = fashion_mnist_10k(None).x
    one = compare(x[:10].repeat(40, 1, 1, 1), x[:400], fmnist_cnn_v1())
    values = precision_recall()(one) | density_coverage()(one)
    assert values["precision"] == 1
    assert values["recall"] < 0.1
    assert values["coverage"] < 0.2


@pytest.mark.parametrize("metric", [fid, fid_infinity, kid, precision_recall, density_coverage])
@pytest.mark.parametrize(("n_fake", "n_real"), [(16, 16), (2, 30), (30, 2)])
def test_few_images_give_numbers(metric, n_fake, n_real):
    x = fashion_mnist_10k(None).x
    values = metric()(compare(x[:n_fake], x[100 : 100 + n_real], fmnist_cnn_v1()))
    named = all(isinstance(value, float) for value in values.values())
    assert named
    if metric is not fid_infinity or n_fake >= 20:
        assert all(math.isfinite(value) for value in values.values())


def test_one_image_has_no_unbiased_kernel_distance_but_a_frechet_distance():
    x = fashion_mnist_10k(None).x
    one = compare(x[:1], x[100:120], fmnist_cnn_v1())
    assert math.isnan(kid()(one)["kid"])
    assert fid()(one)["fid"] > 0
    assert precision_recall()(one).keys() == {"precision", "recall"}


@pytest.mark.parametrize("metric", [kid, fid_infinity, precision_recall, density_coverage, fid])
def test_a_metric_gives_the_same_number_twice(metric: Callable[[], Any]):
    x = fashion_mnist_10k(None).x
    one = compare(x[:60], x[100:180], fmnist_cnn_v1())
    first = metric()(one)
    torch.manual_seed(7)
    assert metric()(one) == first


def test_fid_infinity_removes_the_bias_that_fid_has_at_small_n():
    # One distribution on both sides, in 16 dimensions: the truth is 0, but FID at n is about b/n.
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (6000, 1, 4, 4), dtype=torch.uint8, generator=draws)
    one = compare(x[:500], x[500:], Pixels())
    assert abs(fid_infinity()(one)["fid_infinity"]) < fid()(one)["fid"] / 3


def test_kid_is_the_unbiased_estimate_of_the_cubic_kernel():
    # One subset holds everything: x = 0, 2 and y = 2, 4, with d = 2 and k(a, b) = (a·b/2 + 1)³.
    # k(x₁, x₂) = 1, k(y₁, y₂) = 125, and across k(0, 2) = k(0, 4) = 1, k(2, 2) = 27, k(2, 4) = 125.
    # MMD² = 1 + 125 − 2·(1 + 1 + 27 + 125)/4 = 49
    one = compare(pixels(0, 2), pixels(2, 4), Pixels())
    assert kid(subsets=3)(one) == {"kid": 49, "kid_std": 0}
