"""The contracts between ganbench and its plugins. Only types live here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ganbench.game import Game
    from ganbench.record import RunRecord
    from ganbench.spec import RunSpec

__all__ = [
    "Data",
    "Factory",
    "Loss",
    "Metric",
    "Rule",
    "Schedule",
    "Scorer",
    "Snapshot",
    "Terms",
    "Tracker",
]

Scorer: TypeAlias = "Callable[[Tensor], Tensor]"
"""D with its label and condition bound: (N, *shape) -> logits (N,).

The harness's scorers have an attribute `module`, the network behind them; a wrapper keeps it.
"""

Terms: TypeAlias = "Mapping[str, Tensor]"
"""Named scalars. A player descends their sum; each is logged under its name."""

Factory: TypeAlias = "Callable[..., Any] | str"
"""What a hook registers: a callable, or 'module:attribute', imported when it is first used."""

Rule: TypeAlias = "Callable[[Game], Terms]"
"""One step of the game: updates both players, returns the terms of their losses.

A rule that needs k batches of different examples each step has an attribute `batches` = k, and is
refused on data that has fewer.
"""

Schedule: TypeAlias = "Callable[[Any, int], Any]"
"""(optimizer, steps) -> a torch LRScheduler that is stepped once a step, or None."""

Metric: TypeAlias = "Callable[[Any], Mapping[str, float]]"
"""ganbench.evaluation.Evaluation -> named values."""


@runtime_checkable
class Loss(Protocol):
    """What each player descends.

    Both methods get D itself rather than its logits, so that relativistic losses and gradient
    penalties are losses like any other. `x_real` and `x_fake` are (N, *shape). In `d_loss`
    `x_fake` carries no gradient to G; in `g_loss` it does, and D's parameters are frozen.

    A loss may also have any of these, which the harness looks for by name:

    `wrap(discriminator) -> Scorer`: every loss of the sum gets the scorer that this returns.
    `after_d_update(module)`: called with D's network after each of its updates.
    `state_dict()`, `load_state_dict(state)`: what a checkpoint must hold for it.
    `players_penalty(d_total, g_total, d_parameters, g_parameters) -> scalar`: descended by both
    players; its gradient may pass through the gradients of the totals.

    Randomness comes from torch's global state, which the harness seeds and restores.
    """

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms: ...

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms: ...


@dataclass(frozen=True)
class Data:
    """A data set in memory.

    `x`: uint8 images (N, C, H, W), which players see as float in [−1, 1], or float points (N, d),
    which they see as they are. `labels`: int64 (N,), or None.
    """

    x: Tensor
    labels: Tensor | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x.shape[1:])

    @property
    def is_images(self) -> bool:
        return self.x.ndim == 4

    def __len__(self) -> int:
        return int(self.x.shape[0])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run's state at the end of a timed chunk, for progress displays and trackers."""

    step: int
    steps: int
    nimg: int
    terms: Mapping[str, float]
    steps_per_s: float


class Tracker(Protocol):
    """Watches a run from outside. No method is called inside a timed chunk."""

    def run_start(self, spec: RunSpec, run_id: str) -> None: ...

    def progress(self, snapshot: Snapshot) -> None: ...

    def run_end(self, record: RunRecord, folder: Path) -> None: ...
