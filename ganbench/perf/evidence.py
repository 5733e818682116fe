"""What was measured: restarts, each with its chunks. Kept as JSON lines, so that any decision can
be replayed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

__all__ = ["ARMS", "Arm", "Chunk", "Clock", "Restart", "read_restarts", "write_restart"]

GROWTH_STEPS = 1000

Arm = Literal["base", "head", "twin"]
Clock = Literal["cpu_s", "wall_s", "device_s"]

# twin is a second worker of base: what it differs by from base is the noise of this machine.
ARMS: tuple[Arm, ...] = ("base", "head", "twin")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive steps of one arm in one block."""

    block: int
    arm: Arm
    steps: int
    wall_s: float
    cpu_s: float
    device_s: float | None
    memory: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Three fresh workers that took turns. The unit of evidence."""

    case: str
    core: int | None
    servers: Mapping[Arm, int]
    images_per_step: float
    chunks: tuple[Chunk, ...]
    peak_memory: Mapping[Arm, int]
    elapsed_s: float = 0.0
    tags: Mapping[str, Any] = field(default_factory=dict)

    def log_ratio(self, clock: Clock, *, twin: bool = False) -> float:
        """log of head's time over base's, or with `twin` of base's second worker over its first.

        The median over blocks. One worker against one: between equal codes, exchanging the two
        changes nothing but the sign, so the law is symmetric however skewed the noise is.
        """
        other: Arm = "twin" if twin else "head"
        ratios = [np.log(times[other] / times["base"]) for times in self._times(clock)]
        return float(np.median(ratios))

    def _times(self, clock: Clock) -> Iterator[dict[Arm, float]]:
        blocks: dict[int, dict[Arm, float]] = {}
        for chunk in self.chunks:
            times = blocks.setdefault(chunk.block, dict.fromkeys(ARMS, 0.0))
            times[chunk.arm] += getattr(chunk, clock)
        return iter(blocks.values())

    def log_memory_ratio(self, *, twin: bool = False) -> float:
        """log of head's peak memory over base's, or of the twin's."""
        other: Arm = "twin" if twin else "head"
        return float(np.log(self.peak_memory[other] / self.peak_memory["base"]))

    def seconds_per_step(self, arm: Arm, clock: Clock) -> float:
        """The median over the arm's chunks."""
        chunks = [chunk for chunk in self.chunks if chunk.arm == arm]
        return float(np.median([getattr(chunk, clock) / chunk.steps for chunk in chunks]))

    def growth_bytes_per_step(self, arm: Arm) -> float:
        """How much more memory an arm holds after each step: the median from chunk to chunk, which
        leaves out what an allocator takes once."""
        chunks = [chunk for chunk in self.chunks if chunk.arm == arm]
        grown = [(after.memory - before.memory) / after.steps for before, after in pairwise(chunks)]
        return float(np.median(grown)) if grown else 0.0

    def projected_growth(self, *, twin: bool = False) -> float:
        """What head, or the twin, would hold more than base after 1,000 steps, over base's peak."""
        other: Arm = "twin" if twin else "head"
        more = self.growth_bytes_per_step(other) - self.growth_bytes_per_step("base")
        return GROWTH_STEPS * more / self.peak_memory["base"]


def write_restart(file: TextIO, restart: Restart) -> None:
    """Add one line, and have it on its way to the disk."""
    content = asdict(restart)
    content["chunks"] = [
        [c.block, c.arm, c.steps, round(c.wall_s, 7), round(c.cpu_s, 7), c.device_s, c.memory]
        for c in restart.chunks
    ]
    file.write(json.dumps(content, separators=(",", ":")) + "\n")
    file.flush()


def read_restarts(path: Path) -> Iterator[Restart]:
    """Restarts from a file of JSON lines, gzipped if its name says so."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            content = json.loads(line)
            content["chunks"] = tuple(Chunk(*values) for values in content["chunks"])
            yield Restart(**content)
