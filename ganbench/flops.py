"""Counting a step's floating-point operations."""

from __future__ import annotations

from types import TracebackType

from torch.utils.flop_counter import FlopCounterMode

__all__ = ["flop_counter"]


class _NoModules:
    """In place of torch's module tracker, whose hooks refuse `torch.autograd.grad`."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        return None


def flop_counter() -> FlopCounterMode:
    """Counts the products and convolutions run inside it, a multiply-add as two operations."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    return counter
