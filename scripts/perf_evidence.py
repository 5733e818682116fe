"""Error rates of `ganbench perf` on this machine, measured. What it takes is kept as data.

    python scripts/perf_evidence.py all              what follows, in turns; about 80 minutes
    python scripts/perf_evidence.py calibrate        how much extra work is 1, 3, 5 % of a step
    python scripts/perf_evidence.py aa               40 runs of the same code, half under load
    python scripts/perf_evidence.py power            20 runs against a planted 5 %; 10 under load
    python scripts/perf_evidence.py planted          one run for each kind of regression
    python scripts/perf_evidence.py record           long runs of 1 and 3 %, for the replays
    python scripts/perf_evidence.py replay           2,000 decisions of each from what was recorded
    python scripts/perf_evidence.py summary --doc docs/performance-gate.md

Every run is a real `ganbench perf`, at its defaults, on the article's networks at batch 128. Its
verdict is a line of runs.csv and its chunk timings a file of evidence/, written when it ends; the
same command again goes on from there. Measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from perf_replay import replay_all
from perf_summary import write_summary
from planted import EXTRA, PLANTS, Plant, extra_work, plant

COLUMNS = ("kind", "run", "load", "verdict", "named", "exit_code", "elapsed_s", "n", "worsening",
           "low", "high", "twin_low", "twin_high")  # fmt: skip
SETTINGS = ["--config", "article", "--device", "cpu"]
LOADS = ("none", "bursts")
NOTHING = Plant("the same code", "", ())
# Bursts of work on both cores, on and off: a neighbour that comes and goes.
_BURST = "import numpy as np; a = np.random.rand(600, 600)\nwhile True: a @ a"


class Folder:
    """Where the data is: runs.csv, planted.json, evidence/<kind>-<run>.jsonl.gz."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs.csv"
        self.amounts = root / "planted.json"
        (root / "evidence").mkdir(parents=True, exist_ok=True)

    def evidence(self, kind: str, run: int) -> Path:
        return self.root / "evidence" / f"{kind}-{run:02d}.jsonl.gz"

    def done(self) -> set[tuple[str, int]]:
        if not self.runs.exists():
            return set()
        with self.runs.open() as file:
            return {(row["kind"], int(row["run"])) for row in csv.DictReader(file)}

    def add(self, row: dict[str, Any]) -> None:
        new = not self.runs.exists()
        with self.runs.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            os.fsync(file.fileno())

    def rows_for(self, percent: int) -> int:
        if not self.amounts.exists():
            raise SystemExit(f"{self.amounts} is not there: run calibrate first")
        return int(json.loads(self.amounts.read_text())["rows"][str(percent)])


@contextmanager
def load(wanted: bool) -> Iterator[None]:
    """While the body runs: bursts of 2 to 8 s on one or two processes, and pauses as long."""
    if not wanted:
        yield
        return
    code = f"""
import random, subprocess, sys, time, os
while os.getppid() == {os.getpid()}:
    burst = [subprocess.Popen([sys.executable, '-c', {_BURST!r}])
             for _ in range(random.choice([1, 2]))]
    time.sleep(random.uniform(2, 8))
    for one in burst: one.kill(); one.wait()
    time.sleep(random.uniform(2, 8))
"""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    neighbour = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, env=variables
    )
    try:
        yield
    finally:
        os.killpg(neighbour.pid, 9)
        neighbour.wait()


def perf_run(
    folder: Folder,
    kind: str,
    run: int,
    one: Plant,
    *,
    loaded: bool = False,
    arguments: tuple[str, ...] = (),
) -> None:
    """One `ganbench perf` against a copy with `one` planted; its row and its evidence are kept."""
    if (kind, run) in folder.done():
        return
    with tempfile.TemporaryDirectory(prefix="planted-") as scratch, load(loaded):
        base = plant(NOTHING, Path(scratch) / "base")
        head = plant(one, Path(scratch) / "head")
        save = Path(scratch) / "evidence.jsonl"
        command = [sys.executable, "-m", "ganbench", "perf", *(one.flags or SETTINGS)]
        command += ["--base-path", str(base), "--head-path", str(head), "--json", "--quiet"]
        command += ["--save", str(save), *arguments]
        begun = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        elapsed_s = time.monotonic() - begun
        if done.returncode not in (0, 3, 4):  # a row as well, and the next one may do better
            print(f"{kind} {run}: exit code {done.returncode}\n{done.stdout}", flush=True)
            about = (kind, run, LOADS[loaded], "failed", "", done.returncode)
            folder.add(dict(zip(COLUMNS, (*about, round(elapsed_s, 1)), strict=False)))
            return
        report = json.loads(done.stdout)
        with save.open("rb") as source, gzip.open(folder.evidence(kind, run), "wb") as target:
            shutil.copyfileobj(source, target)
    folder.add(row_of(kind, run, loaded, report, done.returncode, elapsed_s, one))


