"""What metrics read: real and generated examples, their features and moments, each made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ganbench import feature_cache
from ganbench.errors import GanbenchError, IncompatibleParts
from ganbench.frechet import ROWS_AT_ONCE, Moments, moments_of, square_root
from ganbench.streams import isolated

__all__ = ["Evaluation", "extract", "generate", "to_uint8"]

_BATCH_SIZE = 64  # the fastest on a CPU: a batch's activations stay in its caches
_PIXELS_AT_ONCE = _BATCH_SIZE * 64 * 64
_POINTS_AT_ONCE = 10_000
_WORTH_CACHING = 1000  # real images; fewer are quicker to extract again than worth a file


class Evaluation:
    """A generator beside real data. Every attribute is made when it is first read.

    `x_real` are uint8 images (n_real, C, H, W), or float points (n_real, d), and `facts` what the
    data says of itself. `z` (n_fake, z_dim) are the latents; `x_fake` is of the same kind as
    `x_real`. Features are float32 (n, feature_dim), moments float64; both need images and an
    extractor, and raise `IncompatibleParts` otherwise. All tensors are on the CPU. Neither the
    generator's mode nor any global random state is moved.

    `keep_features=False` is for metrics that read moments alone: features are then dropped as soon
    as the moments have taken them in, 2048 of them for each image of Inception's.
    """

    def __init__(
        self,
        generator: nn.Module,
        x_real: Tensor,
        *,
        z: Tensor,
        extractor: nn.Module | None,
        device: torch.device,
        data_label: str = "data",
        discriminator: nn.Module | None = None,
        facts: Mapping[str, Any] | None = None,
        keep_features: bool = True,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.x_real = x_real
        self.z = z
        self.extractor = extractor
        self.device = device
        self.data_label = data_label
        self.facts = facts or {}
        self._keep_features = keep_features

    @property
    def is_images(self) -> bool:
        return self.x_real.ndim == 4

    @property
    def n_real(self) -> int:
        return len(self.x_real)

    @property
    def n_fake(self) -> int:
        return len(self.z)

    @cached_property
    def x_fake(self) -> Tensor:
        """The generator's images as uint8 (n_fake, C, H, W), or its points as float32."""
        return generate(self.generator, self.z, self.device, like=self.x_real)

    @cached_property
    def features_fake(self) -> Tensor:
        return extract(self._extractor, self.x_fake, self.device)

    @cached_property
    def features_real(self) -> Tensor:
        """Of the real images, from the cache where it has them."""
        key = self._cache_key("features")
        cached = feature_cache.load(key) if key else None
        if cached and cached.keys() == {"features"}:
            return cached["features"]
        features = extract(self._extractor, self.x_real, self.device)
        if key:
            feature_cache.save(key, {"features": features})
        return features

    @cached_property
    def moments_fake(self) -> Moments:
        if self._keep_features:
            return moments_of(self.features_fake)
        return self._moments(self.x_fake)

    @property
    def moments_real(self) -> Moments:
        return self._real_side[0]

    @property
    def root_real(self) -> Tensor:
        """A triangular root of the real covariance: the dear half of a Fréchet distance."""
        return self._real_side[1]

    @cached_property
    def _real_side(self) -> tuple[Moments, Tensor]:
        key = self._cache_key("moments")
        cached = feature_cache.load(key) if key else None
        if cached and cached.keys() == {"mean", "covariance", "triangular_root"}:
            moments = Moments(self.n_real, cached["mean"], cached["covariance"])
            return moments, cached["triangular_root"]
        if self._keep_features:
            moments = moments_of(self.features_real)
        else:
            moments = self._moments(self.x_real)
        root = square_root(moments.covariance)
        if key:
            kept = {"mean": moments.mean, "covariance": moments.covariance}
            feature_cache.save(key, {**kept, "triangular_root": root})
        return moments, root

    def _moments(self, images: Tensor) -> Moments:
        """Without ever holding more features than those of `ROWS_AT_ONCE` images."""
        pieces = images.split(ROWS_AT_ONCE)
        return moments_of(extract(self._extractor, piece, self.device) for piece in pieces)

    @property
    def _extractor(self) -> nn.Module:
        if not self.is_images:
            raise IncompatibleParts(
                f"data '{self.data_label}' is points of shape {tuple(self.x_real.shape[1:])}, of "
                "which extractors have no features: leave out metrics of features (fid, kid, "
                "precision-recall), or choose image data"
            )
        if self.extractor is None:
            raise IncompatibleParts(
                f"data '{self.data_label}' is images, but there is no extractor for their "
                "features: give one, such as fmnist-cnn-v1, or leave out metrics of features"
            )
        return self.extractor

    def _cache_key(self, what: str) -> str | None:
        """None where nothing identifies the extractor's weights, or there is little to save."""
        extractor = self._extractor
        sha256 = getattr(extractor, "sha256", None)
        if sha256 is None or self.n_real < _WORTH_CACHING:
            return None
        facts = {
            "what": what,
            "data": self._data_sha256,
            "shape": list(self.x_real.shape),
            "extractor": getattr(extractor, "name", type(extractor).__name__),
            "extractor_sha256": sha256,
            "preprocessing": getattr(extractor, "preprocessing", None),
            "arithmetic": _arithmetic(self.device),
        }
        return feature_cache.key_of(facts)

    @cached_property
    def _data_sha256(self) -> str:
        return feature_cache.sha256_of(self.x_real)


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
    drawn = []
    with _evaluating(generator):
        for batch in _batches(z, at_once):
            x = generator(batch.to(device)).detach()  # a view of a parameter has a gradient still
            if images and x.isnan().any():
                raise GanbenchError("the generator drew pixels that are not a number")
            drawn.append((to_uint8(x) if images else x.float()).cpu())
    return torch.cat(drawn)


def extract(extractor: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """uint8 images (N, C, H, W) -> features (N, feature_dim), float32 on the CPU, in batches."""
    at_once = _images_at_once(images, getattr(extractor, "batch_size", _BATCH_SIZE))
    with _evaluating(extractor):
        features = [
            extractor(batch.to(device)).float().cpu() for batch in _batches(images, at_once)
        ]
    return torch.cat(features)


def _batches(x: Tensor, at_once: int) -> Iterator[Tensor]:
    return (x[start : start + at_once] for start in range(0, len(x), at_once))


def _images_at_once(images: Tensor, at_most: int) -> int:
    """A batch whose activations stay within bounds however large an image is."""
    pixels = images.shape[-2] * images.shape[-1]
    return max(1, min(at_most, _PIXELS_AT_ONCE // max(pixels, 1)))


def _arithmetic(device: torch.device) -> list[str | int]:
    """What the last bits of a feature depend on."""
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        return [torch.__version__, "cpu", capability, torch.get_num_threads()]
    if device.type == "cuda":
        return [torch.__version__, torch.cuda.get_device_name(device)]
    return [torch.__version__, device.type]


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
