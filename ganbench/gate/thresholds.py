"""How much worse is too much: `throughput=5%,fid=2%`, and a TOML file with exceptions by case.

[fail_above]                 # the same as --fail-above, which wins over it
throughput = "5%"
fid = "2%"

[[case]]                     # exceptions for the cases whose names match
match = "mlp-wgan*"
throughput = "10%"
fid = "off"

[better]                     # which way is better, for a metric of a plugin
my-metric = "higher"
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ganbench.errors import UsageError, unknown
from ganbench.gate.directions import Direction, better

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same parser under its older name
    import tomli as tomllib

__all__ = ["Thresholds", "parse_fail_above", "parse_percentage", "read_thresholds"]

_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")
_TABLE, _CASES, _MATCH, _BETTER = "fail_above", "case", "match", "better"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The worsening that fails, a fraction by metric; `cases` are (pattern, exceptions) pairs.

    A pattern is a shell's: `*` and `?` match within a case's name. Of several that match, the last
    that names the metric counts. A metric that nobody names is reported and not gated.
    """

    metrics: Mapping[str, float]
    cases: tuple[tuple[str, Mapping[str, float]], ...] = ()
    directions: Mapping[str, Direction] = field(default_factory=dict)
    given: frozenset[str] | None = None
    """The metrics that the user named, once defaults were put under them."""

    def of(self, case: str, metric: str) -> float:
        """The threshold as a fraction; infinite for a figure that is not gated."""
        found = self.metrics.get(metric, math.inf)
        for pattern, exceptions in self.cases:
            if fnmatchcase(case, pattern):
                found = exceptions.get(metric, found)
        return found

    def over(self, defaults: Mapping[str, float]) -> Thresholds:
        """These, and `defaults` for metrics that they do not name."""
        return Thresholds(
            {**defaults, **self.metrics}, self.cases, self.directions, frozenset(self.metrics)
        )

    def names(self, case: str, metric: str) -> bool:
        """Whether the user said anything of this figure, beyond the defaults."""
        own = self.metrics.keys() if self.given is None else self.given
        return metric in own or any(
            metric in exceptions for pattern, exceptions in self.cases if fnmatchcase(case, pattern)
        )

    def better(self, metric: str) -> Direction | None:
        """Which way is better: as declared here, else as ganbench knows its own metrics."""
        return self.directions.get(metric) or better(metric)

    def check_metrics(self, known: Collection[str]) -> None:
        """Raise `UsageError` for a metric that is named here but is not among `known`."""
        named = [*self.metrics, *(metric for _, one in self.cases for metric in one)]
        for metric in named:
            if metric not in known:
                raise unknown("metric", metric, known, "(in the thresholds)")


def parse_fail_above(text: str) -> Thresholds:
    """`throughput=5%,peak_memory=3%,fid=off` -> thresholds. Raises `UsageError`."""
    metrics: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals):
            raise UsageError(
                f"--fail-above '{text}': '{part.strip()}' is not metric=percent, such as "
                "throughput=5%"
            )
        if name in metrics:
            raise UsageError(f"--fail-above '{text}' names {name} twice")
        metrics[name] = _fraction(value, f"--fail-above: {name}")
    return Thresholds(metrics)


def read_thresholds(path: Path) -> Thresholds:
    """Thresholds from TOML: a table `fail_above`, and `[[case]]` tables with a `match` each.

    Raises `UsageError` for a file that can't be read or says something else.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"thresholds '{path}' can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"thresholds '{path}' is not TOML: {error}") from None
    for key in content:
        if key not in (_TABLE, _CASES, _BETTER):
            raise unknown("table", key, [_TABLE, _CASES, _BETTER], f"(in thresholds '{path}')")
    base, cases, declared = (
        content.get(_TABLE, {}),
        content.get(_CASES, []),
        content.get(_BETTER, {}),
    )
    if not isinstance(base, dict) or not isinstance(cases, list) or not isinstance(declared, dict):
        raise UsageError(
            f"thresholds '{path}': write [{_TABLE}] and [{_BETTER}] once, "
            f"and [[{_CASES}]] for each case"
        )
    for metric, direction in declared.items():
        if direction not in ("lower", "higher"):
            raise UsageError(
                f"{path}: {_BETTER}: {metric} is {direction!r}, but must be lower or higher"
            )
    return Thresholds(
        _table(base, f"{path}: {_TABLE}"), tuple(_case(one, path) for one in cases), declared
    )


def _case(table: Any, path: Path) -> tuple[str, Mapping[str, float]]:
    pattern = table.get(_MATCH) if isinstance(table, dict) else None
    if not isinstance(pattern, str):
        raise UsageError(
            f"thresholds '{path}': a [[case]] needs {_MATCH} = \"pattern\" of the case's name, "
            'such as match = "mlp-wgan*"'
        )
    rest = {key: value for key, value in table.items() if key != _MATCH}
    return pattern, _table(rest, f"{path}: case '{pattern}'")


def _table(table: Mapping[str, Any], where: str) -> dict[str, float]:
    return {name: _fraction(value, f"{where}: {name}") for name, value in table.items()}


def parse_percentage(text: str, where: str, alternative: str = "") -> float:
    """`5%` -> 0.05. A bare number could mean either of two things, so it raises `UsageError`."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{where} is {text!r}, but must be a percentage such as 5%{alternative}")
    return float(match.group(1)) / 100


def _fraction(value: object, where: str) -> float:
    text = value if isinstance(value, str) else str(value)
    return math.inf if text.strip() == "off" else parse_percentage(text, where, ", or off")
