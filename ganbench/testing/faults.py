"""What a component can get wrong. Each fault says the rule and why there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from ganbench.errors import IncompatibleParts, UsageError

__all__ = [
    "AssumesDevice",
    "AssumesDtype",
    "ChangesInputs",
    "ChangesSettings",
    "ConformanceFailure",
    "Crash",
    "DependsOnBatch",
    "HiddenRandomness",
    "LeaksGradient",
    "LosesState",
    "NotDeterministic",
    "NotFinite",
    "UnwritableOption",
    "WrongInterface",
    "WrongShape",
    "crashes_are_faults",
]


class ConformanceFailure(AssertionError):
    """A component breaks a rule: what was found, the rule, and why it matters."""

    rule: ClassVar[str]
    why: ClassVar[str]

    def __init__(self, label: str, found: str) -> None:
        self.label = label
        self.found = found
        super().__init__(f"{label}: {found}\n  Rule: {self.rule}\n  Why:  {self.why}")


class WrongInterface(ConformanceFailure):
    rule = "a component has the methods, arguments and results that docs/plugin-api.md names"
    why = "the harness calls every component of a kind in one way and has no special cases"


class WrongShape(ConformanceFailure):
    rule = "results have the documented shapes: x (N, *shape), logits (N,), terms ()"
    why = "a shape that merely broadcasts, such as (N, 1) for (N,), gives other numbers in silence"


class Crash(ConformanceFailure):
    rule = "a component works with its default options, or refuses with a ValueError or UsageError"
    why = "any other error ends a run, or a sweep's row, as a failure that nobody can explain"


class HiddenRandomness(ConformanceFailure):
    rule = (
        "randomness comes from torch's global random state and nowhere else, and is not re-seeded"
    )
    why = (
        "the harness seeds, isolates and saves torch's global state; numbers from any other are "
        "not repeated by the same seed and are lost by a checkpoint"
    )


class NotDeterministic(ConformanceFailure):
    rule = "the same torch seed gives the same bits, however often and in which order it is asked"
    why = (
        "a run's hash promises its result. A module's own random generator, a clock, or memory "
        "outside the component breaks that promise"
    )


class DependsOnBatch(ConformanceFailure):
    rule = (
        "what is a mean over samples does not depend on how many there are; what pairs or averages "
        "across the batch declares it: `factory.across_batch = True`"
    )
    why = (
        "gradients are accumulated over micro-batches, and two batch sizes are compared in one "
        "table: a sum over the batch, or one norm for all of it, changes the loss with its size"
    )


class NotFinite(ConformanceFailure):
    rule = "values and gradients are finite, for logits of ±1e4 in float32 too"
    why = (
        "a confident discriminator is no divergence: log(sigmoid(x)) overflows where logsigmoid(x) "
        "does not, and one infinity ends the run"
    )


class LeaksGradient(ConformanceFailure):
    rule = (
        "a player's loss leaves gradients on that player only, and the graph of a batch ends there"
    )
    why = (
        "a gradient left on the other player is added to its next update, and a kept graph grows "
        "until memory ends"
    )


class LosesState(ConformanceFailure):
    rule = "what outlives a step is in state_dict (a rule's in game.memory), as a tree of tensors, "
    rule += "numbers and text"
    why = (
        "an interrupted run must go on with the same bits, or its result depends on when it stopped"
    )


class UnwritableOption(ConformanceFailure):
    rule = "an option has a TOML value, or None, for a default, and takes it back by its annotation"
    why = (
        "options are written on the command line, in TOML files, in the record and in the run's "
        "hash: what can't be written can't be repeated"
    )


class AssumesDtype(ConformanceFailure):
    rule = "results have the type of the inputs, whatever torch's default type is"
    why = (
        "checks of gradients run in float64, mixed precision hands over other types: a constant of "
        "a fixed type fails there, or drops digits in silence"
    )


class AssumesDevice(ConformanceFailure):
    rule = "new tensors are made on the device of the inputs; constants of a network are buffers"
    why = "what works on a CPU fails on the first GPU"


class ChangesInputs(ConformanceFailure):
    rule = "inputs are read, not written"
    why = (
        "the harness goes on with the same tensors: the other player, or a metric, sees the change"
    )


class ChangesSettings(ConformanceFailure):
    rule = "torch's global settings (default type, gradient mode, threads) are left as they were"
    why = "every other component in the process runs under them"


@contextmanager
def crashes_are_faults(
    label: str, doing: str, fault: type[ConformanceFailure] = Crash
) -> Iterator[None]:
    """Turn an unexpected error of the body into a fault; what the component refuses passes."""
    try:
        yield
    except (ConformanceFailure, IncompatibleParts):
        raise
    except UsageError as error:
        if isinstance(error.__cause__, TypeError):
            raise fault(label, f"{doing} raised TypeError: {error.__cause__}") from error
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:400]
        raise fault(label, f"{doing} raised {type(error).__name__}: {reason}") from error
