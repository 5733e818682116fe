"""What every update rule must do, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganbench.checkpoint import unflatten
from ganbench.game import Game, build_game
from ganbench.plan import Part, make_plan
from ganbench.protocols import Rule, Terms
from ganbench.registry import Registry, default_registry
from ganbench.spec import RunSpec
from ganbench.testing.faults import (
    AssumesDtype,
    LeaksGradient,
    LosesState,
    WrongInterface,
    WrongShape,
    crashes_are_faults,
)
from ganbench.testing.purity import (
    check_repeatable,
    default_dtype,
    plain_state,
    same_bits,
    well_behaved,
)
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_rule"]

_LONG, _SHORT = 3, 4  # steps before and after a checkpoint
_SPEC = RunSpec(
    generator="mlp:hidden=[8]",
    discriminator="mlp:hidden=[8]",
    data="gaussian:n=48",
    loss="nonsat",
    opt_g="sgd:lr=0.05",
    opt_d="sgd:lr=0.05",
    metrics=(),
    batch_size=8,
    z_dim=3,
    device="cpu",
)


def check_rule(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the rule keeps every rule of docs/plugins.md.

    It plays a small game on points: nonsat, sgd, two perceptrons.
    """
    part = subject_of("rule", component, registry)
    _check_steps(part)
    check_repeatable(part.label, "the rule", lambda seed: _play(_game(seed), part.create(), 4))
    _check_state(part)
    with (
        well_behaved(part.label, "the rule"),
        default_dtype(torch.float64),
        crashes_are_faults(part.label, "the rule in float64", AssumesDtype),
    ):
        if any(p.dtype != torch.float64 for p in _play(_game(), part.create(), 2)):
            raise AssumesDtype(part.label, "its step changes the type of float64 parameters")


def _game(seed: int | None = None) -> Game:
    """The same game each time, with torch's global state from `seed` or as the game sets it."""
    plan = make_plan(_SPEC, default_registry())
    game = build_game(plan, plan.data.create(None), torch.device("cpu"))
    if seed is not None:
        torch.manual_seed(seed)
    return game


def _play(game: Game, rule: Rule, steps: int) -> list[Tensor]:
    """Both players' parameters after some steps."""
    for _ in range(steps):
        game.play(rule)
    return [p for player in game.players for p in player.position()]


def _check_steps(part: Part) -> None:
    with well_behaved(part.label, "the rule"):
        game, rule = _game(), part.create()
        if not callable(rule):
            raise WrongInterface(
                part.label, f"the factory returns {rule!r}, not a function of a game"
            )
        batches = getattr(rule, "batches", 1)
        if type(batches) is not int or batches < 1:
            raise WrongInterface(part.label, f"its `batches` is {batches!r}, not a whole number")
        start = [player.position() for player in game.players]
        for step in range(3):
            nimg = game.nimg
            terms = game.play(rule)
            _check_terms(part, terms)
            if game.step != step + 1:
                raise WrongInterface(part.label, "sets game.step, which the harness counts")
            if game.nimg <= nimg:
                found = "draws no batch by game.draw(): images/s and the order of data come from it"
                raise WrongInterface(part.label, found)
            drawn = (game.nimg - nimg) // game.feed.batch_size
            if drawn < batches:
                found = f"says that a step needs {batches} batches (`batches`), but draws {drawn}"
                raise WrongInterface(part.label, found)
            _check_left_over(part, game)
    names = ("discriminator", "generator")
    for name, player, position in zip(names, game.players, start, strict=True):
        if same_bits(player.position(), position):
            raise WrongInterface(part.label, f"three steps do not move the {name}")


def _check_terms(part: Part, terms: Terms) -> None:
    if not isinstance(terms, Mapping) or not terms:
        found = f"a step returns {type(terms).__name__}, not a mapping of the losses' terms"
        raise WrongInterface(part.label, found)
    for name, term in terms.items():
        if not isinstance(name, str) or not isinstance(term, Tensor) or term.shape != ():
            raise WrongShape(part.label, f"a step's term {name!r} is {term!r}, not a scalar tensor")
        if term.requires_grad:
            found = f"a step's term '{name}' carries its graph: every step's stays in memory"
            raise LeaksGradient(part.label, f"{found}; detach it")


def _check_left_over(part: Part, game: Game) -> None:
    names = ("discriminator", "generator")
    for name, player in zip(names, game.players, strict=True):
        for parameter in player.module.parameters():
            if parameter.grad is not None and bool(parameter.grad.any()):
                found = f"a step leaves a gradient on the {name}, which its next update adds up"
                raise LeaksGradient(part.label, found)
            if not parameter.requires_grad:
                raise LeaksGradient(part.label, f"a step leaves the {name} frozen")


def _check_state(part: Part) -> None:
    with well_behaved(part.label, "the rule"):
        whole, rule = _game(), part.create()
        _play(whole, rule, _LONG)
        skeleton, tensors = plain_state(part.label, "game.memory", whole.state())
        expected = _play(whole, rule, _SHORT)
        resumed = _game()
        with crashes_are_faults(part.label, "going on from a checkpoint", LosesState):
            resumed.load_state(unflatten(skeleton, tensors))
            found = _play(resumed, part.create(), _SHORT)
    if not same_bits(expected, found):
        told = f"after {_LONG} steps, a checkpoint and {_SHORT} more the players differ"
        raise LosesState(part.label, f"{told} from those of a run that was not interrupted")
