"""Data of the user's own: what is read, what is kept, and what is said when it can't be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganbench
from ganbench import devices
from ganbench.errors import UsageError
from ganbench.grammar import parse_component
from ganbench.plan import make_part
from ganbench.spec import RunSpec
from ganbench.testing import check_dataset

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
SMALL = {
    "generator": "dcgan:width=2",
    "discriminator": "dcgan:width=2",
    "batch_size": 4,
    "z_dim": 4,
    "steps": 6,
    "metrics": "none",
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def load(registry, text, root=None):
    return make_part(registry, "data", parse_component(text)).create(root)


def pictures(folder, colours, width=20, height=12):
    folder.mkdir(parents=True, exist_ok=True)
    for i, colour in enumerate(colours):
        Image.new("RGB", (width, height), colour).save(folder / f"{i:03d}.png")


def test_an_array_file_is_mapped_not_read(registry, tmp_path):
    x = np.arange(5 * 3 * 8 * 8, dtype=np.uint8).reshape(5, 3, 8, 8)
    np.save(tmp_path / "x.npy", x)
    data = load(registry, "npy:file=x.npy", tmp_path)
    assert data.lazy
    assert torch.equal(data.x, torch.from_numpy(x))
    assert str(tmp_path / "x.npy") in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((4, 8, 8), np.uint8), (4, 1, 8, 8)),
        (np.zeros((4, 2), np.float32), (4, 2)),
    ],
)
def test_images_of_one_channel_and_points_are_taken(registry, tmp_path, array, shape):
    np.save(tmp_path / "x.npy", array)
    assert load(registry, "npy:file=x.npy", tmp_path).x.shape == shape


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: np.save(path, np.zeros((4, 2))), r"float64 of shape \(4, 2\), but must"),
        (lambda path: np.save(path, np.zeros((0, 1, 8, 8), np.uint8)), r"shape \(0, 1, 8, 8\)"),
        (lambda path: np.save(path, np.array([{}])), "can't be read as a .npy array"),
        (lambda path: path.write_bytes(b"PK not an array"), "can't be read as a .npy array"),
        (lambda path: None, "No such file"),
    ],
)
def test_a_file_that_holds_something_else_is_named(registry, tmp_path, write, message):
    write(tmp_path / "x.npy")
    with pytest.raises(UsageError, match=message) as raised:
        load(registry, "npy:file=x.npy", tmp_path)
    assert str(tmp_path / "x.npy") in str(raised.value)


def test_pictures_are_central_squares_of_their_size(registry, tmp_path):
    wide = Image.new("RGB", (32, 8), RED)
    wide.paste(BLUE, (12, 0, 20, 8))  # the central square of 8 × 8
    wide.save(tmp_path / "wide.png")
    data = load(registry, f'folder:path="{tmp_path}",size=8')
    assert data.x.shape == (1, 3, 8, 8)
    assert data.x[0].flatten(1).unique(dim=1).flatten().tolist() == list(BLUE)
    assert data.labels is None


def test_grey_pictures_have_one_channel(registry, tmp_path):
    pictures(tmp_path, [RED, WHITE])
    data = load(registry, f'folder:path="{tmp_path}",size=4,colour=grey')
    # ITU-R 601-2: 0.299 · 255 = 76.2 for red
    assert data.x.flatten(1).unique(dim=1).flatten().tolist() == [76, 255]


def test_subfolders_are_labels_in_the_order_of_their_names(registry, tmp_path):
    pictures(tmp_path / "dogs", [RED, RED])
    pictures(tmp_path / "cats" / "young", [BLUE])
    data = load(registry, 'folder:path=".",size=4', tmp_path)
    assert data.labels.tolist() == [0, 1, 1]
    assert data.x[:, 0, 0, 0].tolist() == [0, 255, 255]


def test_pictures_are_read_once_and_anew_when_they_change(registry, tmp_path, monkeypatch):
    pictures(tmp_path / "p", [RED, BLUE])
    place = tmp_path / "p"
    text = f'folder:path="{place}",size=4'
    first = load(registry, text).x.clone()
    with monkeypatch.context() as patch:
        patch.setattr("ganbench.builtin.stored._write", None)
        assert torch.equal(load(registry, text).x, first)
    pictures(tmp_path / "p", [WHITE, BLUE, RED])
    assert load(registry, text).x[:, 1, 0, 0].tolist() == [255, 0, 0]


def test_a_picture_that_can_t_be_read_is_named_and_nothing_is_kept(registry, tmp_path):
    pictures(tmp_path / "p", [RED])
    (tmp_path / "p" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"picture '.*broken\.jpg' can't be read"):
        load(registry, "folder:path=p", tmp_path)
    (tmp_path / "p" / "broken.jpg").unlink()
    assert len(load(registry, "folder:path=p", tmp_path).x) == 1


def test_a_folder_without_pictures_is_named(registry, tmp_path):
    with pytest.raises(UsageError, match=r"holds no pictures: looked for \.bmp"):
        load(registry, 'folder:path="."', tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        load(registry, "folder:path=nowhere", tmp_path)


def test_both_keep_the_rules_of_data_sets(tmp_path):
    pictures(tmp_path / "p", [RED, BLUE, WHITE])
    np.save(tmp_path / "x.npy", np.zeros((4, 2), np.float32))
    check_dataset("folder:path=p,size=8", root=tmp_path)
    check_dataset("npy:file=x.npy", root=tmp_path)


def test_a_run_on_data_larger_than_memory_has_the_weights_of_one_in_memory(tmp_path, monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8)
    np.save(tmp_path / "x.npy", x)
    spec = RunSpec(**SMALL, data="npy:file=x.npy", data_root=tmp_path)
    fits = ganbench.run(spec, tmp_path / "fits")
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: x.nbytes)
    does_not = ganbench.run(spec, tmp_path / "does-not")
    assert fits.environment["feed"] == "resident"
    assert does_not.environment["feed"] == "prefetch"
    assert fits.weights_sha256 == does_not.weights_sha256


def test_the_command_trains_on_a_folder_of_pictures(ganbench_cli, tmp_path):
    pictures(tmp_path / "p", [(40 * i, 0, 0) for i in range(6)])
    flags = ["--generator", "dcgan:width=2", "--discriminator", "dcgan:width=2", "--z-dim", 4]
    flags += ["--steps", 4, "--batch-size", 3, "--metrics", "none", "--device", "cpu"]
    flags += ["--data", "folder:path=p,size=16", "--data-root", tmp_path]
    answer = ganbench_cli("run", *flags, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert list((tmp_path / "out").rglob("samples.png"))
