"""The data against its definition, the metric against hand arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganbench.evaluation import Evaluation
from ganbench.grammar import parse_component
from ganbench.plan import make_part, make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


def create(kind, text, *args):
    return make_part(default_registry(), kind, parse_component(text)).create(*args)


def measured(x_real, x_fake, text="nearest-neighbour"):
    """The metric of a generator that returns its latents, which are the fakes."""
    evaluation = Evaluation(
        nn.Identity(), x_real, z=x_fake, extractor=None, device=torch.device("cpu")
    )
    return create("metric", text)(evaluation)


def test_circles_without_noise_have_the_two_radii():
    data = create("data", "circles:n=100,noise=0,factor=0.25", None)
    radii = data.x.norm(dim=1)
    assert torch.allclose(radii[data.labels == 0], torch.tensor(1.0))
    assert torch.allclose(radii[data.labels == 1], torch.tensor(0.25))


def test_moons_fill_the_square_from_its_middle():
    x = create("data", "moons:noise=0", None).x
    assert x.amax(0).tolist() == pytest.approx([1.0, 0.5], abs=1e-3)
    assert x.amin(0).tolist() == pytest.approx([-1.0, -0.5], abs=1e-3)


def test_data_is_fixed_by_its_seed():
    one, same, other = (create("data", f"moons:seed={seed}", None).x for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_samples_that_lie_apart_are_told_from_each_other_always():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    assert set(measured(x, x + 100).values()) == {1.0}


def test_copies_are_never_told_from_what_they_copy():
    # Each fake sits nearer to its real one than to anything else, so no neighbour is of its kind.
    x = torch.arange(20.0)[:, None].repeat(1, 2)
    assert set(measured(x, x + 1e-3).values()) == {0.0}


def test_each_side_counts_its_own():
    # On a line: real at 0 and 1, fake at 1.9 and 9. Nearest: 0 -> 1, 1 -> 1.9, 1.9 -> 1, 9 -> 1.9.
    found = measured(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.9], [9.0]]))
    assert found == {"nn_accuracy": 0.5, "nn_accuracy_real": 0.5, "nn_accuracy_fake": 0.5}


def test_one_law_gives_a_half():
    stream = torch.Generator().manual_seed(0)
    x_real, x_fake = torch.randn(2, 2000, 2, generator=stream)
    # 4,000 nearly independent answers: a standard deviation of 0.008.
    assert measured(x_real, x_fake)["nn_accuracy"] == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("data", ["moons", "circles", "digits"])
def test_a_run_has_the_metric(data, tmp_path, monkeypatch):
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(tmp_path))
    spec = RunSpec(
        data=data,
        metrics="nearest-neighbour",
        steps=3,
        batch_size=8,
        n_samples=64,
        threads=1,
        device="cpu",
    )
    record = run_in_store(make_plan(spec, default_registry()), tmp_path).record
    assert record.status == "completed"
    assert 0.5 <= record.evaluated.values["nn_accuracy"] <= 1
