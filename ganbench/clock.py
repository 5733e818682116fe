"""Timing a run: chunks of steps, synchronised at their edges only."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ganbench.devices import synchronize

__all__ = ["Chunk", "Clock"]

_CHUNK_S = 0.25
_LONGEST_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive steps and how long they took."""

    steps: int
    wall_s: float
    cpu_s: float


class Clock:
    """Times chunks of about a quarter of a second. Warm-up steps are played but not kept."""

    def __init__(self, device: torch.device, warmup_steps: int, chunks: list[Chunk]) -> None:
        self.device = device
        self.warmup_steps = warmup_steps
        self.chunks = chunks
        self._seconds_per_step = 0.0
        self._steps_seen = 0

    def next_length(self, at_most: int) -> int:
        """How many steps the next chunk should hold."""
        if self._steps_seen < self.warmup_steps:
            return min(at_most, self.warmup_steps - self._steps_seen)
        if self._seconds_per_step == 0.0:
            return 1
        fitting = int(_CHUNK_S / self._seconds_per_step)
        return max(1, min(fitting, at_most, _LONGEST_CHUNK))

    def start(self) -> None:
        synchronize(self.device)
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, steps: int) -> Chunk:
        synchronize(self.device)
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        chunk = Chunk(steps, wall_s, cpu_s)
        if self._steps_seen >= self.warmup_steps:
            self.chunks.append(chunk)
        self._steps_seen += steps
        self._seconds_per_step = wall_s / steps
        return chunk
