"""How torchrun started this process: which of how many. Read from the environment alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UsageError

__all__ = ["Launch", "launch", "settled_ranks"]

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Launch:
    """This process's place: `rank` of `size`, `local_rank` of the `local_size` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def launch() -> Launch:
    """What torchrun says; a process alone where it says nothing."""
    if any(not os.environ.get(name) for name in _NEEDED):
        return Launch()
    try:
        rank, size, local_rank = (int(os.environ[name]) for name in _NEEDED[:3])
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    except ValueError:
        return Launch()
    return Launch(rank, size, local_rank, local_size)


def settled_ranks(wanted: int | None, sync_batch_norm: bool) -> dict[str, Any]:
    """The settings `ranks`, how many processes train together, and `sync_batch_norm`, which a
    process alone need not do. Raises `UsageError` if `wanted` is not how many there are."""
    size = launch().size
    if wanted not in (None, size):
        here = f"torchrun started {size}" if size > 1 else "this process was started alone"
        several = f"torchrun --nproc-per-node={wanted} -m "
        start = f"{several if wanted != 1 else ''}ganbench run"
        raise UsageError(
            f"ranks is {wanted}, but {here}: start it with {start} …, or leave ranks out"
        )
    return {"ranks": size, "sync_batch_norm": sync_batch_norm and size > 1}
