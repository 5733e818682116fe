"""What a run leaves to the next run of its process, and what it can't leave."""

from __future__ import annotations

import gzip
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganbench import RunSpec, kept
from ganbench.builtin import extractors
from ganbench.kept import data_of, extractor_of
from ganbench.plan import Part, make_plan
from ganbench.protocols import Data
from ganbench.registry import Registered
from ganbench.store import run_in_store

CPU = torch.device("cpu")
SMALL = {
    "generator": "mlp:hidden=[8]",
    "discriminator": "mlp:hidden=[8]",
    "steps": 20,
    "batch_size": 16,
    "z_dim": 4,
    "metrics": ["fid"],
    "n_samples": 200,
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(kept, "_last", {})


@pytest.fixture
def plan(registry):
    """plan(**settings) of a run with those."""
    return lambda **settings: make_plan(RunSpec(**SMALL | settings), registry)


def with_data(plan, factory, **options):
    """The plan, with data that `factory(root, **options)` makes."""
    plugin = plan.data.registered.plugin
    return replace(plan, data=Part(Registered("data", "mine", plugin, factory), options, options))


def blank(root: Path | None, n: int = 3) -> Data:
    return Data(torch.zeros(n, 1, 4, 4, dtype=torch.uint8), torch.zeros(n).long(), {"modes": [n]})


def test_data_and_extractor_are_made_once_for_runs_that_name_the_same(plan):
    first, second = plan(seed=0), plan(seed=1, loss="hinge")
    data = data_of(first)
    assert data_of(second) is data
    assert extractor_of(first, data, CPU) is extractor_of(second, data, CPU)


def test_points_and_runs_without_metrics_get_no_extractor(plan):
    ring = plan(data="ring8", metrics=["wasserstein"])
    assert extractor_of(ring, data_of(ring), CPU) is None
    bare = plan(metrics=[])
    assert extractor_of(bare, data_of(bare), CPU) is None


def test_a_factory_that_does_not_say_what_it_reads_makes_its_data_for_each_run(plan):
    assert data_of(with_data(plan(), blank)) is not data_of(with_data(plan(), blank))
    ring = plan(data="ring8", metrics=["wasserstein"])
    assert data_of(ring) is not data_of(ring)


def sized(root: Path | None, n: int = 3) -> Data:
    return blank(root, n)


sized.files_read = lambda root, n: []


def test_other_options_another_root_or_another_factory_give_other_data(plan, tmp_path):
    assert [len(data_of(with_data(plan(), sized, n=n))) for n in (3, 5, 3)] == [3, 5, 3]
    here = data_of(with_data(plan(), sized, n=3))
    assert data_of(with_data(plan(data_root=tmp_path), sized, n=3)) is not here

    def twice(root: Path | None, n: int) -> Data:
        return blank(root, 2 * n)

    twice.files_read = lambda root, n: []
    assert len(data_of(with_data(plan(), twice, n=3))) == 6


WRITES = {
    "its examples": lambda data: data.x.add_(1),
    "some of its examples": lambda data: data.x[:2].fill_(7),
    "its labels": lambda data: data.labels.fill_(1),
    "its facts": lambda data: data.facts["modes"].append(9),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_data_that_a_run_wrote_to_are_made_anew_for_the_next(plan, write):
    mine = with_data(plan(), sized, n=3)
    write(data_of(mine))
    after, fresh = data_of(mine), blank(None)
    assert torch.equal(after.x, fresh.x)
    assert torch.equal(after.labels, fresh.labels)
    assert after.facts == fresh.facts


CHANGES = {
    "a weight": lambda extractor: extractor.cnn.head.weight.zero_(),
    "its mode": lambda extractor: extractor.train(),
    "its precision": lambda extractor: extractor.half(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_extractor_that_a_run_changed_is_made_anew_for_the_next(plan, change):
    data = data_of(plan())
    changed = extractor_of(plan(), data, CPU)
    change(changed)
    after = extractor_of(plan(), data, CPU)
    assert after is not changed
    assert not after.training
    assert torch.equal(after.cnn.head.weight, extractors.fmnist_cnn_v1().cnn.head.weight)


def write_idx(path: Path, values: torch.Tensor) -> None:
    header = b"\0\0\x08" + bytes([values.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(header + values.numpy().tobytes(), compresslevel=0))


def make_newer(file: Path) -> None:
    """By a second, for tests are quicker than file systems' clocks."""
    facts = file.stat()
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))


def test_a_data_file_that_changed_on_disk_is_read_again(plan, tmp_path):
    def write(value: int) -> None:
        images = torch.full((5, 28, 28), value, dtype=torch.uint8)
        write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / "train-labels-idx1-ubyte.gz", torch.zeros(5, dtype=torch.uint8))

    mine = plan(data="fashion-mnist", data_root=tmp_path)
    write(3)
    before = data_of(mine)
    assert data_of(mine) is before
    write(4)  # as many bytes
    make_newer(tmp_path / "train-images-idx3-ubyte.gz")
    assert data_of(mine).x.unique().tolist() == [4]


def test_other_weights_under_the_same_name_are_read_again(plan, tmp_path):
    file = tmp_path / "weights.safetensors"
    shutil.copy(extractors._PACKAGED, file)
    data = data_of(plan())
    before = extractor_of(plan(extractor_weights=file), data, CPU)
    assert extractor_of(plan(extractor_weights=file), data, CPU) is before
    save_file({name: 2 * tensor for name, tensor in load_file(file).items()}, file)
    make_newer(file)
    after = extractor_of(plan(extractor_weights=file), data, CPU)
    assert torch.equal(after.cnn.head.bias, 2 * before.cnn.head.bias)
    assert after.sha256 != before.sha256


def test_memory_never_holds_two_data_sets(plan):
    alive_when_made: list[int] = []
    made: list[weakref.ref[torch.Tensor]] = []

    def counted(root: Path | None, n: int) -> Data:
        alive_when_made.append(sum(one() is not None for one in made))
        data = blank(root, n)
        made.append(weakref.ref(data.x))
        return data

    counted.files_read = lambda root, n: []
    for n in (3, 3, 4, 5):
        data_of(with_data(plan(), counted, n=n))
    assert alive_when_made == [0, 0, 0]
    data_of(with_data(plan(), blank))
    assert made[-1]() is None


def test_a_run_after_another_has_the_bits_it_has_alone(plan, tmp_path):
    def result(out: str, **settings):
        record = run_in_store(plan(**settings), tmp_path / out).record
        assert record.status == "completed"
        return record.weights_sha256, record.evaluated.values

    alone = result("alone", seed=1)
    kept._last.clear()
    result("after", seed=0, loss="hinge")
    assert set(kept._last) == {"data", "extractor"}
    assert result("after", seed=1) == alone
