"""Proof, before a vectorised run begins, that each seed's first step is the one it makes alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.game import Game, build_game
from ganbench.graphs.check import why_not
from ganbench.plan import Plan
from ganbench.player import Player
from ganbench.protocols import Data
from ganbench.spec import FAST_PATH
from ganbench.streams import isolated
from ganbench.vectorize.game import build_vector_game

__all__ = ["refuse_settings", "verify", "why_no_tape"]

# Of a norm. Gradients at the same point, and updates by the same gradients, differ by rounding. A
# later gradient follows an update, in which adam makes a full step of a tiny gradient's rounding.
_FIRST = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
_LATER = {"fp32": 2e-2, "tf32": 5e-2, "bf16": 0.2}
_UPDATE = 1e-4


def refuse_settings(plan: Plan) -> None:
    """Raise `UsageError` for a setting that several seeds at once do not have."""
    spec = plan.spec
    refused = {
        "precision=fp16": (spec.precision == "fp16", "its loss scale follows each run's gradients"),
        "eval_every": (spec.eval_every > 0, "metrics are read at the end only"),
        "checkpoint_every": (spec.checkpoint_every > 0, "it keeps no checkpoints"),
        "feed=prefetch": (spec.feed == "prefetch", "all seeds pick from data on the device"),
        "cuda_graph=on": (spec.cuda_graph == "on", "each seed's loss takes turns with the others'"),
        "ranks": (spec.ranks not in (None, 1), "it is one process"),
    }
    ways = "it has ways of its own to make a step"
    own = FAST_PATH.keys() - {"onednn"}  # who makes products is no way to make a step
    refused |= {name: (getattr(spec, name), ways) for name in sorted(own)}
    for name, (present, reason) in refused.items():
        if present:
            raise UsageError(f"vectorize and {name} do not go together: {reason}")


def verify(plans: Sequence[Plan], data: Data, device: torch.device) -> None:
    """Raise `IncompatibleParts` unless one step of all seeds is each seed's own step, to rounding:
    each gradient that it takes, and what each optimizer makes of the same gradients."""
    with isolated():
        many, stepped = (build_vector_game(plans, data, device) for _ in range(2))
        try:
            _verify_optimizers(plans, many, data, device)
            gradients = _gradients_of_a_step(stepped, plans[0])
            alone = []
            for plan in plans:
                with isolated():
                    game = build_game(plan, data, device)
                    alone.append(_gradients_of_a_step(game, plan))
            for i, (plan, theirs) in enumerate(zip(plans, alone, strict=True)):
                for k, (ours, right) in enumerate(zip(gradients, theirs, strict=True)):
                    tolerance = (_LATER if k else _FIRST)[plan.spec.precision]
                    part = f"loss '{plan.spec.loss}', rule '{plan.spec.rule}' or a network"
                    _near(plan, [g[i] for g in ours], right, tolerance, part)
        finally:
            for one in (many, stepped):
                one.lockstep.close()


def why_no_tape(plans: Sequence[Plan], data: Data, device: torch.device) -> str | None:
    """Why steps of several seeds are not played from a tape; None if they are to be.

    Raises `IncompatibleParts` where `tape` is on and that can't be.
    """
    if device.type != "cpu":
        return "each seed's loss takes turns with the others'"
    if plans[0].spec.tape == "off":
        return "switched off"
    with isolated():
        many = build_vector_game(plans, data, device)
        try:
            return why_not(plans[0].spec, many, plans[0].rule.create())
        finally:
            many.lockstep.close()


def _verify_optimizers(plans: Sequence[Plan], many: Game, data: Data, device: torch.device) -> None:
    many.gradients(many.draw())
    given = [player.gradient() for player in many.players]
    together = _moved(many, given)
    for i, plan in enumerate(plans):
        with isolated():
            game = build_game(plan, data, device)
            alone = _moved(game, [[g[i] for g in gradient] for gradient in given])
        for part, ours, theirs in zip((plan.opt_d, plan.opt_g), together, alone, strict=True):
            _near(plan, [way[i] for way in ours], theirs, _UPDATE, part.label)


def _moved(game: Game, gradients: Sequence[list[Tensor]]) -> list[list[Tensor]]:
    """How far two updates, by a gradient and by half of its negative, take each player."""
    ways = []
    for player, gradient in zip(game.players, gradients, strict=True):
        if player.reads_loss:
            raise IncompatibleParts(
                f"optimizer {type(player.optimizer).__name__} asks for the loss, of which several "
                "seeds have several: leave --vectorize out"
            )
        start = player.position()
        for scale in (1.0, -0.5):
            player.set_gradient([scale * one for one in gradient])
            player.update()
        ways.append([b - a for a, b in zip(start, player.position(), strict=True)])
    return ways


def _gradients_of_a_step(game: Game, plan: Plan) -> list[list[Tensor]]:
    gradients: list[list[Tensor]] = []

    def recorded(player: Player) -> Callable[[], None]:
        update = player.update

        def record() -> None:
            gradients.append(player.gradient())
            update()

        return record

    for player in game.players:
        player.update = recorded(player)  # type: ignore[method-assign]
    game.play(plan.rule.create())
    return gradients


def _near(
    plan: Plan, ours: list[Tensor], theirs: list[Tensor], tolerance: float, part: str
) -> None:
    mine, right = (torch.cat([t.reshape(-1).double() for t in one]) for one in (ours, theirs))
    size, difference = right.norm(), (mine - right).norm()
    if difference <= tolerance * size + 1e-12 or not size.isfinite():
        return
    raise IncompatibleParts(
        f"{part} can't be vectorised: seed {plan.spec.seed} differs from its own run by "
        f"{difference / size if size else difference:.2g} in the first step. Leave --vectorize "
        "out, or take parts that treat each number alone, such as adam"
    )
