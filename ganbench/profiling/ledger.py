"""A meter's readings, shared among named parts that may lie inside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["REST", "Ledger"]

REST = "rest"


class Ledger:
    """What `meter`, a reading that only grows, gained in each part, its inner parts left out.

    Between `open()` and `close()` everything counts for some part, for `rest` if for no other: so
    the parts' sum is the meter's gain. `around(part)` wraps each part in a context of its own.
    """

    def __init__(
        self,
        meter: Callable[[], float],
        around: Callable[[str], AbstractContextManager[object]] = lambda part: nullcontext(),
    ) -> None:
        self.gained: dict[str, float] = {}
        self._meter = meter
        self._around = around
        self._parts: list[str] = []
        self._last = 0.0

    def open(self) -> None:
        self._parts = [REST]
        self._last = self._meter()

    def close(self) -> None:
        self._settle()
        self._parts = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the body for this part. Nothing happens while the ledger is closed."""
        if not self._parts:
            yield
            return
        self._settle()
        self._parts.append(name)
        try:
            with self._around(name):
                yield
        finally:
            self._settle()
            self._parts.pop()

    def _settle(self) -> None:
        now = self._meter()
        part = self._parts[-1]
        self.gained[part] = self.gained.get(part, 0.0) + now - self._last
        self._last = now
