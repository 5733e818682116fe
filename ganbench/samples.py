"""Pictures of what a generator draws."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ganbench.files import write_atomically

__all__ = ["save_samples"]


def save_samples(path: Path, generator: nn.Module, z: Tensor, shape: tuple[int, ...]) -> None:
    """Draw the images of `z` (N, z_dim) as a grid into a PNG. Writes nothing for points."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        return
    from torchvision.utils import save_image

    training = generator.training
    generator.eval()
    with torch.inference_mode():
        images = generator(z.to(next(generator.parameters()).device)).float().cpu()
    generator.train(training)
    columns = round(len(images) ** 0.5)
    write_atomically(
        path,
        lambda temporary: save_image(
            images, temporary, nrow=columns, normalize=True, value_range=(-1, 1), format="png"
        ),
    )
