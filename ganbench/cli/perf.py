"""`ganbench perf`: two installations measured against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganbench.cli.flags import OUTPUT, RunFlags, flag, takes_a_run
from ganbench.cli.gate_options import (
    Annotations,
    AsJson,
    FailAbove,
    GithubBenchmark,
    Junit,
    Markdown,
    ThresholdsFile,
)

if TYPE_CHECKING:
    pass

__all__ = ["perf"]

_SIDES = "What is compared"


@takes_a_run
def perf(
    flags: RunFlags,
    base_python: Annotated[
        str | None,
        flag("--base-python", "Python that has base installed. Default: this one.", _SIDES, "PY"),
    ] = None,
    head_python: Annotated[
        str | None,
        flag("--head-python", "Python that has head installed. Default: this one.", _SIDES, "PY"),
    ] = None,
    base_path: Annotated[
        Path | None,
        flag("--base-path", "Folder that goes before base's packages.", _SIDES, "DIR"),
    ] = None,
    head_path: Annotated[
        Path | None,
        flag("--head-path", "Folder that goes before head's packages.", _SIDES, "DIR"),
    ] = None,
    base_ref: Annotated[
        str | None,
        flag("--base-ref", "Base is this commit of the repository here.", _SIDES, "REV"),
    ] = None,
    head_ref: Annotated[
        str | None,
        flag("--head-ref", "Head is this commit. Default: the files as they are.", _SIDES, "REV"),
    ] = None,
    cases: Annotated[
        list[str] | None,
        flag("--case", "A preset or file to measure; repeatable.", _SIDES, "NAME|FILE"),
    ] = None,
    fail_above: FailAbove = None,
    thresholds: ThresholdsFile = None,
    max_time: Annotated[
        float, flag("--max-time", "Decide within so many seconds. Default: 180.", "What fails", "S")
    ] = 180.0,
    min_restarts: Annotated[
        int, flag("--min-restarts", "Go on to N however clear it is.", "What fails", "N")
    ] = 0,
    instructions: Annotated[
        bool,
        flag("--instructions", "Count instructions, too (valgrind; minutes).", "What fails"),
    ] = False,
    save: Annotated[
        Path | None,
        flag("--save", "Add the chunk timings to this file of JSON lines.", OUTPUT, "FILE"),
    ] = None,
    as_json: AsJson = False,
    markdown: Markdown = None,
    junit: Junit = None,
    github_benchmark: GithubBenchmark = None,
    annotations: Annotations = False,
    quiet: Annotated[bool, flag("--quiet", "Show no progress.", OUTPUT)] = False,
) -> None:
    """Measure whether head is slower, or needs more memory, than base.

    Fresh workers of both take turns until an interval lies clearly on one side of the threshold.
    Exit codes: 0 ok, 3 regressed, 4 inconclusive, 1 a side failed, 2 usage.

    Default: --fail-above throughput=2%,peak_memory=3%,memory_growth=10%. Wall time is reported,
    as are instructions unless --fail-above names them.

    Examples:

      ganbench perf --base-ref main

      ganbench perf --base-python old/.venv --head-python new/.venv --loss wgan --opt rmsprop

      ganbench perf --base-ref v1.2 --case article --fail-above throughput=5%
    """
    from ganbench.cli.perf_request import execute_perf
    from ganbench.gate.outputs import Outputs

    code = execute_perf(
        flags,
        cases or [],
        {"python": base_python, "path": base_path, "ref": base_ref},
        {"python": head_python, "path": head_path, "ref": head_ref},
        (fail_above, thresholds),
        (max_time, min_restarts),
        instructions,
        save,
        Outputs(as_json, markdown, junit, github_benchmark, annotations),
        quiet,
    )
    raise typer.Exit(code)
