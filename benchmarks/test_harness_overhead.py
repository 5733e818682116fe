"""Does the harness cost anything? Steps of a run against a plain loop over the same parts.

Both play the alternating rule with nonsat and Adam on the same modules, data and batch size. Blocks
of steps alternate (ABAB…), so that a machine that slows down slows both; the figure is the median
over pairs of blocks of plain time over harness time. Budget: at least 0.98.

    make bench
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated
from ganbench.training import Training

BLOCKS = 15


class Plain:
    """What one writes by hand, tuned: fused Adam, no autograd work that is thrown away."""

    def __init__(self, plan, data) -> None:
        spec = plan.spec
        self.x, self.batch_size, self.z_dim = data.x, spec.batch_size, spec.z_dim
        self.g = plan.generator.create(spec.z_dim, data.shape)
        self.d = plan.discriminator.create(data.shape)
        settings = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
        self.opt_g = torch.optim.Adam(self.g.parameters(), **settings)
        self.opt_d = torch.optim.Adam(self.d.parameters(), **settings)
        self.order, self.at = torch.randperm(len(self.x)), 0

    def step(self) -> None:
        if self.at + self.batch_size > len(self.x):
            self.order, self.at = torch.randperm(len(self.x)), 0
        batch = self.order[self.at : self.at + self.batch_size]
        self.at += self.batch_size
        x_real = self.x[batch].float().div_(127.5).sub_(1)
        with torch.no_grad():
            x_fake = self.g(torch.randn(self.batch_size, self.z_dim))
        self.opt_d.zero_grad()
        d_loss = F.softplus(-self.d(x_real)).mean() + F.softplus(self.d(x_fake)).mean()
        d_loss.backward()
        self.opt_d.step()
        self.opt_g.zero_grad()
        self.d.requires_grad_(False)
        g_loss = F.softplus(-self.d(self.g(torch.randn(self.batch_size, self.z_dim)))).mean()
        g_loss.backward()
        self.d.requires_grad_(True)
        self.opt_g.step()


def seconds(play, steps: int) -> float:
    started = time.perf_counter()
    play(steps)
    return time.perf_counter() - started


@pytest.mark.parametrize(("network", "steps", "batch_size"), [("mlp", 40, 128), ("dcgan", 4, 64)])
def test_harness_overhead(benchmark, network, steps, batch_size):
    spec = RunSpec(
        generator=network, discriminator=network, opt="adam", device="cpu", batch_size=batch_size
    )
    plan = make_plan(spec, default_registry())
    data = plan.data.create(None)
    with isolated():
        plain = Plain(plan, data)
        game = build_game(plan, data, torch.device("cpu"))
        training = Training(game, plan.rule.create(), steps=10**9, warmup_steps=0)

        def play_plain(count: int) -> None:
            for _ in range(count):
                plain.step()

        def play_harness(count: int) -> None:
            training.steps = game.step + count
            training.run(
                stop=lambda: False,
                on_chunk=lambda snapshot: None,
                checkpoint_every=0,
                on_checkpoint=lambda: None,
            )

        play_plain(steps)
        play_harness(steps)
        pairs = [(seconds(play_plain, steps), seconds(play_harness, steps)) for _ in range(BLOCKS)]
        benchmark.pedantic(play_harness, args=(steps,), rounds=3)
    ratios = np.array([plain_s / harness_s for plain_s, harness_s in pairs])
    ratio, low, high = np.percentile(ratios, [50, 25, 75])
    benchmark.extra_info["harness_steps_per_plain_step"] = round(float(ratio), 4)
    print(f"\n{network}: ratio {ratio:.3f} (quartiles {low:.3f} to {high:.3f})")
