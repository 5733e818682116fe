"""What every loss must do, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from ganbench.checkpoint import unflatten
from ganbench.errors import IncompatibleParts
from ganbench.plan import Part
from ganbench.registry import Registry
from ganbench.testing.duel import COMPANION, Duel
from ganbench.testing.faults import (
    AssumesDtype,
    Crash,
    LeaksGradient,
    LosesState,
    NotFinite,
    WrongInterface,
    WrongShape,
    crashes_are_faults,
)
from ganbench.testing.loss_values import check_batch_size, check_kinds, check_large_logits
from ganbench.testing.purity import (
    SEED,
    check_repeatable,
    leaves_alone,
    plain_state,
    same_bits,
    well_behaved,
)
from ganbench.testing.stages import LINEAR, STAGES, Stage
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_loss"]

_N = 8
_LONG, _SHORT = 11, 4  # updates before and after a checkpoint
_HOOKS = ("wrap", "after_d_update", "players_penalty")


def check_loss(
    component: Component, *, across_batch: bool | None = None, registry: Registry | None = None
) -> None:
    """Raise a `ConformanceFailure` unless the loss keeps every rule of docs/plugins.md.

    `component` is a name with options, or a factory. It plays beside a plain adversarial loss on
    points and on images; where it refuses one of them (`IncompatibleParts`), on the other.
    `across_batch`: it pairs or averages across the batch, so its value may depend on the batch's
    size; by default what the factory says of itself in an attribute of that name.
    """
    part = subject_of("loss", component, registry)
    if across_batch is None:
        across_batch = bool(getattr(part.registered.factory, "across_batch", False))
    refusals = []
    for stage in STAGES:
        try:
            _check_terms(part, stage)
        except IncompatibleParts as error:
            refusals.append(f"{stage.name}: {error}")
            continue
        _check_gradients(part, stage)
        if stage is not LINEAR:
            check_repeatable(part.label, "the loss", partial(_play, part, stage))
            _check_state(part, stage)
            check_kinds(part, stage)
        if not across_batch:
            check_batch_size(part, stage)
        check_large_logits(part, stage)
    if len(refusals) == len(STAGES):
        raise Crash(part.label, f"it refuses every kind of data: {'; '.join(refusals)}")


def _play(part: Part, stage: Stage, seed: int) -> list[Tensor]:
    return Duel(part, stage).play(0, 6)


def _check_terms(part: Part, stage: Stage) -> None:
    """Each player's terms are named scalars that reach it, and inputs stay as they are."""
    with well_behaved(part.label, "the loss"):
        duel = Duel(part, stage)
        offered = []
        for player in ("d", "g"):
            x_real, x_fake = duel.batch(_N), duel.fakes(_N, player)
            with leaves_alone(part.label, f"{player}_loss", x_real=x_real, x_fake=x_fake):
                _check_raw(part, duel, player, x_real, x_fake)
                terms = duel.terms(x_real, x_fake, player)
            own = {name: term for name, term in terms.items() if name != COMPANION}
            offered.append(own)
            for name, term in own.items():
                _check_term(part, player, name, term, x_real)
        if not any(offered) and not any(hasattr(duel.own, hook) for hook in _HOOKS):
            raise WrongInterface(part.label, "gives neither player anything to descend")


def _check_raw(part: Part, duel: Duel, player: str, x_real: Tensor, x_fake: Tensor) -> None:
    """What the method itself returns; on an instance of its own, which may keep what it saw."""
    method = getattr(part.create(), f"{player}_loss", None)
    if method is None:
        raise WrongInterface(
            part.label, f"has no method {player}_loss(discriminator, x_real, x_fake)"
        )
    terms = method(duel.objective.score, x_real, x_fake)
    if not isinstance(terms, Mapping) or not all(isinstance(name, str) for name in terms):
        found = f"{player}_loss returns {type(terms).__name__}, not a mapping of names to scalars"
        raise WrongInterface(part.label, found)
    for name, term in terms.items():
        if not isinstance(term, Tensor) or not term.is_floating_point():
            found = f"{player}_loss's term '{name}' is {term!r}, not a floating-point tensor"
            raise WrongInterface(part.label, found)
        if term.shape != ():
            found = f"{player}_loss's term '{name}' has shape {tuple(term.shape)}, not ()"
            raise WrongShape(part.label, f"{found}: take the mean over the batch")


def _check_term(part: Part, player: str, name: str, term: Tensor, like: Tensor) -> None:
    if not bool(term.isfinite()):
        raise NotFinite(
            part.label, f"{player}_loss's term '{name}' is {term.item()} at small logits"
        )
    if term.dtype != like.dtype:
        found = f"{player}_loss's term '{name}' is {term.dtype} where the inputs are {like.dtype}"
        raise AssumesDtype(part.label, found)
    if not term.requires_grad:
        who = "discriminator" if player == "d" else "generator"
        found = f"{player}_loss's term '{name}' has no gradient: nothing moves the {who}"
        raise LeaksGradient(part.label, f"{found}; it may have been detached")


def _check_gradients(part: Part, stage: Stage) -> None:
    """Each loss is descended by one player; the other is not touched, now or in a later batch."""
    with well_behaved(part.label, "the loss"):
        duel = Duel(part, stage)
        x_real = duel.batch(_N)
        players = {"discriminator": duel.discriminator, "generator": duel.generator}
        for player in ("d", "g"):
            duel.terms(x_real, duel.fakes(_N, player), player)
            for name, one in players.items():
                if any(p.grad is not None for p in one.parameters):
                    found = f"{player}_loss runs a backward pass itself, into the {name}"
                    raise LeaksGradient(part.label, found)
        for turn in range(4):
            player, other = ("d", "generator") if turn % 2 == 0 else ("g", "discriminator")
            descend = duel.objective.d if player == "d" else duel.objective.g
            with crashes_are_faults(part.label, f"{player}_loss, after the other", LeaksGradient):
                descend(duel.batch(_N, turn), duel.latents(_N, turn), 1.0)
            if any(p.grad is not None and bool(p.grad.any()) for p in players[other].parameters):
                raise LeaksGradient(part.label, f"{player}_loss leaves a gradient on the {other}")
            for name, one in players.items():
                if not all(p.requires_grad for p in one.module.parameters()):
                    raise LeaksGradient(part.label, f"{player}_loss leaves the {name} frozen")
                one.optimizer.zero_grad()


def _check_state(part: Part, stage: Stage) -> None:
    """A run that stops and goes on, with a new loss and the saved state, keeps its bits."""
    with well_behaved(part.label, "the loss"):
        whole = Duel(part, stage)
        whole.play(0, _LONG)
        skeleton, tensors = plain_state(part.label, "its state_dict()", whole.state())
        torch.manual_seed(SEED)
        expected = whole.play(_LONG, _SHORT)
        resumed = Duel(part, stage)
        with crashes_are_faults(part.label, "load_state_dict", LosesState):
            resumed.load_state(unflatten(skeleton, tensors))
        torch.manual_seed(SEED)
        found = resumed.play(_LONG, _SHORT)
    if not same_bits(expected, found):
        told = f"after {_LONG} updates, a checkpoint and {_SHORT} more, terms or players differ"
        raise LosesState(part.label, f"{told} from those of a run that was not interrupted")