def row_of(
    kind: str, run: int, loaded: bool, report: Any, code: int, elapsed_s: float, one: Plant
) -> dict[str, Any]:
    rows = {row["metric"]: row for row in report["rows"]}
    figure, twin = rows[one.metric or "throughput"], rows["throughput A/A"]
    named = "+".join(m for m, row in rows.items() if row["verdict"] == "regressed")
    row = {
        "kind": kind,
        "run": run,
        "load": LOADS[loaded],
        "verdict": report["verdict"],
        "named": named,
        "exit_code": code,
        "elapsed_s": round(elapsed_s, 1),
        "n": figure["n"],
        **{key: _rounded(figure[key]) for key in ("worsening", "low", "high")},
        **{f"twin_{key}": _rounded(twin[key]) for key in ("low", "high")},
    }
    print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    return row


def _rounded(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value


def _compiled(code: str) -> CodeType:
    return compile(textwrap.dedent(code), "extra", "exec")


def calibrate(folder: Folder, options: argparse.Namespace) -> None:
    """Find how many rows of extra work take 1, 3 and 5 % of a step, interleaved in one process.

    Between the amounts that are timed, the medians of CPU time are joined by lines.
    """
    import numpy as np
    import torch

    from ganbench.cli.config import make_spec
    from ganbench.game import build_game
    from ganbench.plan import make_plan
    from ganbench.registry import default_registry
    from ganbench.streams import isolated

    torch.set_num_threads(1)
    spec = make_spec("article", ["device=cpu", "metrics=none"], {})
    plan = make_plan(spec, default_registry())
    with isolated():
        game = build_game(plan, plan.data.create(None), torch.device("cpu"))
        rule = plan.rule.create()
        amounts: list[int] = [0, 256, 512, 1024, 1536, 2048]
        extra = {rows: _compiled(EXTRA.format(rows=rows)) for rows in amounts}
        times: dict[int, list[float]] = {rows: [] for rows in amounts}
        for _ in range(options.times or 200):
            for rows in random.sample(amounts, len(amounts)):
                begun = time.process_time()
                exec(extra[rows], {"torch": torch, "self": game})
                game.play(rule)
                times[rows].append(time.process_time() - begun)
    seconds = [float(np.median(times[rows])) for rows in amounts]
    more = np.maximum.accumulate(np.subtract(seconds, seconds[0]))
    rows = {p: round(float(np.interp(p / 100 * seconds[0], more, amounts))) for p in (1, 3, 5)}
    medians_s = dict(zip(amounts, seconds, strict=True))
    content = {"step_s": seconds[0], "rows": rows, "medians_s": medians_s}
    folder.amounts.write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))


def aa(folder: Folder, options: argparse.Namespace) -> None:
    for run in range(options.runs or 40):
        if options.load in (None, LOADS[run % 2]):
            perf_run(folder, "aa", run, NOTHING, loaded=run % 2 == 1)


def power(folder: Folder, options: argparse.Namespace) -> None:
    for run in range(options.runs or 30):
        if options.load in (None, LOADS[run >= 20]):
            perf_run(folder, "slow5", run, extra_work(folder.rows_for(5)), loaded=run >= 20)


def planted(folder: Folder, options: argparse.Namespace) -> None:
    for kind, one in PLANTS.items():
        for run in range(options.runs or 1):
            perf_run(folder, kind, run, one)


def record(folder: Folder, options: argparse.Namespace) -> None:
    """Runs of 3 and 1 % that go on to 40 restarts however clear it is; half of them under load."""
    for run in range(options.runs or 4):
        for percent in (3, 1):
            one = extra_work(folder.rows_for(percent))
            never = ("--min-restarts", "40", "--max-time", "150")
            perf_run(folder, f"long{percent}", run, one, loaded=run % 2 == 1, arguments=never)


def everything(folder: Folder, options: argparse.Namespace) -> None:
    """All of it, in an order that leaves something of each if it is cut short."""
    if not folder.amounts.exists():
        calibrate(folder, options)
    planted(folder, options)
    record(folder, options)
    for n in range(1, 41):
        options.runs = n
        aa(folder, options)
        options.runs = min(n, 30)
        power(folder, options)
    replay_all(folder.root, options.times or 2000)
    write_summary(folder.root, options.doc)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = {
        "all": everything,
        "calibrate": calibrate,
        "aa": aa,
        "power": power,
        "planted": planted,
        "record": record,
        "replay": lambda folder, o: replay_all(folder.root, o.times or 2000),
        "summary": lambda folder, o: write_summary(folder.root, o.doc),
    }
    parser.add_argument("step", choices=steps)
    parser.add_argument("--data", type=Path, default=Path("benchmarks/data/perf"))
    parser.add_argument("--runs", type=int, help="how many runs instead of the usual number")
    parser.add_argument("--load", choices=LOADS, help="only the runs with this background load")
    parser.add_argument("--times", type=int, help="replays of each kind; steps that calibrate")
    parser.add_argument("--doc", type=Path, default=Path("docs/performance-gate.md"))
    options = parser.parse_args()
    steps[options.step](Folder(options.data), options)


if __name__ == "__main__":
    main()
