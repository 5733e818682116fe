"""Networks in eval mode over many inputs: what a generator draws, what an extractor sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganbench.errors import GanbenchError
from ganbench.streams import isolated

__all__ = ["extract", "generate", "to_uint8"]

_BATCH_SIZE = 64  # the fastest on a CPU: a batch's activations stay in its caches
_PIXELS_AT_ONCE = _BATCH_SIZE * 64 * 64
_POINTS_AT_ONCE = 10_000


def to_uint8(x: Tensor) -> Tensor:
    """Images in [−1, 1] -> the nearest of 256 levels, ⌊255 (x + 1)/2 + ½⌋, clamped: the pixels
    that `torchvision.utils.save_image` would write, and the ones that were read, for real data.
    """
    return x.float().clamp(-1, 1).add(1).mul(127.5).add(0.5).to(torch.uint8)


def generate(generator: nn.Module, z: Tensor, device: torch.device, *, like: Tensor) -> Tensor:
    """`generator(z)` in eval mode, in batches, on the CPU: uint8 images if `like` is images
    (N, C, H, W), which it should resemble, else float32 points.

    Raises `GanbenchError` for images with a pixel that is not a number.
    """
    images = like.ndim == 4
    at_once = _images_at_once(like, _BATCH_SIZE) if images else _POINTS_AT_ONCE
    faulty: list[Tensor] = []

    def draw(z: Tensor) -> Tensor:
        x: Tensor = generator(z).detach()  # a view of a parameter has a gradient still
        if images:
            faulty.append(x.isnan().any())
        return to_uint8(x) if images else x.float()

    with _evaluating(generator):
        drawn = _on_cpu(draw, z, at_once, device)
        if faulty and torch.stack(faulty).any():
            raise GanbenchError("the generator drew pixels that are not a number")
    return torch.cat(drawn)


def extract(extractor: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """uint8 images (N, C, H, W) -> features (N, feature_dim), float32 on the CPU, in batches."""
    at_once = _images_at_once(images, getattr(extractor, "batch_size", _BATCH_SIZE))
    with _evaluating(extractor):
        features = _on_cpu(lambda batch: extractor(batch).float(), images, at_once, device)
    return torch.cat(features)


def _on_cpu(
    function: Callable[[Tensor], Tensor], x: Tensor, at_once: int, device: torch.device
) -> list[Tensor]:
    """`function` of x, a batch at a time on the device, in pieces on the CPU.

    CUDA is waited for once, at the end: results go to pinned memory while the next are made.
    """
    pieces = []
    for batch in x.split(at_once):
        result = function(batch.to(device, non_blocking=True))
        if device.type == "cuda":
            pinned = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
            pieces.append(pinned.copy_(result, non_blocking=True))
        else:
            pieces.append(result.cpu())
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return pieces


def _images_at_once(images: Tensor, at_most: int) -> int:
    """A batch whose activations stay within bounds however large an image is."""
    pixels = images.shape[-2] * images.shape[-1]
    return max(1, min(at_most, _PIXELS_AT_ONCE // max(pixels, 1)))


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, full float32, randomness from a seed of its own; then as before."""
    modes = {part: part.training for part in module.modules()}
    allow_tf32 = torch.backends.cudnn.allow_tf32
    precision = torch.get_float32_matmul_precision()
    module.eval()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), isolated(0):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allow_tf32
        torch.set_float32_matmul_precision(precision)
        for part, training in modes.items():
            part.training = training
