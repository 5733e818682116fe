"""Do the cores of this process share a cache just now?

A virtual machine's cores may be placed on two chiplets, and placed anew at any time. What one core
wrote then comes to the other through memory's fabric instead of a cache, and steps whose threads
hand each other much are slower by up to a half, in every loop alike.

    python benchmarks/cores.py
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

__all__ = ["APART", "handover_ratio"]

APART = 2.0
"""From this ratio on cores share no cache. Where it was tried, it is 1.6 at most with a cache
in common, and mostly 2.9 to 4.5 without."""

_BYTES = 1 << 18
_REPEATS = 15


def handover_ratio() -> float:
    """Time to copy what another core has just written, over that of what this core has copied
    before: the largest over cores. 1 where there are no two cores, or no way to choose one."""
    if not hasattr(os, "sched_setaffinity"):
        return 1.0
    here, *others = sorted(os.sched_getaffinity(0))
    with ThreadPoolExecutor(1, initializer=_stay_on, initargs=(here,)) as reader:
        return max((_between(reader, other) for other in others), default=1.0)


def _between(reader: ThreadPoolExecutor, other: int) -> float:
    written, copy = np.zeros(_BYTES, np.uint8), np.zeros(_BYTES, np.uint8)
    ratios = []
    with ThreadPoolExecutor(1, initializer=_stay_on, initargs=(other,)) as writer:
        for i in range(_REPEATS):
            writer.submit(written.fill, i).result()
            first, again = (reader.submit(_seconds_to_copy, written, copy).result() for _ in "ab")
            ratios.append(first / again)
    return statistics.median(ratios)


def _stay_on(core: int) -> None:
    os.sched_setaffinity(0, {core})  # of this thread alone


def _seconds_to_copy(source: np.ndarray, target: np.ndarray) -> float:
    started = time.perf_counter()
    np.copyto(target, source)
    return time.perf_counter() - started


if __name__ == "__main__":
    ratio = handover_ratio()
    print(f"{ratio:.2f}: the cores share {'no' if ratio >= APART else 'a'} cache")
