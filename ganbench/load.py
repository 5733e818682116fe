"""Whether a run had its cores to itself, which is what makes its timings worth something."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

__all__ = ["SHARED_DEVICE", "OtherLoad"]

SHARED_DEVICE = "GANBENCH_SHARED_DEVICE"
"""Set where whoever started this process has started another on the same GPU."""

_NEGLIGIBLE = 0.05
_SHORTEST_S = 0.5  # the system counts CPU time in hundredths of a second


@dataclass(frozen=True, slots=True)
class OtherLoad:
    """What other processes take of the cores this one may run on, from `begin` on.

    The busy time of those cores, time that a hypervisor gave to others included, less this
    process's own CPU time. A process that is pinned to a core sees what runs on that core; one that
    is not sees all that runs.
    """

    cores: tuple[int, ...]
    busy_s: float
    own_s: float
    wall_s: float

    @classmethod
    def begin(cls) -> OtherLoad:
        cores = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
        return cls(cores, _busy_s(cores), time.process_time(), time.perf_counter())

    def cores_taken(self) -> float | None:
        """How many cores others have used on average since `begin`. None: too short to tell."""
        elapsed_s = time.perf_counter() - self.wall_s
        if elapsed_s < _SHORTEST_S:
            return None
        others_s = _busy_s(self.cores) - self.busy_s - (time.process_time() - self.own_s)
        return max(0.0, others_s / elapsed_s)

    def is_negligible(self) -> bool | None:
        """Whether others used less than a twentieth of a core, and the device is this process's own
        as far as it was told. None: too short to tell."""
        if os.environ.get(SHARED_DEVICE):
            return False
        taken = self.cores_taken()
        return None if taken is None else taken < _NEGLIGIBLE


def _busy_s(cores: tuple[int, ...]) -> float:
    import psutil

    times = psutil.cpu_times(percpu=True)
    chosen = [times[i] for i in cores if i < len(times)] or times
    return sum(sum(one) - one.idle - _not_busy(one) for one in chosen)


def _not_busy(one: object) -> float:
    """Linux counts waiting for disks as idle, and guests' time twice."""
    return sum(float(getattr(one, name, 0.0)) for name in ("iowait", "guest", "guest_nice"))
