"""What ranks tell each other beside the training: words on torchrun's store, written once."""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

from ganbench.errors import GanbenchError

__all__ = ["Board", "RankLost"]

_CONNECT = timedelta(minutes=5)  # one rank may import much later than another
_NUMBERS = itertools.count()


class RankLost(GanbenchError):
    """Another rank does not answer any more."""


class Board:
    """Words under names. Each run of a process has a board of its own."""

    def __init__(self) -> None:
        store = _store()
        self.store: Any = PrefixStore(f"ganbench-{next(_NUMBERS)}", store)

    def post(self, name: str, word: Mapping[str, Any]) -> None:
        self.store.set(name, json.dumps(word))

    def read(self, name: str) -> dict[str, Any] | None:
        """The word under `name`, if there is one by now."""
        try:
            if not self.store.check([name]):
                return None
            word: dict[str, Any] = json.loads(self.store.get(name))
        except RuntimeError as error:
            raise RankLost(f"torchrun's store does not answer: {error}") from error
        return word

    def wait(self, *names: str, for_s: float = float("inf")) -> tuple[str, dict[str, Any]] | None:
        """The first of `names` to have a word, and the word; None if none has in time."""
        end = time.monotonic() + for_s
        pause_s = 0.005
        while True:
            for name in names:
                word = self.read(name)
                if word is not None:
                    return name, word
            if time.monotonic() > end:
                return None
            time.sleep(pause_s)
            pause_s = min(0.2, 1.5 * pause_s)


@functools.cache
def _store() -> Any:
    """torchrun's store; without its agent, rank 0 holds one."""
    try:
        store, _, _ = next(rendezvous("env://", timeout=_CONNECT))
    except (RuntimeError, ValueError) as error:
        raise RankLost(f"the other ranks can't be reached: {error}") from error
    return store
