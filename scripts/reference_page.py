"""The tables and ranks of the reference sweep, as docs/reference-results.md.

    ganbench sweep results/reference.toml --out results/reference
    python scripts/reference_page.py results/reference --doc docs/reference-results.md

Everything between the page's markers is rewritten from the records; what is written around them by
hand stays. A page that does not exist is begun with the markers and a title.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from ganbench import RunRecord, load_records
from ganbench.files import write_text
from ganbench.index import summary_of
from ganbench.stats.cells import cell_table, remarks_on_cells
from ganbench.stats.draw import draw_ranking
from ganbench.stats.ranks import Ranking, rank
from ganbench.stats.sample import Sample, sample_of
from ganbench.stats.times import Profile, profile_of
from ganbench.stats.words import sentences
from ganbench.tables import to_markdown

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
EMPTY = f"# Reference results\n\n{BEGIN}\n{END}\n"
FACTS = ("cpu", "usable_cores", "threads", "memory_gb", "platform", "python", "torch", "device")


def environment(records: list[RunRecord]) -> str:
    """What the runs were made on and by; every value found, most common first."""
    rows = []
    for fact in FACTS:
        found = Counter(str(one.environment.get(fact)) for one in records if one.environment)
        rows.append({"": fact, "value": ", ".join(value for value, _ in found.most_common())})
    hours = sum(one.elapsed_s for one in records) / 3600
    rows.append({"": "run time in all", "value": f"{hours:.2f} h"})
    statuses = Counter(one.status for one in records)
    rows.append({"": "runs", "value": ", ".join(f"{n} {name}" for name, n in statuses.items())})
    return to_markdown(pd.DataFrame(rows))


def ranks_text(ranking: Ranking, metric: str) -> str:
    table = ranking.table.rename(columns={"median": f"median {metric}", "mean_rank": "mean rank"})
    blocks = ranking.blocks
    said = "\n".join(f"- {line}." for line in [*blocks.notes, *sentences(ranking)])
    return f"{len(blocks)} blocks, {blocks.seeds} seeds.\n\n{to_markdown(table)}\n\n{said}"


def profile_text(profile: Profile, metric: str, target: float, unit: str) -> str:
    table: Any = profile.table.copy()
    table["median_time"] = table["median_time"].map(lambda t: "miss" if t == float("inf") else t)
    table = table.rename(columns={"median_time": "median time"})
    return f"Until {metric} is at most {target:g}, in {unit}:\n\n{to_markdown(table)}"


def step_times(records: list[RunRecord]) -> str:
    """By loss, the median over runs of a step's time, of timings that nothing disturbed."""
    spent: dict[str, list[float]] = {}
    for one in records:
        if one.throughput and one.throughput.timing_valid:
            spent.setdefault(one.spec.loss, []).append(one.throughput.ms_per_step_p50)
    rows = [
        {"loss": loss, "runs": len(values), "ms a step": median(values)}
        for loss, values in sorted(spent.items(), key=lambda item: median(item[1]))
    ]
    return to_markdown(pd.DataFrame(rows))


def section(
    title: str,
    sample: Sample,
    records: list[RunRecord],
    target: float,
    picture: Path,
    doc: Path,
) -> list[str]:
    """Cells, ranks by loss, by optimizer and by both, and times, of one network."""
    metric = sample.metric
    notes = [*sample.notes, *remarks_on_cells(sample, ["loss", "opt"])]
    by_loss = rank(sample, ["loss"])
    profile = profile_of(sample, ["loss"], target, "kimg")
    seconds = profile_of(sample, ["loss"], target, "s")
    draw_ranking(by_loss, picture, profile)
    return [
        f"## {title}",
        to_markdown(cell_table(sample, ["loss", "opt"])),
        *[f"- {note}." for note in notes],
        f"### Losses, by {metric}",
        ranks_text(by_loss, metric),
        f"![mean ranks of the losses, and their performance profiles]"
        f"({picture.relative_to(doc.parent).as_posix()})",
        f"### Optimizers, by {metric}",
        ranks_text(rank(sample, ["opt"]), metric),
        "### Time to target",
        profile_text(profile, metric, target, "thousands of real images"),
        profile_text(seconds, metric, target, "seconds of training"),
        "### Time of a step",
        step_times(records),
    ]


def page(results: Path, metric: str, target: float, doc: Path) -> str:
    records = load_records(results)
    summaries = [summary_of(one) for one in records]
    parts = ["## Environment", environment(records)]
    for generator in sorted({one.spec.generator for one in records}):
        sample = sample_of(summaries, metric, where={"generator": generator})
        name = generator.partition(":")[0]
        picture = doc.parent / "img" / f"reference-{name}.png"
        own = [one for one in records if one.spec.generator == generator]
        parts += section(f"{generator}", sample, own, target, picture, doc)
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder of the sweep")
    parser.add_argument("--doc", type=Path, default=Path("docs/reference-results.md"))
    parser.add_argument("--metric", default="fid")
    parser.add_argument("--target", type=float, default=40.0)
    options = parser.parse_args()
    text = options.doc.read_text(encoding="utf-8") if options.doc.exists() else EMPTY
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    made = page(options.results, options.metric, options.target, options.doc)
    write_text(options.doc, f"{head}{BEGIN}\n\n{made}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
