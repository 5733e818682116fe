"""What one writes by hand, tuned: the loop that the harness is measured against.

Data resident as uint8, fused Adam, no autograd work that is thrown away, and in bfloat16 one
autocast context an update, so that a weight is cast once for the real and the fake batch.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F


class PlainLoop:
    """The alternating rule with nonsat and Adam, on the modules and data of a plan."""

    def __init__(self, plan: Any, data: Any) -> None:
        spec = plan.spec
        self.x, self.batch_size, self.z_dim = data.x, spec.batch_size, spec.z_dim
        self.low_precision = spec.precision == "bf16"
        self.g = plan.generator.create(spec.z_dim, data.shape)
        self.d = plan.discriminator.create(data.shape)
        settings = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
        self.opt_g = torch.optim.Adam(self.g.parameters(), **settings)
        self.opt_d = torch.optim.Adam(self.d.parameters(), **settings)
        self.order, self.at = torch.randperm(len(self.x)), 0

    def play(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        if self.at + self.batch_size > len(self.x):
            self.order, self.at = torch.randperm(len(self.x)), 0
        batch = self.order[self.at : self.at + self.batch_size]
        self.at += self.batch_size
        x_real = self.x[batch].float().div_(127.5).sub_(1)
        self.opt_d.zero_grad()
        with self._autocast():
            with torch.no_grad():
                x_fake = self.g(torch.randn(self.batch_size, self.z_dim))
            a, b = self.d(x_real).float(), self.d(x_fake).float()
            d_loss = F.softplus(-a).mean() + F.softplus(b).mean()
        d_loss.backward()
        self.opt_d.step()
        self.opt_g.zero_grad()
        self.d.requires_grad_(False)
        with self._autocast():
            b = self.d(self.g(torch.randn(self.batch_size, self.z_dim))).float()
            g_loss = F.softplus(-b).mean()
        g_loss.backward()
        self.d.requires_grad_(True)
        self.opt_g.step()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.low_precision:
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()
