"""A loop in the style of the PyTorch-GAN collection (implementations/gan/gan.py): a DataLoader, BCE
against tensors of ones and zeros, default Adam, G first, both losses printed with .item() at each
step. G's step leaves gradients in D, and D's step reuses G's fakes.

Of the original's the networks are replaced, and the sigmoid and BCELoss by the equal
BCEWithLogitsLoss. The pictures it writes each 400 steps are left out.
"""

from __future__ import annotations

import torch
from stopwatch import TimedLoader
from torch import Tensor
from work import ADAM, Z_DIM, Block, Work, loader, players


class Tutorial:
    shares_fakes = True

    def __init__(self, work: Work) -> None:
        self.g, self.d = players(work)
        self.batches = loader(work)
        self.adversarial_loss = torch.nn.BCEWithLogitsLoss()
        self.optimizer_g = torch.optim.Adam(self.g.parameters(), **ADAM)
        self.optimizer_d = torch.optim.Adam(self.d.parameters(), **ADAM)

    def play(self, steps: int) -> Block:
        timed = TimedLoader(self.batches, steps)
        for i, (real_imgs, _) in enumerate(timed):
            valid = torch.ones(real_imgs.size(0))
            fake = torch.zeros(real_imgs.size(0))

            self.optimizer_g.zero_grad()
            z = torch.randn(real_imgs.size(0), Z_DIM)
            gen_imgs = self.g(z)
            g_loss = self.adversarial_loss(self.d(gen_imgs), valid)
            g_loss.backward()
            self.optimizer_g.step()

            self.optimizer_d.zero_grad()
            real_loss = self.adversarial_loss(self.d(real_imgs), valid)
            fake_loss = self.adversarial_loss(self.d(gen_imgs.detach()), fake)
            d_loss = real_loss + fake_loss
            d_loss.backward()
            self.optimizer_d.step()

            print(f"[Batch {i}] [D loss: {d_loss.item():f}] [G loss: {g_loss.item():f}]")
        return timed.block()

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
        d_loss = self.adversarial_loss(real, ones) + self.adversarial_loss(fake, zeros)
        return d_loss, self.adversarial_loss(fake, ones)


def contender(work: Work, precision: str) -> Tutorial:
    return Tutorial(work)
