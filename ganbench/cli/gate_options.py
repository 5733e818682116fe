"""The flags that `ganbench compare` and `ganbench perf` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ganbench.gate.thresholds import Thresholds

__all__ = [
    "Annotations",
    "AsJson",
    "FailAbove",
    "GithubBenchmark",
    "Junit",
    "Markdown",
    "ThresholdsFile",
    "thresholds_of",
]

_VERDICT, _OUTPUT = "What fails", "Output"

FailAbove = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC=PERCENT,…",
        help="How much worse fails: throughput=5%,fid=2%,recall=off.",
        rich_help_panel=_VERDICT,
    ),
]
ThresholdsFile = Annotated[
    Path | None,
    typer.Option(
        "--thresholds",
        metavar="FILE",
        help="TOML: \\[fail_above], and \\[\\[case]] exceptions by name.",
        rich_help_panel=_VERDICT,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the report as JSON, and nothing else.", rich_help_panel=_OUTPUT
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A pull request's comment.", rich_help_panel=_OUTPUT),
]
Junit = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JUnit XML.", rich_help_panel=_OUTPUT)
]
GithubBenchmark = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="JSON for github-action-benchmark (customSmallerIsBetter).",
        rich_help_panel=_OUTPUT,
    ),
]
Annotations = Annotated[
    bool,
    typer.Option("--annotations", help="Print GitHub annotations.", rich_help_panel=_OUTPUT),
]


def thresholds_of(fail_above: str | None, file: Path | None) -> Thresholds:
    """What the two flags say; `--fail-above` wins over the file's [fail_above]."""
    from ganbench.gate.thresholds import Thresholds, parse_fail_above, read_thresholds

    given = read_thresholds(file) if file is not None else Thresholds({})
    if fail_above is None:
        return given
    metrics = {**given.metrics, **parse_fail_above(fail_above).metrics}
    return Thresholds(metrics, given.cases, given.directions)
