"""torchgan's Trainer with the settings of its own examples.

Shimmed: `torchvision.utils.make_grid` gets back the argument `range` that torchgan passes at an
epoch's end, by torchvision's newer name `value_range`.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import torchvision.utils
from stopwatch import TimedLoader
from torch import Tensor, nn
from work import ADAM, Z_DIM, Block, Work, loader, players

_make_grid = torchvision.utils.make_grid


def _make_grid_with_range(*args: Any, range: Any = None, **options: Any) -> Tensor:
    if range is not None:
        options["value_range"] = range
    return _make_grid(*args, **options)


torchvision.utils.make_grid = _make_grid_with_range

from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss  # noqa: E402
from torchgan.models import Discriminator, Generator  # noqa: E402
from torchgan.trainer import Trainer  # noqa: E402


class _G(Generator):
    def __init__(self, net: nn.Module) -> None:
        super().__init__(Z_DIM)
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class _D(Discriminator):
    def __init__(self, net: nn.Module) -> None:
        super().__init__(1)
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Torchgan:
    shares_fakes = False

    def __init__(self, work: Work) -> None:
        g, d = players(work)
        self.batches = loader(work)
        folder = tempfile.mkdtemp()
        adam = {"name": torch.optim.Adam, "args": ADAM}
        self.trainer = Trainer(
            {
                "generator": {"name": _G, "args": {"net": g}, "optimizer": adam},
                "discriminator": {"name": _D, "args": {"net": d}, "optimizer": adam},
            },
            [MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss()],
            device=torch.device("cpu"),
            epochs=1,
            sample_size=64,
            checkpoints=f"{folder}/model/gan",
            recon=f"{folder}/images",
        )
        self.g, self.d = self.trainer.generator, self.trainer.discriminator

    def play(self, steps: int) -> Block:
        timed = TimedLoader(self.batches, steps)
        self.trainer(timed)
        return timed.block()

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        losses = self.trainer.losses
        return (
            losses["MinimaxDiscriminatorLoss"](real, fake),
            losses["MinimaxGeneratorLoss"](fake),
        )


def contender(work: Work, precision: str) -> Torchgan:
    return Torchgan(work)
