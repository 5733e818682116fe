"""TorchGAN's networks under ganbench's contract: any image shape, logits from D.

TorchGAN makes square images whose side is a power of 2 from 16 up. Other shapes, such as
Fashion-MNIST's 28×28, are cut out of the next such side by G, and put on black into it by D.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pad
from torchgan.models import (
    AutoEncodingDiscriminator,
    AutoEncodingGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
)

__all__ = [
    "autoencoding_discriminator",
    "autoencoding_generator",
    "dcgan_discriminator",
    "dcgan_generator",
]

_BLACK = -1.0
_LARGEST = 256


def dcgan_generator(
    z_dim: int, shape: Sequence[int], *, step_channels: PositiveInt = 64, batchnorm: bool = True
) -> nn.Module:
    """torchgan.models.DCGANGenerator. Radford et al. 2016 (arXiv:1511.06434).

    Differs from ganbench's dcgan in its leaky ReLUs and He initialisation.
    """
    channels, side = _channels_and_side(shape)
    return _Cut(DCGANGenerator(z_dim, side, channels, step_channels, batchnorm), shape)


def dcgan_discriminator(
    shape: Sequence[int], *, step_channels: PositiveInt = 64, batchnorm: bool = True
) -> nn.Module:
    """torchgan.models.DCGANDiscriminator without its last leaky ReLU. arXiv:1511.06434.

    The published network ends in a logit; TorchGAN's bends it.
    """
    channels, side = _channels_and_side(shape)
    logits = nn.Identity()
    network = DCGANDiscriminator(side, channels, step_channels, batchnorm, last_nonlinearity=logits)
    return _Framed(network, side)


def autoencoding_generator(
    z_dim: int, shape: Sequence[int], *, step_channels: PositiveInt = 64, batchnorm: bool = True
) -> nn.Module:
    """torchgan.models.AutoEncodingGenerator, of BEGAN. Berthelot et al. 2017 (arXiv:1703.10717).

    As in TorchGAN all of its upsampling stages share one set of weights.
    """
    channels, side = _channels_and_side(shape)
    network = AutoEncodingGenerator(z_dim, side, channels, step_channels, batchnorm=batchnorm)
    return _Cut(network, shape)


def autoencoding_discriminator(
    shape: Sequence[int],
    *,
    step_channels: PositiveInt = 64,
    embedding: PositiveInt = 100,
    batchnorm: bool = True,
) -> nn.Module:
    """torchgan.models.AutoEncodingDiscriminator, of BEGAN, for losses began and ebgan.

    (N, *shape) -> mean (x − AE(x))² (N,), low for real images. Berthelot et al. 2017
    (arXiv:1703.10717).
    """
    channels, side = _channels_and_side(shape)
    network = AutoEncodingDiscriminator(
        side, channels, embedding, step_channels, batchnorm=batchnorm, energy=False
    )
    return _Reconstructing(_Framed(network, side), shape)


def _channels_and_side(shape: Sequence[int]) -> tuple[int, int]:
    """Channels, and the smallest side of TorchGAN's into which the images fit."""
    if len(shape) != 3 or max(shape[1:]) > _LARGEST:
        raise ValueError(
            f"TorchGAN's networks take images (channels, height, width) of sides up to {_LARGEST}, "
            f"but the data's shape is {tuple(shape)}; mlp takes any shape"
        )
    channels, height, width = shape
    return channels, max(16, 1 << (max(height, width) - 1).bit_length())


class _Cut(nn.Module):
    """The middle of a larger image: (N, z_dim) -> (N, C, H, W)."""

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.shape = tuple(shape)

    def forward(self, z: Tensor) -> Tensor:
        return _middle(self.network(z), self.shape)


class _Framed(nn.Module):
    """A network that sees the image in the middle of a black square."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        tall, wide = (self.side - length for length in x.shape[-2:])
        left, top = wide // 2, tall // 2
        scored: Tensor = self.network(pad(x, (left, wide - left, top, tall - top), value=_BLACK))
        return scored


class _Reconstructing(nn.Module):
    """Mean squared error of an autoencoder: (N, C, H, W) -> (N,)."""

    def __init__(self, autoencoder: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.shape = tuple(shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        return _middle(self.autoencoder(x), self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.reconstruct(x)).square().flatten(1).mean(1)


def _middle(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    height, width = shape[-2:]
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return images[..., top : top + height, left : left + width]
