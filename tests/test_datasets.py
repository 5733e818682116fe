"""Data sets: what is in them, and what is said when they are not there."""

from __future__ import annotations

import gzip
import os

import pytest
import torch

from ganbench.builtin import datasets
from ganbench.errors import UsageError
from ganbench.feed import to_float
from ganbench.grammar import parse_component
from ganbench.plan import make_part


def load(registry, text: str, root=None):
    return make_part(registry, "data", parse_component(text)).create(root)


def test_fashion_mnist_10k_comes_with_the_package(registry):
    data = load(registry, "fashion-mnist-10k")
    assert data.x.shape == (10_000, 1, 28, 28)
    assert data.x.dtype == torch.uint8
    assert data.labels.bincount().tolist() == [1000] * 10
    assert data.x.float().mean().item() == pytest.approx(73.1466, abs=1e-3)


def test_players_see_images_between_minus_one_and_one():
    levels = torch.tensor([0, 255], dtype=torch.uint8)
    assert to_float(levels).tolist() == [-1.0, 1.0]


def test_its_licence_is_shipped_beside_it():
    folder = datasets._SHIPPED_FOLDER
    assert "Copyright (c) 2017 Zalando SE" in (folder / "LICENSE").read_text()


def write_idx(path, values: torch.Tensor) -> None:
    header = b"\0\0\x08" + bytes([values.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(header + values.numpy().tobytes()))


@pytest.mark.parametrize("place", ["", "FashionMNIST/raw", "fashion-mnist"])
def test_fashion_mnist_is_found_under_the_data_root(registry, tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    images = torch.randint(256, (5, 28, 28), dtype=torch.uint8)
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte.gz", torch.arange(5, dtype=torch.uint8))
    data = load(registry, "fashion-mnist", tmp_path)
    assert torch.equal(data.x[:, 0], images)
    assert data.labels.tolist() == [0, 1, 2, 3, 4]


def test_a_truncated_or_foreign_file_is_named(registry, tmp_path):
    good = torch.zeros(5, 28, 28, dtype=torch.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", good)
    whole = (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()
    for content, reason in [
        (whole[:30], "can't be read"),
        (b"not gzip", "can't be read"),
        (gzip.compress(b"something else"), "not an IDX file"),
        (gzip.compress(gzip.decompress(whole)[:-1]), "cut short"),
    ]:
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(UsageError, match=reason):
            load(registry, "fashion-mnist", tmp_path)


def test_a_missing_data_root_is_a_usage_error(registry, tmp_path):
    with pytest.raises(UsageError, match="which is not a folder"):
        load(registry, "fashion-mnist", tmp_path / "nowhere")


def test_an_unreachable_download_says_what_else_can_be_done(registry, tmp_path, monkeypatch):
    """Every mirror is sent to a port where nobody listens."""
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(datasets, "_DEBIAN_FOLDER", tmp_path / "none")
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="--data fashion-mnist-10k, which comes with ganbench"):
        load(registry, "fashion-mnist", tmp_path)


def test_digits_are_square_images_of_32_pixels(registry):
    pytest.importorskip("sklearn", reason="the extra ganbench[digits] is not installed")
    data = load(registry, "digits")
    assert data.x.shape == (1797, 1, 32, 32)
    assert (data.x.min().item(), data.x.max().item()) == (0, 255)
    assert torch.equal(data.x[:, :, 0, 0], data.x[:, :, 3, 3])  # one pixel, 4 × 4 times


@pytest.mark.parametrize(("name", "modes"), [("ring8", 8), ("grid25", 25)])
def test_a_mixture_s_points_lie_at_its_modes(registry, name, modes):
    data = load(registry, name)
    centres = torch.tensor(data.facts["modes"])
    assert len(centres) == modes
    spread = (data.x - centres[data.labels]).std().item()
    assert spread == pytest.approx(data.facts["sd"], rel=0.03)
    assert data.labels.bincount().min() > 0.7 * len(data) / modes


def test_swissroll_stays_in_its_square_and_gaussian_has_its_dimension(registry):
    assert load(registry, "swissroll").x.abs().max() < 1.1
    assert load(registry, "gaussian:dim=5,n=100").x.shape == (100, 5)
