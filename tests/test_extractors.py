"""The embedded extractor and Inception: their features, their weights files, their messages."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ganbench.builtin.datasets import fashion_mnist_10k
from ganbench.builtin.extractors import (
    fmnist_cnn_v1,
    inception_v3_compat,
    register_with_torch_fidelity,
)
from ganbench.builtin.fashion_cnn import FashionCNN, normalise
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.evaluation import extract

PACKAGED = Path(fashion_mnist_10k.__code__.co_filename).parent / "data/fmnist-cnn-v1.safetensors"
CPU = torch.device("cpu")


def images(n: int, *shape: int, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=draws)


def test_the_packaged_weights_are_small_and_say_where_they_come_from():
    assert PACKAGED.stat().st_size <= 1_500_000
    with safe_open(PACKAGED, framework="pt") as file:
        metadata = file.metadata()
    assert {"seed", "script_version", "test_accuracy", "trained_on"} <= metadata.keys()


def test_the_packaged_network_has_the_accuracy_that_its_file_states():
    with safe_open(PACKAGED, framework="pt") as file:
        stated = float(file.metadata()["test_accuracy"])
    data = fashion_mnist_10k(None)
    x, labels = data.x[:2000], data.labels[:2000]
    with torch.inference_mode():
        right = fmnist_cnn_v1().cnn.classify(normalise(x)).argmax(dim=1) == labels
    # 2,000 of the 10,000: a share of 93 % has a standard deviation of 0.6 %
    assert right.double().mean().item() == pytest.approx(stated, abs=0.02)


def test_the_extractor_names_itself_its_weights_and_its_resize():
    extractor = fmnist_cnn_v1()
    assert extractor.name == "fmnist-cnn-v1"
    assert extractor.sha256 == hashlib.sha256(PACKAGED.read_bytes()).hexdigest()
    assert extractor.feature_dim == 128
    assert "28x28" in extractor.preprocessing
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 32, 32), (3, 64, 48), (1, 8, 8)])
def test_images_of_any_size_in_grey_or_colour_have_128_features(shape):
    features = fmnist_cnn_v1()(images(4, *shape))
    assert features.shape == (4, 128)
    assert features.dtype == torch.float32


def test_a_grey_image_has_the_same_features_in_three_channels():
    x = images(8, 1, 28, 28)
    extractor = fmnist_cnn_v1()
    assert torch.allclose(extractor(x), extractor(x.expand(-1, 3, -1, -1)), atol=1e-4)


def test_images_of_two_channels_are_refused_by_name():
    with pytest.raises(IncompatibleParts, match=r"'fmnist-cnn-v1' takes images.*\(2, 28, 28\)"):
        fmnist_cnn_v1()(images(4, 2, 28, 28))


def test_other_weights_of_the_same_network_are_accepted(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "other.safetensors"
    save_file({k: v.contiguous() for k, v in FashionCNN().state_dict().items()}, file)
    other = fmnist_cnn_v1(str(file))
    assert other.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    x = images(4, 1, 28, 28)
    assert not torch.equal(other(x), fmnist_cnn_v1()(x))


@pytest.mark.parametrize("factory", [fmnist_cnn_v1, inception_v3_compat])
def test_missing_weights_are_one_clear_message(factory, tmp_path):
    missing = str(tmp_path / "none.bin")
    with pytest.raises(UsageError, match=r"none\.bin' cannot be read: No such file"):
        factory(missing)


@pytest.mark.parametrize("factory", [fmnist_cnn_v1, inception_v3_compat])
def test_a_file_that_holds_no_weights_is_one_clear_message(factory, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not weights")
    with pytest.raises(UsageError, match=r"notes.txt' does not hold (the )?weights of"):
        factory(str(file))


def test_weights_of_another_shape_name_the_first_that_does_not_fit(tmp_path):
    weights = {k: v.contiguous() for k, v in FashionCNN().state_dict().items()}
    weights["head.bias"] = torch.zeros(11)
    file = tmp_path / "wide.safetensors"
    save_file(weights, file)
    with pytest.raises(UsageError, match=r"wide.safetensors' does not hold.*head.bias"):
        fmnist_cnn_v1(str(file))


def test_inception_weights_of_another_network_say_what_to_give_instead(tmp_path):
    file = tmp_path / "linear.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(UsageError, match=r"(?s)Missing key.*https://.*--extractor-weights FILE"):
        inception_v3_compat(str(file))


def test_a_pickle_that_would_run_code_is_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    file = tmp_path / "trap.pth"
    torch.save({"fc.weight": Trap()}, file)
    with pytest.raises(UsageError, match=r"torch\.load finds no weights"):
        inception_v3_compat(str(file))
    assert not (tmp_path / "sprung").exists()


def test_a_download_that_fails_names_the_address_and_the_way_out(tmp_path, monkeypatch):
    from torch_fidelity import feature_extractor_inceptionv3

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # Port 9 of this machine discards or refuses: no name is looked up, no one is called.
    address = "http://127.0.0.1:9/weights.pth"
    monkeypatch.setattr(feature_extractor_inceptionv3, "URL_INCEPTION_V3", address)
    with pytest.raises(UsageError) as caught:
        inception_v3_compat()
    message = str(caught.value)
    assert address in message
    assert "--extractor-weights FILE" in message
    assert "fmnist-cnn-v1" in message


def test_registering_twice_with_torch_fidelity_is_no_error():
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    register_with_torch_fidelity()
    first = FEATURE_EXTRACTORS_REGISTRY["fmnist-cnn-v1"]
    register_with_torch_fidelity()
    assert FEATURE_EXTRACTORS_REGISTRY["fmnist-cnn-v1"] is first


def test_features_do_not_depend_on_the_batch_they_came_in():
    x = images(70, 1, 28, 28)
    extractor = fmnist_cnn_v1()
    one_by_one = torch.cat([extractor(image[None]) for image in x])
    assert torch.allclose(extract(extractor, x, CPU), one_by_one, rtol=1e-4, atol=1e-5)
