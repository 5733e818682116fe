"""The loop that repeats a rule's step: dumb, timed in chunks, stoppable and resumable."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganbench.clock import Chunk, Clock
from ganbench.game import Game
from ganbench.protocols import Rule, Snapshot, Terms

__all__ = ["History", "Training", "to_csv"]

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
        return to_csv(self.rows)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """One column a key. A key that comes later is empty before; a mapping is a column an entry."""
    flat = []
    for row in rows:
        nested = [value for value in row.values() if isinstance(value, Mapping)]
        flat.append({k: v for k, v in row.items() if not isinstance(v, Mapping)})
        for values in nested:
            flat[-1].update(values)
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
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
        self.train_s = 0.0
        self.evaluations: list[dict[str, Any]] = []

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
        evaluate_every: int = 0,
        on_evaluate: Callable[[], None] = lambda: None,
    ) -> None:
        """Train to the end, to divergence, or until `stop()`; callbacks run between chunks.

        `on_evaluate` is not called at the end, whose evaluation is the caller's.
        """
        while self.game.step < self.steps and self.diverged_step is None and not stop():
            every = [one for one in (checkpoint_every, evaluate_every) if one]
            boundary = min([self.steps, *(_next_multiple(self.game.step, one) for one in every)])
            on_chunk(self._play_chunk(self.clock.next_length(boundary - self.game.step)))
            going_on = self.game.step < self.steps and self.diverged_step is None
            if evaluate_every and self.game.step % evaluate_every == 0 and going_on:
                on_evaluate()
            if checkpoint_every and self.game.step % checkpoint_every == 0:
                on_checkpoint()
        if self.game.step == self.steps and self.diverged_step is None and not self.finite():
            self.diverged_step = self.steps

    def _play_chunk(self, length: int) -> Snapshot:
        game, played = self.game, []
        images_per_step = game.nimg
        self.clock.start()
        for _ in range(length):
            played.append(game.play(self.rule))
        chunk = self.clock.stop(length)
        self.train_s += chunk.wall_s
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

    def note_evaluation(self, values: Mapping[str, float]) -> None:
        """Keep metrics of the game as it stands, with the training time that led to it."""
        row = {"step": self.game.step, "nimg": self.game.nimg, "train_s": self.train_s}
        self.evaluations.append({**row, "values": dict(values)})

    def finite(self) -> bool:
        """Is every parameter of both players a number? One look at each, and one at the device."""
        parameters = [p.detach() for one in self.game.players for p in one.module.parameters()]
        sizes = [p.abs() if p.is_complex() else p for p in parameters if p.numel()]
        ends = [end for p in sizes for end in p.aminmax()]  # NaN is passed on
        return not ends or bool(torch.stack(ends).isfinite().all())

    def state(self) -> dict[str, Any]:
        return {
            "game": self.game.state(),
            "history": self.history.rows,
            "train_s": self.train_s,
            "evaluations": self.evaluations,
            "chunks": [[chunk.steps, chunk.wall_s, chunk.cpu_s] for chunk in self.clock.chunks],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.game.load_state(state["game"])
        self.history.rows = list(state["history"])
        self.clock.chunks = [Chunk(*values) for values in state["chunks"]]
        self.train_s = state.get("train_s", 0.0)  # absent from checkpoints of earlier versions
        self.evaluations = list(state.get("evaluations", []))


def _next_multiple(step: int, every: int) -> int:
    return (step // every + 1) * every


def _to_floats(played: list[Terms]) -> list[dict[str, float]]:
    """Read a chunk's terms from the device at once. A term may be absent from some steps."""
    flat: list[Tensor] = [term for terms in played for term in terms.values()]
    values = iter(torch.stack(flat).tolist())
    return [{name: next(values) for name in terms} for terms in played]
