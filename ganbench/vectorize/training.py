"""Training of several seeds at once: chunks of steps, a history for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ganbench.clock import Clock
from ganbench.protocols import Rule, Snapshot, Terms
from ganbench.training import History
from ganbench.vectorize.game import VectorGame

__all__ = ["VectorTraining"]


class VectorTraining:
    """Plays `rule` on all seeds until `steps`, or until none is finite any more."""

    def __init__(self, game: VectorGame, rule: Rule, steps: int, warmup_steps: int) -> None:
        self.game = game
        self.rule = rule
        self.steps = steps
        self.clock = Clock(game.device, warmup_steps, [])
        self.histories = [History.of(steps) for _ in range(game.seeds)]
        self.diverged: list[int | None] = [None] * game.seeds

    def run(self, *, stop: Callable[[], bool], on_chunk: Callable[[Snapshot], None]) -> None:
        while self.game.step < self.steps and None in self.diverged and not stop():
            on_chunk(self._play_chunk(self.clock.next_length(self.steps - self.game.step)))
        if self.game.step == self.steps:
            for i, finite in enumerate(self._finite()):
                if self.diverged[i] is None and not finite:
                    self.diverged[i] = self.steps

    def _play_chunk(self, length: int) -> Snapshot:
        game, played = self.game, []
        before = game.nimg
        self.clock.start()
        for _ in range(length):
            played.append(game.play(self.rule))
        chunk = self.clock.stop(length)
        images_per_step = (game.nimg - before) // length
        first = game.step - length + 1
        steps = _to_floats(played)
        for i, step in enumerate(steps):
            nimg = game.nimg - images_per_step * (length - 1 - i)
            self._note(first + i, nimg, step)
        going = [t for t, end in zip(steps[-1], self.diverged, strict=True) if end is None]
        shown = going or steps[-1]
        mean = {name: sum(t[name] for t in shown) / len(shown) for name in shown[0]}
        return Snapshot(game.step, self.steps, game.nimg, mean, length / chunk.wall_s)

    def _note(self, step: int, nimg: int, terms: Sequence[dict[str, float]]) -> None:
        for i, (history, its) in enumerate(zip(self.histories, terms, strict=True)):
            if self.diverged[i] is not None:
                continue
            diverged = not all(map(math.isfinite, its.values()))
            history.add(step, nimg, its, last=diverged or step == self.steps)
            if diverged:
                self.diverged[i] = step

    def _finite(self) -> list[bool]:
        parameters = [p for player in self.game.players for p in player.module.parameters()]
        each = torch.stack([p.isfinite().flatten(1).all(1) for p in parameters])
        return [bool(one) for one in each.all(0).tolist()]


def _to_floats(played: list[Terms]) -> list[list[dict[str, float]]]:
    """Read a chunk's terms from the device at once: by step, then by seed."""
    rows = iter(torch.stack([term for terms in played for term in terms.values()]).tolist())
    steps = []
    for terms in played:
        values = {name: next(rows) for name in terms}
        seeds = range(len(next(iter(values.values()))))
        steps.append([{name: row[i] for name, row in values.items()} for i in seeds])
    return steps
