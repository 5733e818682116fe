"""A rule whose step is recorded once and then launched as a whole, without Python or launches in
between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from ganbench.feed import Feed, Rows, to_float
from ganbench.game import Game
from ganbench.protocols import Rule, Terms

__all__ = ["WARMUP_STEPS", "GraphedRule", "Inputs", "Recorder", "Recording", "standing_in"]

# Steps played as they are: optimizers make their state, libraries choose kernels and workspaces.
WARMUP_STEPS = 3


@dataclass(frozen=True)
class Recording:
    """A step that was recorded. `play()` runs its operations again, on the memory they had, and
    leaves the result in `result`."""

    play: Callable[[], None]
    result: Tensor


class Recorder(Protocol):
    plays_while_recording: bool
    """Whether a step that is recorded is played, too, as on a CPU; a GPU only takes it down."""

    def aside(self) -> AbstractContextManager[None]:
        """Where steps are played before one is recorded."""

    def no_waiting(self) -> AbstractContextManager[None]:
        """Inside the body an operation that waits for the device raises `RuntimeError`."""

    def record(self, step: Callable[[], Tensor], generator: torch.Generator) -> Recording:
        """Record the operations of `step`, which draws from `generator` too. Raises `RuntimeError`
        for one that can't be recorded."""


@dataclass
class Inputs:
    """Stands in for a game's feed during a step: a batch is not indices but the examples, at an
    address that stays. `drawn`: each, with its distance from the step's first position."""

    feed: Feed
    start: int
    free: list[Tensor]
    drawn: list[tuple[int, Tensor]] = field(default_factory=list)

    def indices(self, position: int) -> Tensor:
        batch = self.free.pop(0)
        self.drawn.append((position - self.start, batch))
        return batch

    def micro_batches(self, batch: Tensor, rows: Rows | None = None) -> Iterator[Tensor]:
        for piece in self.feed.pieces(batch):
            yield to_float(piece) if piece.dtype == torch.uint8 else piece.clone()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.feed, name)


@contextmanager
def standing_in(game: Game, batches: int) -> Iterator[Inputs]:
    """Inside the body the game draws its next `batches` batches from `Inputs`."""
    feed, start = game.feed, game.nimg
    starts = range(start, start + batches * feed.batch_size, feed.batch_size)
    inputs = Inputs(feed, start, [feed.examples(feed.indices(at)).clone() for at in starts])
    feed.settle()  # while CUDA records, no other thread may ask it for memory
    game.feed = inputs  # type: ignore[assignment]
    try:
        yield inputs
    finally:
        game.feed = feed


class GraphedRule:
    """`rule`, played as it is for a few steps, then recorded, and from then on launched.

    Python runs once, while the step is recorded: a step must be the same operations each time, on
    tensors that stay where they are. Batches are copied to their places before each launch; what
    a rule or a loss keeps in new tensors is copied to where the next step reads it.
    """

    def __init__(self, rule: Rule, recorder: Recorder) -> None:
        self._rule = rule
        self._recorder = recorder
        self._played = 0
        self._batches = 0
        self._recorded: _Recorded | None = None

    def __call__(self, game: Game) -> Terms:
        if self._recorded is not None:
            return self._recorded.play(game)
        if self._played == WARMUP_STEPS:
            self._recorded = self._record(game)
            if self._recorder.plays_while_recording:
                return self._recorded.played(game)
            return self._recorded.play(game)
        start = game.nimg
        with self._recorder.aside():
            terms = self._rule(game)
        self._played += 1
        self._batches = (game.nimg - start) // game.feed.batch_size
        return terms

    def _record(self, game: Game) -> _Recorded:
        names: list[str] = []
        memory, loss = _Kept.of(game.memory), _Kept.of(_state_of(game))

        def step() -> Tensor:
            terms = self._rule(game)
            game.objective.forget()
            game.memory = memory.keep(game.memory)
            if loss.leaves:
                game.loss.load_state_dict(loss.keep(_state_of(game)))  # type: ignore[attr-defined]
            names.extend(terms)
            return torch.stack(list(terms.values()))

        start = game.nimg
        with standing_in(game, self._batches) as inputs, _capturable(game):
            recording = self._recorder.record(step, game._latents)
        shown, game.nimg = game.nimg - start, start
        return _Recorded(recording, names, inputs.drawn, shown)


@dataclass(frozen=True)
class _Recorded:
    recording: Recording
    names: Sequence[str]
    batches: Sequence[tuple[int, Tensor]]
    shown: int

    def play(self, game: Game) -> Terms:
        for distance, place in self.batches:
            place.copy_(game.feed.examples(game.feed.indices(game.nimg + distance)))
        self.recording.play()
        return self.played(game)

    def played(self, game: Game) -> Terms:
        """The terms of the step that was just played."""
        game.nimg += self.shown
        return dict(zip(self.names, self.recording.result.clone().unbind(), strict=True))


@dataclass(frozen=True)
class _Kept:
    """A tree of state whose tensors stay where they are."""

    leaves: list[Any]
    form: Any

    @classmethod
    def of(cls, tree: Any) -> _Kept:
        return cls(*tree_flatten(tree))

    def keep(self, tree: Any) -> Any:
        """The tree with its values copied to the places of this one's."""
        for place, value in zip(self.leaves, tree_flatten(tree)[0], strict=True):
            if isinstance(place, Tensor) and place is not value:
                place.copy_(value)
        return tree_unflatten(self.leaves, self.form)


def _state_of(game: Game) -> Any:
    state_dict = getattr(game.loss, "state_dict", None)
    return state_dict() if state_dict is not None else {}


@contextmanager
def _capturable(game: Game) -> Iterator[None]:
    """torch's optimizers refuse to be recorded unless their groups say that steps are counted on
    the device, which fused ones do in any case."""
    groups = [group for player in game.players for group in player.optimizer.param_groups]
    fused = [group for group in groups if group.get("fused") and "capturable" in group]
    before = [group["capturable"] for group in fused]
    for group in fused:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(fused, before, strict=True):
            group["capturable"] = value
