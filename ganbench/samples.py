"""Pictures of what a generator draws."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ganbench.files import write_atomically
from ganbench.protocols import Data

__all__ = ["PICTURES", "save_samples"]

PICTURES = 64
_POINTS = 2500


def save_samples(path: Path, generator: nn.Module, z: Tensor, data: Data) -> None:
    """Draw what G makes of the first latents of z (N, z_dim) into a PNG: a grid of 64 images, or
    points of the plane beside the real ones. Writes nothing for other data."""
    if data.is_images and data.shape[0] in (1, 3):
        _save_grid(path, _drawn(generator, z[:PICTURES]))
    elif data.shape == (2,):
        _save_scatter(path, _drawn(generator, z[:_POINTS]), data.x[:_POINTS].float().cpu())


def _drawn(generator: nn.Module, z: Tensor) -> Tensor:
    training = generator.training
    generator.eval()
    with torch.inference_mode():
        x: Tensor = generator(z.to(next(generator.parameters()).device)).float().cpu()
    generator.train(training)
    return x


def _save_grid(path: Path, images: Tensor) -> None:
    from torchvision.utils import save_image

    columns = round(len(images) ** 0.5)
    write_atomically(
        path,
        lambda temporary: save_image(
            images, temporary, nrow=columns, normalize=True, value_range=(-1, 1), format="png"
        ),
    )


def _save_scatter(path: Path, x_fake: Tensor, x_real: Tensor) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal")
    axes.scatter(
        x_real[:, 0].numpy(), x_real[:, 1].numpy(), s=2, alpha=0.4, color="0.6", label="real"
    )
    axes.scatter(
        x_fake[:, 0].numpy(), x_fake[:, 1].numpy(), s=2, alpha=0.6, color="C0", label="generated"
    )
    axes.legend(loc="upper right", markerscale=4)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=100))
