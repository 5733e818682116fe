"""Pictures of what a generator draws."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ganbench.files import write_atomically
from ganbench.inference import to_uint8
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
    from PIL import Image
    from torchvision.utils import make_grid

    grid = make_grid(to_uint8(images), nrow=round(len(images) ** 0.5))
    picture = Image.fromarray(grid.permute(1, 2, 0).numpy())
    # The quickest level: a third of the usual one's time, for a file of about the same size.
    write_atomically(path, lambda temporary: picture.save(temporary, "png", compress_level=1))


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
