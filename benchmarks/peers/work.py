"""The work that every contender does: the same networks, images, batch, losses and optimizer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ganbench.builtin.networks import dcgan, mlp
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec

Z_DIM = 100
ADAM: dict[str, Any] = {"lr": 2e-4, "betas": (0.5, 0.999)}
SHAPE = (1, 28, 28)
NETWORKS = {"mlp": mlp, "dcgan": dcgan}


@dataclass(frozen=True)
class Work:
    """One configuration that is measured: G and D of this name at their default widths."""

    network: str
    batch_size: int


@dataclass(frozen=True)
class Block:
    """How long some consecutive steps took. CPU seconds are those of all threads."""

    steps: int
    wall_s: float
    cpu_s: float


class Contender(Protocol):
    """One way to train. `g` and `d` are the networks whose calls and parameters are counted."""

    shares_fakes: bool  # D's step and G's step see the same fakes, so that G runs once a step
    g: nn.Module
    d: nn.Module

    def play(self, steps: int) -> Block: ...

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's and G's loss at these logits (N,), by the code that trains."""
        ...


def players(work: Work) -> tuple[nn.Module, nn.Module]:
    """G and D, with the same initial weights for every contender."""
    torch.manual_seed(0)
    network = NETWORKS[work.network]
    return network.generator(Z_DIM, SHAPE), network.discriminator(SHAPE)


@functools.cache
def images() -> Tensor:
    """The packaged 10,000 Fashion-MNIST images, uint8 (N, 1, 28, 28)."""
    spec = RunSpec(data="fashion-mnist-10k", device="cpu", metrics=())
    return make_plan(spec, default_registry()).data.create(None).x


class Pictures(Dataset[tuple[Tensor, int]]):
    """The images as torchvision's data sets give them: one at a time, through PIL and transforms,
    with a label."""

    def __init__(self) -> None:
        self.pixels = images()[:, 0].numpy()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), 0


def loader(work: Work, num_workers: int = 0) -> DataLoader[tuple[Tensor, int]]:
    """Whole batches only, so that each step is as large as the other contenders'."""
    return DataLoader(
        Pictures(), work.batch_size, shuffle=True, drop_last=True, num_workers=num_workers
    )
