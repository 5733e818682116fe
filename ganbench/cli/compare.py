"""`ganbench compare`: is HEAD worse than BASE?"""

from __future__ import annotations

from typing import Annotated

import typer

from ganbench.cli.gate_options import (
    Annotations,
    AsJson,
    FailAbove,
    GithubBenchmark,
    Junit,
    Markdown,
    ThresholdsFile,
    thresholds_of,
)

__all__ = ["compare"]


def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="What it was.", show_default=False)],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="What it is.", show_default=False)],
    fail_above: FailAbove = None,
    thresholds: ThresholdsFile = None,
    session_allowance: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="How far this machine's speed moves between sessions.",
            rich_help_panel="What fails",
        ),
    ] = None,
    as_json: AsJson = False,
    markdown: Markdown = None,
    junit: Junit = None,
    github_benchmark: GithubBenchmark = None,
    annotations: Annotations = False,
) -> None:
    """Compare two sets of results: throughput, memory and quality, seed by seed.

    BASE and HEAD are results folders, their throughput.csv or fid.csv, or JSON
    files of pytest-benchmark (a file, a folder, or a pattern in quotes).

    Each figure is ok, regressed or inconclusive, with a confidence interval.
    Exit codes: 0 ok, 3 regressed, 4 inconclusive, 1 can't be compared.

    Examples:

      ganbench compare results-main results-branch --fail-above fid=2%,throughput=off

      ganbench compare "base-*.json" "head-*.json" --markdown comment.md
    """
    from ganbench.gate.outputs import Outputs
    from ganbench.gate.thresholds import parse_percentage

    outputs = Outputs(as_json, markdown, junit, github_benchmark, annotations)
    outputs.check()
    given = thresholds_of(fail_above, thresholds)
    allowance = None
    if session_allowance is not None:
        allowance = parse_percentage(session_allowance, "--session-allowance")
    from ganbench.compare import compare_places

    report = compare_places(base, head, given, session_allowance=allowance)
    outputs.write(report)
    raise typer.Exit(report.exit_code)
