"""From the flags of `ganbench perf` to a report, what it prints, and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganbench.cli.flags import RunFlags
from ganbench.cli.gate_options import thresholds_of
from ganbench.errors import UsageError
from ganbench.gate.outputs import Outputs

if TYPE_CHECKING:
    from ganbench.gate.report import Row
    from ganbench.gate.thresholds import Thresholds
    from ganbench.spec import RunSpec

__all__ = ["execute_perf"]


def execute_perf(
    flags: RunFlags,
    cases: Sequence[str],
    base: Mapping[str, Any],
    head: Mapping[str, Any],
    limits: tuple[str | None, Path | None],
    extent: tuple[float, int],
    instructions: bool,
    save: Path | None,
    outputs: Outputs,
    quiet: bool,
) -> int:
    """Measure, write the report, return the exit code."""
    from ganbench.perf.checkouts import installation_of
    from ganbench.perf.decision import DEFAULTS, METRICS
    from ganbench.perf.measure import Measurement, measure
    from ganbench.perf.sampling import Design

    max_time_s, min_restarts = extent
    thresholds = thresholds_of(*limits)
    _check_metrics(thresholds, METRICS, instructions)
    if not max_time_s > 0:
        raise UsageError(f"--max-time is {max_time_s:g}, but must be more than 0 seconds")
    if not any(value for side in (base, head) for value in side.values()):
        raise UsageError(
            "nothing to compare: say what base is with --base-ref REV, --base-python PY or "
            "--base-path DIR"
        )
    outputs.check()
    specs = _specs(flags, cases)
    threads = next(iter(specs.values())).threads or 1
    with _ended_by_sigterm(), ExitStack() as stack:
        record = _recorder(save, stack)
        sides = [
            stack.enter_context(installation_of("base", **base)),
            stack.enter_context(installation_of("head", **head, tree=base["ref"] is not None)),
        ]
        wanted = Measurement(
            sides[0],
            sides[1],
            {case: _explicit(spec, threads) for case, spec in specs.items()},
            thresholds.over(DEFAULTS),
            max_time_s,
            Design(threads=threads),
            instructions=instructions,
            min_restarts=min_restarts,
        )
        if instructions and not quiet:
            print("counting instructions under valgrind first: minutes", file=sys.stderr)
        progress = _silent if quiet else _Progress(max_time_s)
        try:
            report = measure(wanted, on_restart=record, progress=progress)
        except KeyboardInterrupt:
            print("\ninterrupted: no verdict", file=sys.stderr)
            return 130
    outputs.write(report)
    return report.exit_code


def _check_metrics(thresholds: Thresholds, timed: Sequence[str], instructions: bool) -> None:
    """Raise `UsageError` for a threshold of what is not measured, or if valgrind is missing."""
    from ganbench.perf.instructions import INSTRUCTIONS, need_valgrind

    thresholds.check_metrics((*timed, INSTRUCTIONS))
    named = [thresholds.metrics, *(exceptions for _, exceptions in thresholds.cases)]
    if instructions:
        need_valgrind()
    elif any(INSTRUCTIONS in metrics for metrics in named):
        raise UsageError(
            "a threshold is given for instructions, which are not counted: add --instructions"
        )


def _specs(flags: RunFlags, cases: Sequence[str]) -> dict[str, RunSpec]:
    """By name: the run of the flags, or one for each --case with the flags over it."""
    if not cases:
        spec = flags.spec()
        return {_name(spec): spec}
    if flags.config is not None:
        raise UsageError("give --config or --case, not both: --case CONFIG measures that run, too")
    found: dict[str, RunSpec] = {}
    for case in cases:
        name = Path(case).name.removesuffix(".toml")
        if name in found:
            raise UsageError(f"two cases are called '{name}'")
        found[name] = RunFlags(case, flags.assignments, flags.settings).spec()
    threads = {spec.threads for spec in found.values()}
    if len(threads) > 1:
        raise UsageError("the cases differ in threads: measure them in runs of their own")
    return found


def _name(spec: RunSpec) -> str:
    """`mlp-nonsat-adam`, the words that a run's folder begins with."""
    opts = spec.opt_g if spec.opt_g == spec.opt_d else f"{spec.opt_g}~{spec.opt_d}"
    return f"{spec.generator}-{spec.loss}-{opts}"


def _explicit(spec: RunSpec, threads: int) -> dict[str, Any]:
    """The settings that somebody set: an older base need not know the others. No metrics, for
    they are not measured."""
    given = spec.model_dump(mode="json", exclude_unset=True)
    for name in ("data_root", "extractor_weights"):
        if given.get(name):
            given[name] = str(Path(given[name]).absolute())
    return {**given, "threads": threads, "metrics": []}


def _recorder(save: Path | None, stack: ExitStack) -> Any:
    from ganbench.perf.evidence import write_restart

    if save is None:
        return lambda _restart: None
    try:
        file = stack.enter_context(save.open("a", encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--save '{save}' can't be written: {error.strerror}") from None
    return lambda restart: write_restart(file, restart)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the workers as Ctrl-C does."""
    import signal

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Progress:
    """A line on stderr, written over at a terminal, else one for each look."""

    def __init__(self, max_time_s: float) -> None:
        self._max_time_s = max_time_s
        self._shown: Sequence[Row] = ()

    def __call__(self, n: int, elapsed_s: float, rows: Sequence[Row]) -> None:
        from ganbench.gate import words

        terminal = sys.stderr.isatty()
        if not terminal and rows is self._shown:
            return
        self._shown = rows
        figures = ", ".join(
            f"{row.metric} {words.change(row)} worse ({words.interval(row)})"
            for row in rows
            if row.gated
        )
        text = f"{n} restarts, {elapsed_s:.0f} of {self._max_time_s:.0f} s  {figures}"
        print(f"\r\033[K{text[:150]}" if terminal else text, end="" if terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip


def _silent(_n: int, _elapsed_s: float, _rows: Sequence[Row]) -> None:
    pass
