"""ganbench: the training of a run with default settings, through the registry, as `run` does it."""

from __future__ import annotations

import torch
from stopwatch import Stopwatch
from torch import Tensor
from work import Block, Work

from ganbench.devices import set_up
from ganbench.game import build_game
from ganbench.graphs.check import as_a_run_plays
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.training import Training


class _Logits:
    """A discriminator whose input is its logit."""

    module = torch.nn.Identity()

    def __call__(self, x: Tensor) -> Tensor:
        return x


class Harness:
    def __init__(self, work: Work, precision: str, **fast: bool) -> None:
        self.shares_fakes = fast.get("share_latents", False)
        spec = RunSpec(
            generator=work.network,
            discriminator=work.network,
            loss="nonsat",
            opt="adam:lr=2e-4,betas=[0.5,0.999]",
            batch_size=work.batch_size,
            precision=precision,
            device="cpu",
            metrics=(),
            **fast,
        )
        plan = make_plan(spec, default_registry())
        device = torch.device("cpu")
        set_up(device, spec.threads, precision, spec.onednn)
        self.game = build_game(plan, plan.data.create(None), device)
        self.g, self.d = self.game.generator.module, self.game.discriminator.module
        rule = as_a_run_plays(spec, self.game, plan.rule.create())
        self.training = Training(self.game, rule, steps=10**9, warmup_steps=0)

    def play(self, steps: int) -> Block:
        self.training.steps = self.game.step + steps
        with Stopwatch() as watch:
            self.training.run(
                stop=lambda: False,
                on_chunk=lambda snapshot: None,
                checkpoint_every=0,
                on_checkpoint=lambda: None,
            )
        return watch.block(steps)

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        d_terms = self.game.loss.d_loss(_Logits(), real, fake)
        g_terms = self.game.loss.g_loss(_Logits(), real, fake)
        return sum(d_terms.values()), sum(g_terms.values())


def contender(work: Work, precision: str) -> Harness:
    return Harness(work, precision)
