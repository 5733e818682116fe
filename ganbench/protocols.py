"""The contracts between ganbench and its plugins. Only types live here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ganbench.game import Game
    from ganbench.record import RunRecord
    from ganbench.spec import RunSpec

__all__ = [
    "Backend",
    "Data",
    "Factory",
    "Job",
    "JobEnd",
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
refused on data that has fewer. One whose steps all do the same operations on tensors, whatever the
step's number and the tensors' values, says so by `same_each_step` = True: it may be recorded as a
CUDA graph.
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
    """A data set in memory, or in a file that is read as it is used.

    `x`: uint8 images (N, C, H, W), which players see as float in [−1, 1], or float points (N, d),
    which they see as they are. `labels`: int64 (N,), or None. `lazy`: `x` is a memory-mapped file
    (`numpy.memmap`, `torch.from_file`), which need not fit in memory.
    """

    x: Tensor
    labels: Tensor | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    lazy: bool = False

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


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a sweep, as a backend gets it: plain values, which cross to any other process or
    machine as JSON.

    `settings` are those of a `RunSpec`, `out` is the results folder, `plugins` are what -p named.
    After `not_after` (seconds since 1970) the run is no longer begun.
    """

    run_id: str
    settings: Mapping[str, Any]
    out: str
    force: bool = False
    plugins: tuple[str, ...] = ()
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What became of a job. Beside a run's own ends: `done`, it was finished before; `busy`,
    another process is at it; `skipped`, it was not begun any more; `unwritable`, its files can't be
    written; `lost`, its process died."""

    run_id: str
    status: Literal[
        "completed",
        "diverged",
        "interrupted",
        "failed",
        "done",
        "busy",
        "skipped",
        "unwritable",
        "lost",
    ]
    error: str = ""


class Backend(Protocol):
    """Where the runs of a sweep take place.

    `run` has each job executed by `ganbench.sweep.execute_job`, in whatever process it likes, and
    returns when all have ended. It calls `report`, from the thread that called it, with what that
    function returned; a job whose process died is reported as `lost`, and no other suffers. After
    `stop()` turns true it begins no further job. On KeyboardInterrupt it has the runs under way
    save what they have, reports them, and raises again.
    """

    def run(
        self,
        jobs: Sequence[Job],
        report: Callable[[JobEnd], None],
        stop: Callable[[], bool],
    ) -> None: ...
