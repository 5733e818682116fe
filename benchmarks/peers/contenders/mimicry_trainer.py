"""torch-mimicry's Trainer with its default settings, which print at each step; n_dis is 1, so that
it makes as many updates as the others.

Shimmed: modules `tensorflow` and `torch._six`, which its metrics and data sets import and its
trainer does not use, stand empty while it is imported.
"""

from __future__ import annotations

import sys
import tempfile
from types import ModuleType

import torch
import torch.utils.tensorboard  # before tensorflow seems to be there, which it would use
from stopwatch import TimedLoader
from torch import Tensor, nn
from work import ADAM, Z_DIM, Block, Work, loader, players

_six = ModuleType("torch._six")
_six.PY3 = True  # type: ignore[attr-defined]
_SHIMS = {"tensorflow": ModuleType("tensorflow"), "torch._six": _six}
sys.modules.update(_SHIMS)

from torch_mimicry.nets.gan.gan import BaseDiscriminator, BaseGenerator  # noqa: E402
from torch_mimicry.training import Trainer  # noqa: E402

for _name in _SHIMS:
    del sys.modules[_name]


class _G(BaseGenerator):
    def __init__(self, net: nn.Module) -> None:
        super().__init__(nz=Z_DIM, ngf=0, bottom_width=0, loss_type="ns")
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class _D(BaseDiscriminator):
    def __init__(self, net: nn.Module) -> None:
        super().__init__(ndf=0, loss_type="ns")
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).unsqueeze(1)


class Mimicry:
    shares_fakes = False

    def __init__(self, work: Work) -> None:
        self.g, self.d = players(work)
        self.net_g, self.net_d = _G(self.g), _D(self.d)
        self.batches = loader(work)
        self.trainer = Trainer(
            netD=self.net_d,
            netG=self.net_g,
            optD=torch.optim.Adam(self.d.parameters(), **ADAM),
            optG=torch.optim.Adam(self.g.parameters(), **ADAM),
            dataloader=self.batches,
            num_steps=1,
            n_dis=1,
            lr_decay="linear",
            log_dir=tempfile.mkdtemp(),
            device=torch.device("cpu"),
        )

    def play(self, steps: int) -> Block:
        timed = TimedLoader(self.batches, steps)
        self.trainer.dataloader, self.trainer.num_steps = timed, steps + 1
        self.trainer.train()
        return timed.block()

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        real, fake = real.unsqueeze(1), fake.unsqueeze(1)
        return self.net_d.compute_gan_loss(real, fake), self.net_g.compute_gan_loss(fake)


def contender(work: Work, precision: str) -> Mimicry:
    return Mimicry(work)
