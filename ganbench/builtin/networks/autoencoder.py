"""BEGAN's networks (Berthelot et al. 2017, arXiv 1703.10717, figure 1).

The discriminator is an autoencoder that scores an image by how badly it reconstructs it, as the
losses `began` and `ebgan` need; the generator has the architecture of its decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from ganbench.builtin.networks.init import initialise
from ganbench.builtin.networks.shapes import image_shape, stages

__all__ = ["Autoencoder", "discriminator", "generator"]

_SMALLEST = 6  # the published networks start from 8 × 8; sides between these need 6 to 11


def generator(
    z_dim: int,
    shape: Sequence[int],
    *,
    width: PositiveInt = 64,
    output: Literal["tanh", "linear"] = "tanh",
) -> nn.Module:
    """The decoder of the discriminator `autoencoder` (BEGAN, Berthelot et al. 2017).

    (N, z_dim) -> (N, *shape). Every convolution has `width` channels. As published the output is
    linear; tanh keeps it in [−1, 1].
    """
    channels, side = image_shape("autoencoder", shape)
    net = _decoder(z_dim, channels, side, width)
    if output == "tanh":
        net.append(nn.Tanh())
    initialise(net, "glorot")
    return net


def discriminator(
    shape: Sequence[int],
    *,
    width: PositiveInt = 64,
    embedding: PositiveInt = 64,
    norm: Literal["l1", "l2"] = "l1",
) -> nn.Module:
    """An autoencoder; its output is the reconstruction error (BEGAN, Berthelot et al. 2017).

    (N, *shape) -> (N,), low for real images, unlike a logit. `reconstruct(x)` is the image.
    `width` is the number of channels n, which the encoder raises by n at each halving, and
    `embedding` the size of the code. `norm` l1 is the mean of |x − AE(x)|, l2 of its square.
    """
    channels, side = image_shape("autoencoder", shape)
    net = Autoencoder(
        _encoder(channels, side, width, embedding),
        _decoder(embedding, channels, side, width),
        norm,
    )
    initialise(net, "glorot")
    return net


class Autoencoder(nn.Module):
    """Reconstruction error per example: mean |x − AE(x)| for l1, mean (x − AE(x))² for l2.

    `reconstruct(x)` is AE(x): (N, *shape) -> (N, *shape).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, norm: Literal["l1", "l2"]) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.norm = norm

    def reconstruct(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out

    def forward(self, x: Tensor) -> Tensor:
        error = x - self.reconstruct(x)
        error = error.abs() if self.norm == "l1" else error.square()
        return error.flatten(1).mean(1)


def _encoder(channels: int, side: int, width: int, embedding: int) -> nn.Sequential:
    base, k = stages(side, _SMALLEST)
    layers = [*_conv(channels, width)]
    for i in range(1, k + 2):
        c = i * width
        layers += [*_conv(c, c), *_conv(c, c)]
        if i <= k:
            layers += _conv(c, c + width, stride=2)
    return nn.Sequential(*layers, nn.Flatten(1), nn.Linear(base**2 * (k + 1) * width, embedding))


def _decoder(embedding: int, channels: int, side: int, width: int) -> nn.Sequential:
    base, k = stages(side, _SMALLEST)
    layers = [nn.Linear(embedding, base**2 * width), nn.Unflatten(1, (width, base, base))]
    for i in range(k + 1):
        if i > 0:
            layers += [nn.Upsample(scale_factor=2)]
        layers += [*_conv(width, width), *_conv(width, width)]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))


def _conv(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, padding=1), nn.ELU()]
