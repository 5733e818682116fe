"""What metrics read: real and generated examples, their features and moments, each made once."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from ganbench import feature_cache
from ganbench.errors import IncompatibleParts
from ganbench.frechet import ROWS_AT_ONCE, Moments, moments_of, triangular_root
from ganbench.inference import extract, generate, to_uint8
from ganbench.neighbours import squared_radii

__all__ = ["Evaluation", "extract", "generate", "to_uint8"]

# Of data sets in use, as they were at some version: a run's evaluations read them once.
_SHA256: MutableMapping[Tensor, tuple[int, str]] = WeakIdKeyDictionary()
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

    def radii_real(self, k: int) -> Tensor:
        """Squared distances of real features to their k-th nearest other one: (n_real,)."""
        key = self._cache_key(f"radii of {k} neighbours")
        cached = feature_cache.load(key) if key else None
        if cached and cached.keys() == {"radii"}:
            return cached["radii"]
        radii = squared_radii(self.features_real, k)
        if key:
            feature_cache.save(key, {"radii": radii})
        return radii

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
        root = triangular_root(moments.covariance)
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

    @property
    def _data_sha256(self) -> str:
        version, known = _SHA256.get(self.x_real, (None, ""))
        if version != self.x_real._version:
            known = feature_cache.sha256_of(self.x_real)
            _SHA256[self.x_real] = (self.x_real._version, known)
        return known


def _arithmetic(device: torch.device) -> list[str | int]:
    """What the last bits of a feature depend on."""
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        return [torch.__version__, "cpu", capability, torch.get_num_threads()]
    if device.type == "cuda":
        return [torch.__version__, torch.cuda.get_device_name(device)]
    return [torch.__version__, device.type]
