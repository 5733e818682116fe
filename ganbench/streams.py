"""One seed, many independent streams of randomness.

A stream's seed depends on the run's seed and the stream's name alone, so that using one more
stream, or drawing more from one, never shifts another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["generator", "isolated", "seed_of"]


def seed_of(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the stream `name` of a run's `seed`."""
    key = tuple(byte for part in name for byte in (*str(part).encode(), 0))
    state = np.random.SeedSequence(entropy=seed, spawn_key=key).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(seed: int, *name: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for the stream `name`."""
    return torch.Generator(device=device).manual_seed(seed_of(seed, *name))


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Give the body the global random states of torch (every device) and numpy as its own.

    With a `seed` the body starts from it; after the body the caller's states are back.
    """
    numpy_state = np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
