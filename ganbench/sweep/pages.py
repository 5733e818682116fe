"""A forked process's memory, counted as that of one which imported everything itself.

A fork gives the child no page of a mapped file, such as torch's libraries, until it touches it, so
that its resident memory would be less by what its parent's imports read: a third of a run's.
"""

from __future__ import annotations

import ctypes
import mmap
import os

__all__ = ["can_be_mapped", "map_pages", "pages_of_files"]

_POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14
_PRESENT = 63  # the bit of a page's entry in /proc/self/pagemap


def can_be_mapped() -> bool:
    """Whether this system can tell and map pages."""
    if not os.access("/proc/self/pagemap", os.R_OK):
        return False
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        at = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return _madvise(at, mmap.PAGESIZE)


def pages_of_files() -> list[tuple[int, int]]:
    """The pages of mapped files that this process has touched: (address, bytes) of each stretch."""
    import numpy as np

    stretches = []
    with open("/proc/self/maps") as maps, open("/proc/self/pagemap", "rb", buffering=0) as entries:
        for line in maps:
            span, rights, _, _, file, *_ = line.split()
            if file == "0" or "r" not in rights:
                continue
            start, end = (int(address, 16) for address in span.split("-"))
            entries.seek(start // mmap.PAGESIZE * 8)
            read = np.frombuffer(entries.read((end - start) // mmap.PAGESIZE * 8), np.uint64)
            present = (read >> np.uint64(_PRESENT)).astype(np.int8)
            edges = np.flatnonzero(np.diff(present, prepend=0, append=0)).reshape(-1, 2)
            for first, after in edges.tolist():
                stretches.append((start + first * mmap.PAGESIZE, (after - first) * mmap.PAGESIZE))
    return stretches


def map_pages(stretches: list[tuple[int, int]]) -> None:
    """Have them in this process, too, which was forked from the one that told them."""
    for address, n_bytes in stretches:
        _madvise(address, n_bytes)


def _madvise(address: int, n_bytes: int) -> bool:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return bool(madvise(address, n_bytes, _POPULATE_READ) == 0)
