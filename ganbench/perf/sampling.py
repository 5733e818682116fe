"""One restart: three fresh workers that take turns in mirrored blocks of short chunks."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganbench.perf.evidence import ARMS, Arm, Chunk, Restart
from ganbench.perf.servers import Server, SideFailed

__all__ = ["Design", "Sampler"]


@dataclass(frozen=True, slots=True)
class Design:
    """How a restart is measured."""

    blocks: int = 4
    chunk_s: float = 0.05
    warmup_steps: int = 5
    threads: int = 1


class Sampler:
    """Draws restarts of one case. A chunk has the same steps in every arm and restart."""

    def __init__(
        self,
        case: str,
        bases: Sequence[Server],
        heads: Sequence[Server],
        design: Design,
        rng: random.Random,
    ) -> None:
        self._case = case
        self._bases = bases
        self._heads = heads
        self._design = design
        self._rng = rng
        self._steps = 0

    def draw(self) -> Restart:
        """Fork a worker for each arm, let them take turns, and end them.

        Which server each is forked from, the core they share, and the order in each block are
        drawn anew. A block mirrors itself (head twin base base twin head), so that a drift of the
        machine that is linear over the block falls out. base and twin come from different servers.
        """
        begun, rng = time.monotonic(), self._rng
        one, other = rng.sample(range(len(self._bases)), 2)
        servers: dict[Arm, int] = {
            "base": one,
            "head": rng.randrange(len(self._heads)),
            "twin": other,
        }
        workers: dict[Arm, Server] = {
            "base": self._bases[one],
            "head": self._heads[servers["head"]],
            "twin": self._bases[other],
        }
        core = _core(self._design.threads, rng)
        images_per_step = self._fork(workers, core)
        chunks: list[Chunk] = []
        for block in range(self._design.blocks):
            order = rng.sample(ARMS, len(ARMS))
            for arm in [*order, *reversed(order)]:
                timed = workers[arm].request(do="play", steps=self._steps)
                chunks.append(Chunk(block, arm, self._steps, **timed))
        ends: dict[Arm, dict[str, Any]] = {arm: workers[arm].request(do="end") for arm in ARMS}
        _check_finite(ends)
        return Restart(
            self._case,
            core,
            servers,
            images_per_step,
            tuple(chunks),
            {arm: end["peak_memory"] for arm, end in ends.items()},
            round(time.monotonic() - begun, 3),
        )

    def _fork(self, workers: dict[Arm, Server], core: int | None) -> float:
        """Start the three workers in an order drawn anew; images that a step shows."""
        about: dict[str, Any] = {
            "case": self._case,
            "core": core,
            "warmup": self._design.warmup_steps,
            "threads": self._design.threads,
        }
        answers: dict[Arm, dict[str, Any]] = {}
        for arm in self._rng.sample(ARMS, len(ARMS)):
            answers[arm] = workers[arm].request(do="fork", **about)
        _check_same_work(answers)
        if not self._steps:  # chosen once, so that every restart times the same steps
            step_s = min(answers["base"]["step_s"], answers["twin"]["step_s"])
            self._steps = max(1, round(self._design.chunk_s / step_s))
        return float(answers["base"]["images_per_step"])


def _core(threads: int, rng: random.Random) -> int | None:
    """A core for all three workers: what differs between cores is then the same for each."""
    if threads > 1 or not hasattr(os, "sched_getaffinity"):
        return None
    return rng.choice(sorted(os.sched_getaffinity(0)))


def _check_same_work(answers: dict[Arm, dict[str, Any]]) -> None:
    images: dict[Arm, float] = {arm: answers[arm]["images_per_step"] for arm in ARMS}
    if images["base"] != images["head"]:
        raise SideFailed(
            f"a step shows {images['base']:g} images in base and {images['head']:g} in head, so "
            "steps can't be compared: give the settings that differ (n_dis, batch_size)"
        )


def _check_finite(ends: dict[Arm, dict[str, Any]]) -> None:
    for arm in ARMS:
        if not ends[arm]["finite"]:
            side = "base" if arm == "twin" else arm
            raise SideFailed(
                f"{side} diverged after {ends[arm]['steps']} steps: NaNs are not timed. Choose "
                "settings that train"
            )
