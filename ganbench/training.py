"""The loop that repeats a rule's step: dumb, timed in chunks, stoppable and resumable."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganbench.clock import Chunk, Clock
from ganbench.game import Game
from ganbench.protocols import Rule, Snapshot, Terms

__all__ = ["History", "Training"]

_HISTORY_ROWS = 1000


@dataclass
class History:
    """The terms of every `every`-th step, and of the last."""

    every: int
    rows: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, steps: int) -> History:
        return cls(every=math.ceil(steps / _HISTORY_ROWS))

    def add(self, step: int, nimg: int, terms: Mapping[str, float], last: bool = False) -> None:
        if step % self.every == 0 or last:
            self.rows.append({"step": step, "nimg": nimg, **terms})

    def to_csv(self) -> str:
        """The rows, one column a term. A term that comes later is empty before."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


class Training:
    """Plays `rule` on `game` until `steps`. All of its state is in `state()`."""

    def __init__(self, game: Game, rule: Rule, steps: int, warmup_steps: int) -> None:
        self.game = game
        self.rule = rule
        self.steps = steps
        self.history = History.of(steps)
        self.clock = Clock(game.device, warmup_steps, [])
        self.diverged_step: int | None = None

    @property
    def step(self) -> int:
        """Steps that count: up to the one that diverged."""
        return self.game.step if self.diverged_step is None else self.diverged_step

    @property
    def nimg(self) -> int:
        return self.game.nimg if self.diverged_step is None else int(self.history.rows[-1]["nimg"])

    def run(
        self,
        *,
        stop: Callable[[], bool],
        on_chunk: Callable[[Snapshot], None],
        checkpoint_every: int,
        on_checkpoint: Callable[[], None],
    ) -> None:
        """Train to the end, to divergence, or until `stop()`; callbacks run between chunks."""
        while self.game.step < self.steps and self.diverged_step is None and not stop():
            boundary = self.steps
            if checkpoint_every:
                boundary = min(boundary, _next_multiple(self.game.step, checkpoint_every))
            on_chunk(self._play_chunk(self.clock.next_length(boundary - self.game.step)))
            if checkpoint_every and self.game.step % checkpoint_every == 0:
                on_checkpoint()
        if self.game.step == self.steps and self.diverged_step is None and not self._finite():
            self.diverged_step = self.steps

    def _play_chunk(self, length: int) -> Snapshot:
        game, played = self.game, []
        images_per_step = game.nimg
        self.clock.start()
        for _ in range(length):
            played.append(game.play(self.rule))
        chunk = self.clock.stop(length)
        images_per_step = (game.nimg - images_per_step) // length
        first = game.step - length + 1
        terms: dict[str, float] = {}
        for i, terms in enumerate(_to_floats(played)):
            step, nimg = first + i, game.nimg - images_per_step * (length - 1 - i)
            diverged = not all(map(math.isfinite, terms.values()))
            self.history.add(step, nimg, terms, last=diverged or step == self.steps)
            if diverged:
                self.diverged_step = step
                break
        return Snapshot(game.step, self.steps, game.nimg, terms, length / chunk.wall_s)

    def _finite(self) -> bool:
        players = (self.game.generator, self.game.discriminator)
        return all(bool(p.isfinite().all()) for one in players for p in one.module.parameters())

    def state(self) -> dict[str, Any]:
        return {
            "game": self.game.state(),
            "history": self.history.rows,
            "chunks": [[chunk.steps, chunk.wall_s, chunk.cpu_s] for chunk in self.clock.chunks],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.game.load_state(state["game"])
        self.history.rows = list(state["history"])
        self.clock.chunks = [Chunk(*values) for values in state["chunks"]]


def _next_multiple(step: int, every: int) -> int:
    return (step // every + 1) * every


def _to_floats(played: list[Terms]) -> list[dict[str, float]]:
    """Read a chunk's terms from the device at once. A term may be absent from some steps."""
    flat: list[Tensor] = [term for terms in played for term in terms.values()]
    values = iter(torch.stack(flat).tolist())
    return [{name: next(values) for name in terms} for terms in played]
