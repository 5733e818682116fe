"""What a gate concludes: a row for each figure of each case, and a verdict over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CONTROL", "EXIT_CODES", "Report", "Row", "Verdict", "overall"]

Verdict = Literal["ok", "regressed", "inconclusive"]

# Ends the name of a figure of base against itself, which says nothing of head.
CONTROL = " A/A"

EXIT_CODES: Mapping[Verdict, int] = {"ok": 0, "regressed": 3, "inconclusive": 4}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one case, base against head.

    `base` and `head` are in `unit`. `worsening` is the relative change in the bad direction, as a
    fraction: 0.05 is 5 % slower, bigger or worse, −0.05 as much better; `low` to `high` is its
    confidence interval, infinite or NaN where there is none. `threshold` is the worsening that
    fails, or infinite for a figure that is only reported. `n` counts the units of evidence: seeds,
    restarts. `reason` says in a sentence why the verdict is what it is.
    """

    case: str
    metric: str
    unit: str
    base: float
    head: float
    worsening: float
    low: float
    high: float
    threshold: float
    verdict: Verdict
    reason: str
    n: int

    @property
    def gated(self) -> bool:
        """False for a figure that is only reported, which counts in no verdict."""
        return math.isfinite(self.threshold)

    @property
    def control(self) -> bool:
        """Whether both figures are base's own: what they differ by is the machine's noise."""
        return self.metric.endswith(CONTROL)


@dataclass(frozen=True, slots=True)
class Report:
    """All rows, the verdict over them, and what the two sides were.

    `base` and `head` describe the sides: where they are, and their environments. `notes` are for
    whoever reads the rows. `problem` is what kept something from being compared at all: a crash, a
    different environment. Noise is no problem in that sense, but a reason to be inconclusive.
    """

    rows: tuple[Row, ...]
    verdict: Verdict
    base: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def exit_code(self) -> int:
        """3 regressed, else 1 if there was a problem, else 4 inconclusive or 0 ok.

        What was compared and has regressed has done so whatever else could not be compared.
        """
        if self.problem is not None and self.verdict != "regressed":
            return 1
        return EXIT_CODES[self.verdict]

    def regressions(self) -> list[Row]:
        return [row for row in self.rows if row.gated and row.verdict == "regressed"]


def overall(rows: Iterable[Row]) -> Verdict:
    """`regressed` if a gated row is, else `inconclusive` if one is or there is none, else `ok`."""
    verdicts = {row.verdict for row in rows if row.gated}
    if "regressed" in verdicts:
        return "regressed"
    return "ok" if verdicts == {"ok"} else "inconclusive"
