"""PyTorch Lightning's GAN recipe (its basic GAN tutorial) with the Trainer's defaults: manual
optimization of two optimizers, toggled; both losses logged; progress bar, logger and checkpoints.

Of the original's the networks are replaced, and the sigmoid and binary_cross_entropy by the equal
binary_cross_entropy_with_logits. The pictures it logs at an epoch's end are left out.
"""

from __future__ import annotations

import tempfile
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from stopwatch import TimedLoader
from torch import Tensor
from work import ADAM, Z_DIM, Block, Work, loader, players


class GAN(L.LightningModule):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = players(work)

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def adversarial_loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(y_hat, y)

    def training_step(self, batch: Any) -> None:
        imgs, _ = batch
        optimizer_g, optimizer_d = self.optimizers()
        z = torch.randn(imgs.shape[0], Z_DIM)
        z = z.type_as(imgs)

        self.toggle_optimizer(optimizer_g)
        valid = torch.ones(imgs.size(0)).type_as(imgs)
        g_loss = self.adversarial_loss(self.discriminator(self(z)), valid)
        self.log("g_loss", g_loss, prog_bar=True)
        self.manual_backward(g_loss)
        optimizer_g.step()
        optimizer_g.zero_grad()
        self.untoggle_optimizer(optimizer_g)

        self.toggle_optimizer(optimizer_d)
        valid = torch.ones(imgs.size(0)).type_as(imgs)
        real_loss = self.adversarial_loss(self.discriminator(imgs), valid)
        fake = torch.zeros(imgs.size(0)).type_as(imgs)
        fake_loss = self.adversarial_loss(self.discriminator(self(z).detach()), fake)
        d_loss = real_loss + fake_loss
        self.log("d_loss", d_loss, prog_bar=True)
        self.manual_backward(d_loss)
        optimizer_d.step()
        optimizer_d.zero_grad()
        self.untoggle_optimizer(optimizer_d)

    def configure_optimizers(self) -> Any:
        opt_g = torch.optim.Adam(self.generator.parameters(), **ADAM)
        opt_d = torch.optim.Adam(self.discriminator.parameters(), **ADAM)
        return [opt_g, opt_d], []


class Recipe:
    shares_fakes = False

    def __init__(self, work: Work) -> None:
        self.gan = GAN(work)
        self.g, self.d = self.gan.generator, self.gan.discriminator
        self.batches = loader(work)
        self.folder = tempfile.mkdtemp()

    def play(self, steps: int) -> Block:
        """A fit for each block, whose start and end are not counted."""
        timed = TimedLoader(self.batches, steps)
        trainer = L.Trainer(
            accelerator="cpu", devices=1, max_epochs=1, default_root_dir=self.folder
        )
        trainer.fit(self.gan, timed)
        return timed.block()

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.gan.adversarial_loss
        ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
        return loss(real, ones) + loss(fake, zeros), loss(fake, ones)


def contender(work: Work, precision: str) -> Recipe:
    return Recipe(work)
