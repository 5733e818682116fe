"""Decisions of `ganbench perf` replayed from the chunk timings of real runs.

A replay draws one recorded run, then restarts from it with replacement, and within each restart its
blocks with replacement. So a replay keeps what the restarts of a run share (the processes they were
forked from, the state of the machine), and everything else is drawn anew. It then goes through the
rule as a run does, look by look, and ends when the run would: at a verdict, or after 180 s of
restarts as long as the recorded ones.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganbench.perf.decision import ALPHA, DEFAULTS, decide
from ganbench.perf.evidence import ARMS, Restart, read_restarts
from ganbench.perf.intervals import Interval, alpha_of_look, centre_interval, looks

__all__ = ["QUESTIONS", "recorded_runs", "replay_all", "replay_once"]

_MAX_TIME_S = 180.0
_GATED = 3  # throughput, peak_memory and memory_growth share ALPHA, as in a run

# What is replayed: the recorded kinds that show it, and the threshold.
QUESTIONS = (
    ("A/A", ("aa",), DEFAULTS["throughput"]),
    ("5 % slower", ("slow5",), DEFAULTS["throughput"]),
    ("3 % slower", ("long3",), DEFAULTS["throughput"]),
    ("1 % slower, threshold 0.5 %", ("long1",), 0.005),
)


@dataclass(frozen=True, slots=True)
class Run:
    """The log times of a run's blocks: (restarts, blocks, arms), and seconds a restart takes."""

    logs: NDArray[np.float64]
    restart_s: float


def load_run(restarts: Sequence[Restart]) -> Run:
    logs = []
    for one in restarts:
        blocks = 1 + max(chunk.block for chunk in one.chunks)
        times = np.zeros((blocks, len(ARMS)))
        for chunk in one.chunks:
            times[chunk.block, ARMS.index(chunk.arm)] += chunk.cpu_s
        logs.append(np.log(times))
    return Run(np.array(logs), float(np.mean([one.elapsed_s for one in restarts])))


def recorded_runs(root: Path, kinds: Sequence[str]) -> list[Run]:
    """Every run of these kinds whose evidence is kept."""
    files = [sorted((root / "evidence").glob(f"{kind}-*.jsonl.gz")) for kind in kinds]
    return [load_run(list(read_restarts(file))) for some in files for file in some]


def draw(run: Run, n: int, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """n restarts: log-ratios of head and of the twin, as `Restart.log_ratio` has them."""
    restarts, blocks, _ = run.logs.shape
    chosen = rng.integers(restarts, size=n)
    logs = run.logs[chosen[:, None], rng.integers(blocks, size=(n, blocks))]
    base, head, twin = (logs[..., i] for i in range(len(ARMS)))
    change = np.median(head - base, axis=1)
    return change.tolist(), np.median(twin - base, axis=1).tolist()


def replay_once(run: Run, threshold: float, rng: np.random.Generator) -> tuple[str, int]:
    """The verdict and after how many restarts."""
    most = max(12, int(_MAX_TIME_S / run.restart_s))
    change, twin = draw(run, most, rng)
    stops = looks(most)
    stops += [most] if stops[-1] != most else []
    verdict = "inconclusive"
    for look, n in enumerate(stops, start=1):
        alpha = alpha_of_look(ALPHA / _GATED, look)
        intervals = (_relative(centre_interval(logs[:n], alpha)) for logs in (change, twin))
        verdict = decide(*intervals, threshold).verdict
        if verdict != "inconclusive":
            break
    return verdict, n


def _relative(logs: Interval) -> Interval:
    return Interval(*np.expm1([logs.estimate, logs.low, logs.high]))


def replay_all(root: Path, times: int) -> None:
    """Answer each question `times` times and write replays.csv."""
    rng = np.random.default_rng(0)
    lines = []
    for question, kinds, threshold in QUESTIONS:
        files = [
            f for kind in kinds for f in sorted((root / "evidence").glob(f"{kind}-*.jsonl.gz"))
        ]
        runs = [load_run(list(read_restarts(file))) for file in files]
        if not runs:
            print(f"{question}: nothing recorded")
            continue
        found = [replay_once(runs[rng.integers(len(runs))], threshold, rng) for _ in range(times)]
        counts = {v: sum(verdict == v for verdict, _ in found) for v in
                  ("ok", "regressed", "inconclusive")}  # fmt: skip
        restarts = sum(len(run.logs) for run in runs)
        n = float(np.median([n for _, n in found]))
        lines.append({"question": question, "threshold": threshold, "runs": len(runs),
                      "restarts": restarts, "replays": times, **counts, "median_n": n})  # fmt: skip
        print(lines[-1], flush=True)
    with (root / "replays.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
