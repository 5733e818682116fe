"""Measure ganbench beside other ways to train the same GAN, and write docs/performance.md's table.

    python benchmarks/peers/run.py --docs docs/performance.md

Goes on where an earlier call stopped, as long as machine and torch are the same; --fresh starts
over. About an hour on a quiet machine with two cores. Peers are installed from PyPI,
each into an environment of its own under benchmarks/peers/.environments; one that can't be is a
row that says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch  # noqa: E402
from measure import logs_folder, measure  # noqa: E402
from process import Process, Unavailable  # noqa: E402
from roster import CONTENDERS, HARNESS, WORKS  # noqa: E402
from table import render  # noqa: E402

from ganbench.devices import describe, usable_cores  # noqa: E402
from ganbench.files import write_text  # noqa: E402

RESULTS = HERE.parent / "data" / "peers.json"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


def main() -> None:
    args = _arguments()
    results = _results(args)
    if not args.table_only:
        _measure(args, results)
    table = render(results)
    print(table)
    if args.docs:
        text = args.docs.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        write_text(args.docs, f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [f"{work.network}-{work.batch_size}" for work in WORKS]
    keys = [entry.key for entry in CONTENDERS]
    parser.add_argument("--works", nargs="+", choices=names, default=names)
    parser.add_argument("--contenders", nargs="+", choices=keys, default=keys)
    parser.add_argument("--rounds", type=int, default=6, help="each in new processes")
    parser.add_argument("--pairs", type=int, default=4, help="of blocks, in a round")
    parser.add_argument("--block-s", type=float, default=0.8, help="seconds of a block")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, help="page that has the table between its markers")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--table-only", action="store_true", help="measure nothing")
    return parser.parse_args()


def _results(args: argparse.Namespace) -> dict[str, Any]:
    """What an earlier call on this machine measured, else nothing."""
    machine = {
        "cpu": describe(torch.device("cpu"))["cpu"],
        "threads": args.threads,
        "torch": version("torch"),
    }
    if args.out.exists() and not args.fresh:
        earlier: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8"))
        same = machine.items() <= earlier["machine"].items()
        if args.table_only or same:
            return earlier
        print(f"{args.out} is of another machine or torch: starting over", file=sys.stderr)
    return {"machine": {**machine, "date": date.today().isoformat()}, "works": {}}


def _measure(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Rounds of each configuration, in turn. Each round has processes of its own: two processes
    that run the same steps differ for life, by where their memory comes to lie."""
    entries = [*HARNESS.values(), *(one for one in CONTENDERS if one.key in args.contenders)]
    left_out = {one.key: "left out" for one in CONTENDERS if one not in entries}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for round_ in range(args.rounds):
        for work in WORKS:
            name = f"{work.network}-{work.batch_size}"
            found = results["works"].setdefault(name, {"rounds": []})
            if name not in args.works or len(found["rounds"]) > round_:
                continue
            print(f"{name}: round {round_ + 1} of {args.rounds}", file=sys.stderr)
            processes: dict[str, Process] = {}
            absent = dict(left_out)
            try:
                for entry in entries:
                    try:
                        processes[entry.key] = Process(entry, args.threads, logs_folder())
                    except Unavailable as error:
                        absent.setdefault(entry.key, str(error))
                measure(
                    work,
                    processes,
                    absent,
                    block_s=args.block_s,
                    pairs=args.pairs,
                    found=found,
                )
            finally:
                for process in processes.values():
                    process.close()
            write_text(args.out, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
