"""Feature extractors: uint8 images (N, C, H, W) -> float32 features (N, d).

An extractor is a module with `name`, `sha256` (of its weights file), `feature_dim`,
`preprocessing` (the resize and scaling, in words) and, if it is heavy, `batch_size`.
"""

from __future__ import annotations

import hashlib
import socket
import urllib.error
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from ganbench.builtin.fashion_cnn import FashionCNN, normalise
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.streams import isolated

__all__ = [
    "fmnist_cnn_v1",
    "inception_v3_compat",
    "register_with_torch_fidelity",
]

_INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_DOWNLOAD_TIMEOUT_S = 30
_PACKAGED = Path(__file__).parent / "data" / "fmnist-cnn-v1.safetensors"


def fmnist_cnn_v1(weights: str | None = None) -> nn.Module:
    """128 features of a small CNN trained on Fashion-MNIST: see docs/fid.md for what they see.

    Its weights are part of the package; `weights` names another safetensors file of the same
    network (scripts/train_extractor.py writes one). Not comparable with published FIDs.
    Raises `UsageError` for a file that is missing or holds something else.
    """
    content = _read(str(_PACKAGED) if weights is None else weights)
    cnn = FashionCNN()
    try:
        cnn.load_state_dict(load_safetensors(content))
    except (SafetensorError, RuntimeError) as error:
        raise UsageError(
            f"'{weights}' does not hold weights of fmnist-cnn-v1: {_first_fault(error)}. It takes "
            "a safetensors file that scripts/train_extractor.py wrote; without "
            "--extractor-weights it uses the weights in the package"
        ) from error
    return _FashionExtractor(cnn, hashlib.sha256(content).hexdigest()).eval().requires_grad_(False)


def inception_v3_compat(weights: str | None = None) -> nn.Module:
    """2048 features of Inception-v3: the extractor of the literature's FID.

    TensorFlow's weights of 2015-12-05, as torch-fidelity computes them. Grey images are repeated to
    3 channels.

    Without `weights`, torch-fidelity's file is downloaded into torch's hub folder (95 MB, once).
    Raises `UsageError` when that fails, or the file is missing or holds something else.
    """
    with isolated():
        from torch_fidelity.feature_extractor_inceptionv3 import (
            URL_INCEPTION_V3,
            FeatureExtractorInceptionV3,
        )

        path = _downloaded(URL_INCEPTION_V3) if weights is None else Path(weights)
        sha256 = hashlib.sha256(_read(str(path))).hexdigest()
        try:
            torch.load(path, map_location="cpu", weights_only=True)  # refuses what runs code
        except Exception as error:  # unpickling raises nearly anything on a foreign file
            raise _not_inception(path, URL_INCEPTION_V3, "torch.load finds no weights") from error
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except (RuntimeError, TypeError, AttributeError) as error:
            raise _not_inception(path, URL_INCEPTION_V3, _first_fault(error)) from error
    return _InceptionExtractor(network, sha256).eval().requires_grad_(False)


class _FashionExtractor(nn.Module):
    name = "fmnist-cnn-v1"
    feature_dim = 128
    preprocessing = "luma of colour; bilinear antialiased resize to 28x28; (x/255-0.2860)/0.3530"

    def __init__(self, cnn: FashionCNN, sha256: str) -> None:
        super().__init__()
        self.cnn = cnn
        self.sha256 = sha256

    def forward(self, images: Tensor) -> Tensor:
        _check_channels(self.name, images)
        features: Tensor = self.cnn(normalise(images))
        return features


class _InceptionExtractor(nn.Module):
    name = "inception-v3-compat"
    feature_dim = 2048
    preprocessing = (
        "grey repeated to 3 channels; TensorFlow 1 bilinear resize to 299x299; (x-128)/128"
    )
    batch_size = 32  # at 299x299 one image's activations take tens of megabytes

    def __init__(self, network: nn.Module, sha256: str) -> None:
        super().__init__()
        self.network = network
        self.sha256 = sha256

    def forward(self, images: Tensor) -> Tensor:
        _check_channels(self.name, images)
        features: Tensor
        (features,) = self.network(images.expand(-1, 3, -1, -1))
        return features


def register_with_torch_fidelity() -> None:
    """Make `fmnist-cnn-v1` a feature extractor of torch-fidelity's own functions and command:
    `calculate_metrics(feature_extractor="fmnist-cnn-v1", …)`. Again is no error.

    `inception-v3-compat` is one already.
    """
    with isolated():
        from torch_fidelity import FeatureExtractorBase, register_feature_extractor
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    class FmnistCnnV1(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(
            self,
            name: str,
            features_list: list[str],
            feature_extractor_weights_path: str | None = None,
            **_: Any,
        ) -> None:
            super().__init__(name, features_list)
            self.extractor = fmnist_cnn_v1(feature_extractor_weights_path)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("128",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "128"

        @staticmethod
        def can_be_compiled() -> bool:
            return True

        @staticmethod
        def get_dummy_input_for_compile() -> Tensor:
            return torch.zeros(1, 1, 28, 28, dtype=torch.uint8)

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (self.extractor(images),)

    if _FashionExtractor.name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(_FashionExtractor.name, FmnistCnnV1)


def _check_channels(name: str, images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise IncompatibleParts(
            f"extractor '{name}' takes images of shape (1 or 3, height, width), not of "
            f"{tuple(images.shape[1:])}"
        )


def _downloaded(url: str) -> Path:
    """The file at `url`, from torch's hub folder or fetched into it."""
    path = _place_of_download(url)
    if path.is_file():
        return path
    timeout_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), _INCEPTION_SHA256, progress=False)
    except (OSError, RuntimeError, urllib.error.URLError) as error:
        raise UsageError(
            f"extractor 'inception-v3-compat' needs weights that could not be downloaded from "
            f"{url}: {error}. Fetch that file where there is internet and pass it with "
            "--extractor-weights FILE, or use --extractor fmnist-cnn-v1, which needs no download"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout_s)
    return path


def _place_of_download(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _files_of_inception(weights: str | None) -> list[Path]:
    with isolated():
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return [_place_of_download(URL_INCEPTION_V3) if weights is None else Path(weights)]


def _not_inception(path: Path, url: str, fault: str) -> UsageError:
    return UsageError(
        f"'{path}' does not hold the weights of inception-v3-compat: {fault}. "
        f"Give the file at {url} with --extractor-weights FILE"
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"extractor weights '{path}' cannot be read: {error.strerror}") from error


def _first_fault(error: Exception) -> str:
    """The line that says what is wrong: of a failed load_state_dict, the first mismatch."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Error(s) in loading")]
    text = told[0].rstrip(".") if told else type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}…"


# By which a process may keep them from one run to the next: see ganbench/kept.py.
fmnist_cnn_v1.files_read = lambda weights: [_PACKAGED if weights is None else Path(weights)]  # type: ignore[attr-defined]
inception_v3_compat.files_read = _files_of_inception  # type: ignore[attr-defined]
