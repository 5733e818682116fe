"""Whether a plan's parts fit its data: what is refused before the first step."""

from __future__ import annotations

import torch

from ganbench.errors import IncompatibleParts
from ganbench.game import Game
from ganbench.measure import evaluation_latents
from ganbench.plan import Plan
from ganbench.protocols import Data, Rule

__all__ = ["check_batches", "check_shapes"]


def check_shapes(plan: Plan, game: Game, data: Data) -> None:
    """Raise `IncompatibleParts` unless G makes examples of the data's shape, and D one logit each.

    Batch norm's running averages move: give it a game that is not trained.
    """
    z = evaluation_latents(plan, 2).to(game.device)
    with torch.no_grad():
        x_fake = game.generator.module(z)
        logits = game.discriminator.module(x_fake)
    if tuple(x_fake.shape) != (2, *data.shape):
        raise IncompatibleParts(
            f"{plan.generator.label} makes examples of shape {tuple(x_fake.shape[1:])}, "
            f"but {plan.data.label} has {data.shape}"
        )
    if tuple(logits.shape) != (2,):
        raise IncompatibleParts(
            f"{plan.discriminator.label} gives scores of shape {tuple(logits.shape)} for "
            "2 examples, but logits have shape (2,): flatten them to one number an example"
        )


def check_batches(plan: Plan, rule: Rule, data: Data) -> None:
    """Raise `IncompatibleParts` if the data has fewer whole batches than the rule needs a step.

    A rule that needs `k` batches of different examples has the attribute `batches` = k.
    """
    needed = getattr(rule, "batches", 1)
    size = len(data) if plan.spec.batch_size == "full" else plan.spec.batch_size
    found = len(data) // size
    if found >= needed:
        return
    fitting = len(data) // needed
    smaller = f"set batch_size to {fitting} or less, or " if fitting else ""
    raise IncompatibleParts(
        f"{plan.rule.label} needs {needed} batches of different examples each step, but "
        f"{plan.data.label} has {found}: {len(data)} examples, and batch_size is "
        f"{plan.spec.batch_size}; {smaller}take a rule that is content with one batch, such as "
        "simultaneous"
    )
