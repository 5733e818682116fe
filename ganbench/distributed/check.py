"""Proof, before a run begins, that sharing a batch out changes nothing but rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganbench.distributed.batch_norm import batch_norms
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.game import Game
from ganbench.plan import Plan
from ganbench.player import Player
from ganbench.protocols import Data
from ganbench.streams import isolated

__all__ = ["refuse_declared", "verify"]

Build = Callable[[Plan, Data], Game]

_EXAMPLES_A_RANK = 4
# Of a gradient's norm. A network in low precision rounds every product; and an optimizer such as
# adam makes of a rounding of a tiny gradient a full step, which the next gradient sees.
_AT_START = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2, "fp16": 5e-2}
_IN_A_STEP = {"fp32": 2e-2, "tf32": 5e-2, "bf16": 0.2, "fp16": 0.2}


def refuse_declared(plan: Plan) -> None:
    """Raise `UsageError` for a part that says that it needs the batch whole, and for `compile`."""
    ranks = plan.spec.ranks
    if plan.spec.compile:
        raise UsageError(f"compile is for one process, and here are {ranks}: leave it out")
    for part in (*plan.loss, plan.generator, plan.discriminator, plan.rule):
        if getattr(part.registered.factory, "across_batch", False):
            raise IncompatibleParts(
                f"{part.label} pairs or averages across the batch, of which each of {ranks} ranks "
                "sees a part: run it in one process, without torchrun, or take another"
            )


@dataclass(frozen=True)
class _Step:
    """What two games that are one must agree on."""

    at_start: dict[str, Tensor]
    in_a_step: list[Tensor]


def verify(plan: Plan, data: Data, build: Build, build_alone: Build) -> None:
    """Play a step on a few examples both ways, and compare gradients and the loss's state.

    Raises `IncompatibleParts` if they differ by more than rounding. Batch normalisation that is
    not synchronised differs by definition, and is left in eval mode for this.
    """
    n = min(len(data), _EXAMPLES_A_RANK * (plan.spec.ranks or 1))
    few = Data(data.x[: 8 * n], None, data.facts)
    small = replace(
        plan, spec=plan.spec.model_copy(update={"batch_size": n, "micro_batch_size": None})
    )
    together = _play(small, few, build)
    alone = _play(small, few, build_alone)
    precision = plan.spec.precision
    for name, ours in together.at_start.items():
        _compare(plan, name, ours, alone.at_start[name], _AT_START[precision])
    for ours, theirs in zip(together.in_a_step, alone.in_a_step, strict=True):
        _compare(plan, "a gradient of the first step", ours, theirs, _IN_A_STEP[precision])


def _play(plan: Plan, data: Data, build: Build) -> _Step:
    with isolated():
        game = build(plan, data)
        if game.objective.loss.players_penalty is not None:  # type: ignore[attr-defined]
            raise IncompatibleParts(
                f"loss '{plan.spec.loss}' penalises both players' whole gradients, of which each "
                f"of {plan.spec.ranks} ranks has a part: run it in one process, without torchrun"
            )
        if not plan.spec.sync_batch_norm:
            for layer in batch_norms(game.generator.module, game.discriminator.module):
                layer.eval()
        batch = game.draw()
        game.d_gradient(batch)
        at_start = {"D's gradient": _flat(game.discriminator)}
        game.generator.optimizer.zero_grad()
        game.g_gradient(batch)
        at_start["G's gradient"] = _flat(game.generator)
        for player in game.players:
            player.optimizer.zero_grad()
        game.loss.after_d_update(game.discriminator.module)  # type: ignore[attr-defined]
        for i, value in enumerate(_numbers(game.loss.state_dict())):  # type: ignore[attr-defined]
            at_start[f"the loss's state ({i})"] = value
        in_a_step: list[Tensor] = []
        for player in game.players:
            _record_updates(player, in_a_step)
        game.play(plan.rule.create())
    return _Step(at_start, in_a_step)


def _record_updates(player: Player, gradients: list[Tensor]) -> None:
    update = player.update

    def recorded() -> None:
        gradients.append(_flat(player))
        update()

    player.update = recorded  # type: ignore[method-assign]


def _flat(player: Player) -> Tensor:
    return torch.cat([gradient.reshape(-1).double() for gradient in player.gradient()])


def _numbers(tree: Any) -> list[Tensor]:
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in _numbers(value)]
    if isinstance(tree, list | tuple):
        return [number for value in tree for number in _numbers(value)]
    if isinstance(tree, Tensor):
        return [tree.detach().double().reshape(-1)]
    return [torch.tensor([tree], dtype=torch.float64)] if isinstance(tree, int | float) else []


def _compare(plan: Plan, what: str, together: Tensor, alone: Tensor, tolerance: float) -> None:
    together = together.to(alone.device)
    size, difference = alone.norm(), (together - alone).norm()
    if difference <= tolerance * size + 1e-12 or not size.isfinite():
        return
    raise IncompatibleParts(
        f"{what} differs by {difference / size if size else difference:.2g} when {plan.spec.ranks} "
        f"ranks share a batch: something in loss '{plan.spec.loss}', rule '{plan.spec.rule}' or "
        "the networks takes statistics across the batch or draws its own noise. Run it in one "
        "process, without torchrun"
    )
