"""The network behind the extractor fmnist-cnn-v1."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FashionCNN", "normalise"]

_CHANNELS = (1, 32, 32, 64, 64, 128, 128)
_POOL_AFTER = (2, 4)


class FashionCNN(nn.Module):
    """Six 3x3 convolutions and a linear head, for 28x28 grey images of ten kinds of garment.

    Its features are the means of the last convolution's 128 maps. It has no batch norm: the
    training script folds it into the convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in itertools.pairwise(_CHANNELS)
        )
        self.head = nn.Linear(_CHANNELS[-1], 10)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (N, 1, 28, 28) -> features (N, 128)."""
        x = x.to(memory_format=torch.channels_last)
        for number, conv in enumerate(self.convs, start=1):
            x = F.relu(conv(x))
            if number in _POOL_AFTER:
                x = F.max_pool2d(x, 2)
        return x.mean(dim=(2, 3))

    def classify(self, x: Tensor) -> Tensor:
        """Normalised images (N, 1, 28, 28) -> class logits (N, 10)."""
        logits: Tensor = self.head(self(x))
        return logits


def normalise(images: Tensor) -> Tensor:
    """uint8 (N, 1 or 3, H, W) -> float32 (N, 1, 28, 28): (x/255 − 0.2860) / 0.3530.

    Colour becomes ITU-R 601 luma; other sizes are resized bilinearly with antialiasing.
    """
    x = images.float()
    if x.shape[1] == 3:
        x = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    if x.shape[2:] != (28, 28):
        x = F.interpolate(x, (28, 28), mode="bilinear", align_corners=False, antialias=True)
    return (x / 255 - 0.2860) / 0.3530
