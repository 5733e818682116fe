"""What a run's end says: what became of it, its numbers, and where its files are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ganbench.record import Evaluated, Throughput
from ganbench.store import Outcome
from ganbench.tables import readable

__all__ = ["summary_lines"]

_FILES = {
    "samples.png": "samples",
    "history.csv": "losses",
    "generator.safetensors": "generator",
    "record.json": "record",
    "error.txt": "traceback",
}
_LABELS = {"fid": "FID", "kid": "KID"}
_LABEL_WIDTH = 25


def summary_lines(outcome: Outcome, out: Path) -> Iterator[str]:
    """The closing summary, line by line."""
    record = outcome.record
    yield _headline(outcome)
    if record.throughput:
        yield from _throughput(record.throughput)
    if record.evaluated:
        yield from _evaluated(record.evaluated)
    for name, label in _FILES.items():
        if (outcome.folder / name).exists():
            yield _row(label, outcome.folder / name)
    yield _row("tables", f"{out / 'throughput.md'}  {out / 'fid.md'}")


def _headline(outcome: Outcome) -> str:
    record = outcome.record
    what = f"{record.steps_done} steps, {record.nimg} real images shown, {record.elapsed_s:.1f} s"
    match record.status:
        case "completed":
            text = f"completed: {what}"
        case "diverged":
            text = (
                f"diverged at step {record.diverged_step}: a loss or weight stopped being finite. "
                f"That is this run's result; its history is kept ({what})"
            )
        case "interrupted":
            text = (
                f"interrupted after step {record.steps_done} of {record.spec.steps}: "
                "the same command goes on from there"
            )
        case "failed":
            text = f"failed: {record.error}"
    found = "already done, found again (--force runs it anew). It " if outcome.already_done else ""
    return found + text


def _throughput(speed: Throughput) -> Iterator[str]:
    yield _row(
        "throughput",
        f"{speed.images_per_s:,.0f} images/s "
        f"(p10 {speed.images_per_s_p10:,.0f}, p90 {speed.images_per_s_p90:,.0f}), "
        f"{speed.ms_per_step_p50:.3g} ms/step, peak memory {speed.peak_memory_mb:,.0f} MB, "
        f"{speed.fraction_of_peak:.0%} of the measured matmul rate",
    )


def _evaluated(evaluated: Evaluated) -> Iterator[str]:
    by = f" ({evaluated.extractor})" if evaluated.extractor else ""
    values = dict(evaluated.values)
    kid_std = values.pop("kid_std", None)
    for key, value in values.items():
        spread = f" ± {kid_std:.2g} between subsets" if key == "kid" and kid_std else ""
        yield _row(f"{_LABELS.get(key, key)}{by}", f"{readable(value)}{spread}")
    yield _row("of", f"{evaluated.n_fake:,} generated against {evaluated.n_real:,} real")


def _row(label: str, text: object) -> str:
    return f"  {label:<{_LABEL_WIDTH}} {text}"
