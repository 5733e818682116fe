"""Small networks and data on which components are tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["LINEAR", "STAGES", "Z_DIM", "Loud", "Stage", "batch"]

Z_DIM = 4


class _ImageScore(nn.Module):
    """Logits of images, and a `reconstruct` for losses of energies. Smooth everywhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(channels, 4, 4, 2, 1), nn.Tanh())
        self.score = nn.Linear(4 * 64, 1)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, channels, 4, 2, 1), nn.Tanh())

    def reconstruct(self, x: Tensor) -> Tensor:
        image: Tensor = self.decoder(self.encoder(x))
        return image

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.score(self.encoder(x).flatten(1)).flatten(0)
        return logits


class _Linear(nn.Module):
    """D(x) = w·x: its gradient is w at any x."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-1.5, 2.0, shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


class Loud(nn.Module):
    """Logits and energies of 1e4 at inputs of ±1: D(x) = g·mean(x), reconstruct(x) = (1 + g)x."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((1, 1), 1e4))  # a matrix, for penalties of those

    def reconstruct(self, x: Tensor) -> Tensor:
        return x * (1 + self.gain.squeeze())

    def forward(self, x: Tensor) -> Tensor:
        return self.gain.squeeze() * x.flatten(1).mean(1)


@dataclass(frozen=True)
class Stage:
    """One kind of data with a discriminator and a generator for it."""

    name: str
    shape: tuple[int, ...]
    make_discriminator: Callable[[tuple[int, ...]], nn.Module]

    def discriminator(self) -> nn.Module:
        """The same weights each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return self.make_discriminator(self.shape)

    def generator(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            size = int(torch.Size(self.shape).numel())
            return nn.Sequential(
                nn.Linear(Z_DIM, 8),
                nn.Tanh(),
                nn.Linear(8, size),
                nn.Tanh(),
                nn.Unflatten(1, self.shape),
            )


def _points(shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))


LINEAR = Stage("points and a linear discriminator", (3,), _Linear)
STAGES = (
    Stage("points", (3,), _points),
    Stage("images", (3, 16, 16), lambda shape: _ImageScore(shape[0])),
    LINEAR,
)


def batch(stage: Stage, n: int, seed: int = 3) -> Tensor:
    """Examples in [−1, 1], the same each time: (n, *shape)."""
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(n, *stage.shape, generator=stream) * 2 - 1
