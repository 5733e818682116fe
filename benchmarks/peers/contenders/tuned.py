"""A loop tuned by hand: images resident as uint8, fused Adam, G without a graph in D's step, D
without gradients in G's, nothing read from the device in a step, bfloat16 autocast on request."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from stopwatch import Stopwatch
from torch import Tensor
from work import ADAM, Z_DIM, Block, Work, images, players


class Tuned:
    shares_fakes = False

    def __init__(self, work: Work, precision: str) -> None:
        self.batch_size, self.low_precision = work.batch_size, precision == "bf16"
        self.g, self.d = players(work)
        self.x = images()
        self.order, self.at = torch.randperm(len(self.x)), 0
        self.optimizer_g = torch.optim.Adam(self.g.parameters(), **ADAM, fused=True)
        self.optimizer_d = torch.optim.Adam(self.d.parameters(), **ADAM, fused=True)

    def play(self, steps: int) -> Block:
        with Stopwatch() as watch:
            for _ in range(steps):
                self._step()
        return watch.block(steps)

    def _step(self) -> None:
        x_real = self._next_batch()
        with torch.no_grad(), self._autocast():
            x_fake = self.g(torch.randn(self.batch_size, Z_DIM))
        with self._autocast():
            real, fake = self.d(x_real), self.d(x_fake)
        d_loss = F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()
        d_loss.backward()
        self.optimizer_d.step()
        self.optimizer_d.zero_grad()
        self.d.requires_grad_(False)
        with self._autocast():
            fake = self.d(self.g(torch.randn(self.batch_size, Z_DIM)))
        F.softplus(-fake.float()).mean().backward()
        self.d.requires_grad_(True)
        self.optimizer_g.step()
        self.optimizer_g.zero_grad()

    def _next_batch(self) -> Tensor:
        if self.at + self.batch_size > len(self.x):
            self.order, self.at = torch.randperm(len(self.x)), 0
        batch = self.order[self.at : self.at + self.batch_size]
        self.at += self.batch_size
        return self.x[batch].float().div_(127.5).sub_(1)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16) if self.low_precision else nullcontext()

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return F.softplus(-real).mean() + F.softplus(fake).mean(), F.softplus(-fake).mean()


def contender(work: Work, precision: str) -> Tuned:
    return Tuned(work, precision)
