"""A run's metrics: its generator at fixed latents, beside the real data, read by each metric."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from ganbench.evaluation import Evaluation
from ganbench.game import Game
from ganbench.plan import Plan
from ganbench.protocols import Data
from ganbench.record import Evaluated
from ganbench.streams import generator as stream

__all__ = ["evaluation_latents", "measure"]


def evaluation_latents(plan: Plan, n: int) -> Tensor:
    """The same latents whatever was trained: (n, z_dim), a prefix of any longer draw."""
    spec = plan.spec
    return torch.randn(n, spec.z_dim, generator=stream(spec.seed, "evaluation"))


def measure(
    plan: Plan, game: Game, data: Data, extractor: nn.Module | None, z: Tensor
) -> Evaluated | None:
    """The plan's metrics of the game as it stands, or None if it has none. Moves nothing of it."""
    if not plan.metrics:
        return None
    started = time.perf_counter()
    metrics = [part.create() for part in plan.metrics]
    evaluation = Evaluation(
        game.final_generator,
        data.x,
        z=z,
        extractor=extractor,
        device=game.device,
        data_label=plan.data.name,
        discriminator=game.discriminator.module,
        facts=data.facts,
        keep_features=not all(getattr(metric, "moments_only", False) for metric in metrics),
    )
    values: dict[str, float] = {}
    for metric in metrics:
        values |= metric(evaluation)
    return Evaluated(
        extractor=getattr(extractor, "name", None),
        extractor_sha256=getattr(extractor, "sha256", None),
        preprocessing=getattr(extractor, "preprocessing", None),
        n_real=evaluation.n_real,
        n_fake=evaluation.n_fake,
        values=values,
        elapsed_s=round(time.perf_counter() - started, 3),
    )
