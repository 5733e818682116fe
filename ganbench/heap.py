"""The C library's heap, told that a step's memory is asked for again in the next one."""

from __future__ import annotations

import ctypes
import gc
import os
import platform

__all__ = ["give_back_freed_memory", "keep_freed_memory"]

# From glibc's malloc.h. Its own thresholds follow what a process has freed, and may come to rest
# where a step's largest tensors go back to the system and come anew, page by page, zeroed.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
_LARGEST_ON_HEAP = 32 << 20  # what glibc allows itself


def keep_freed_memory() -> bool:
    """Let the process keep up to a GiB of freed memory for its next use of it, where it is given
    back by glibc: elsewhere, or where the user has set glibc's own variables, nothing changes.

    Returns whether it took effect.
    """
    if platform.libc_ver()[0] != "glibc" or any(
        name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    ):
        return False
    libc = ctypes.CDLL(None)
    done = libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    return bool(done and libc.mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP))


def give_back_freed_memory() -> None:
    """What the heap keeps for a next step, to the system: there are no more steps. Other C
    libraries than glibc are left alone."""
    gc.collect()  # players and their optimizers refer to each other
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
