"""Several losses as one: each player descends the sum of all their terms."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["combine"]


class _Sum:
    def __init__(self, parts: Sequence[tuple[str, Loss]]) -> None:
        self._parts = parts

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return self._merge(
            [(name, loss.d_loss(discriminator, x_real, x_fake)) for name, loss in self._parts]
        )

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return self._merge(
            [(name, loss.g_loss(discriminator, x_real, x_fake)) for name, loss in self._parts]
        )

    @staticmethod
    def _merge(parts: list[tuple[str, Terms]]) -> Terms:
        """A loss with one term is logged under its own name, one with several as name_term."""
        merged = {}
        for name, terms in parts:
            for key, term in terms.items():
                merged[name if len(terms) == 1 else f"{name}_{key}"] = term
        return merged


def combine(parts: Sequence[tuple[str, Loss]]) -> Loss:
    """One loss from named ones, as `a+b` on the command line."""
    return _Sum(parts)
