"""Search for sgd's default learning rate and momentum on the article's MLP.

    python scripts/search_sgd.py --seeds 2

Every run lands in a results folder of its own, so that an interrupted search goes on where it
was. The table between the markers of docs/sgd.md is rewritten from the records.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import pandas as pd

import ganbench

RATES = (0.01, 0.02, 0.03, 0.05, 0.1)
MOMENTA = (0.0, 0.5, 0.8)
BEGIN, END = "<!-- search: begin -->", "<!-- search: end -->"


def search(out: Path, seeds: int, steps: int | None) -> pd.DataFrame:
    """One row a run: lr, momentum, seed, status and the metrics."""
    rows = []
    for seed, lr, momentum in itertools.product(range(seeds), RATES, MOMENTA):
        settings = {} if steps is None else {"steps": steps}
        spec = ganbench.RunSpec(  # one thread: it is not slowed down by what else runs
            loss="nonsat",
            opt=f"sgd:lr={lr},momentum={momentum}",
            seed=seed,
            threads=1,
            metrics="fid,precision-recall",
            **settings,
        )
        record = ganbench.run(spec, out)
        if record.status == "interrupted":
            raise SystemExit(130)
        values = record.evaluated.values if record.evaluated else {}
        rows.append({"lr": lr, "momentum": momentum, "seed": seed, "status": record.status})
        rows[-1] |= {key: values.get(key) for key in ("fid", "precision", "recall")}
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame) -> str:
    """The median over seeds of each rate and momentum, best FID first, as Markdown."""
    groups = runs.groupby(["lr", "momentum"])
    table = groups[["fid", "precision", "recall"]].median()
    table["diverged"] = groups["status"].agg(lambda status: (status == "diverged").sum())
    table["seeds"] = groups.size()
    return table.sort_values("fid").reset_index().to_markdown(index=False, floatfmt=".4g")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/sgd-search"))
    parser.add_argument("--doc", type=Path, default=Path("docs/sgd.md"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=None)
    options = parser.parse_args()
    table = summarise(search(options.out, options.seeds, options.steps))
    text = options.doc.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    options.doc.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
