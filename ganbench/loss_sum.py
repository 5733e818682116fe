"""Several losses as one: each player descends the sum of all their terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ganbench.errors import IncompatibleParts
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["LossSum", "combine"]


class LossSum:
    """Named losses as one. Wrappers among them apply to the scorer that all of them get."""

    def __init__(self, parts: Sequence[tuple[str, Loss]]) -> None:
        self._parts = parts
        self._wrappers: list[Callable[[Scorer], Scorer]] = _methods(parts, "wrap")
        self._after_d_update: list[Callable[[nn.Module], None]] = _methods(parts, "after_d_update")
        penalties = _methods(parts, "players_penalty")
        if len(penalties) > 1:
            raise IncompatibleParts("only one penalty of both players' gradients can be added")
        self.players_penalty = penalties[0] if penalties else None

    @property
    def has_after_d_update(self) -> bool:
        return bool(self._after_d_update)

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        discriminator = self._wrapped(discriminator)
        return _merge(
            [(name, loss.d_loss(discriminator, x_real, x_fake)) for name, loss in self._parts]
        )

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        discriminator = self._wrapped(discriminator)
        return _merge(
            [(name, loss.g_loss(discriminator, x_real, x_fake)) for name, loss in self._parts]
        )

    def after_d_update(self, discriminator: nn.Module) -> None:
        for call in self._after_d_update:
            call(discriminator)

    def state_dict(self) -> dict[str, Any]:
        """The state of the losses that have any, by name."""
        stateful = {name: loss for name, loss in self._parts if hasattr(loss, "state_dict")}
        return {name: loss.state_dict() for name, loss in stateful.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        losses = dict(self._parts)
        for name, part in state.items():
            losses[name].load_state_dict(part)  # type: ignore[attr-defined]

    def _wrapped(self, discriminator: Scorer) -> Scorer:
        for wrap in self._wrappers:
            discriminator = wrap(discriminator)
        return discriminator


def _methods(parts: Sequence[tuple[str, Loss]], name: str) -> list[Callable[..., Any]]:
    found = (getattr(loss, name, None) for _, loss in parts)
    return [method for method in found if method is not None]


def _merge(parts: list[tuple[str, Terms]]) -> Terms:
    """A loss with one term is logged under its own name, one with several as name_term."""
    merged = {}
    for name, terms in parts:
        for key, term in terms.items():
            merged[name if len(terms) == 1 else f"{name}_{key}"] = term
    return merged


def combine(parts: Sequence[tuple[str, Loss]]) -> LossSum:
    """One loss from named ones, as `a+b` on the command line."""
    return LossSum(parts)
