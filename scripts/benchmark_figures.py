"""The figures of benchmarks as tables in docs/performance.md, between its markers.

    python -m pytest benchmarks/test_fid.py -m "" --benchmark-only -s --benchmark-json=fid.json
    python scripts/benchmark_figures.py fid.json

What the files hold is merged into benchmarks/data/figures.json, a case's figures in place of its
earlier ones, and all tables are written anew.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from pathlib import Path
from typing import Any

import torch

from ganbench.files import write_text

REPOSITORY = Path(__file__).resolve().parent.parent
KEPT = REPOSITORY / "benchmarks" / "data" / "figures.json"
DOC = REPOSITORY / "docs" / "performance.md"
MARKED = re.compile(r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)", re.DOTALL)


def figures_of(file: Path) -> dict[str, Any]:
    """By benchmark file: the machine, and for each case what it noted and its median time."""
    read = json.loads(file.read_text(encoding="utf-8"))
    machine = {
        "cpu": read["machine_info"]["cpu"].get("brand_raw", read["machine_info"]["processor"]),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": read["datetime"][:10],
    }
    found: dict[str, Any] = {}
    for one in read["benchmarks"]:
        name = Path(one["fullname"].partition("::")[0]).stem
        case = one["name"].removeprefix("test_").replace("[", ": ").removesuffix("]")
        row = {"case": case, **one["extra_info"], "median_ms": 1e3 * one["stats"]["median"]}
        found.setdefault(name, {"machine": machine, "rows": []})["rows"].append(row)
    return found


def question_of(name: str) -> str:
    """The first line of the benchmark's docstring."""
    source = (REPOSITORY / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(source)) or name
    return doc.partition("\n\n")[0].replace("\n", " ")


def table(name: str, figures: dict[str, Any]) -> str:
    machine, rows = figures["machine"], figures["rows"]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [
        f"### `{name}.py`",
        "",
        question_of(name),
        "",
        "| " + " | ".join(column.replace("_", " ") for column in columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(shown(row.get(key)) for key in columns) + " |" for row in rows),
        "",
        f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}; "
        f"{machine['date']}.",
    ]
    return "\n".join(lines)


def shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", help="of --benchmark-json")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for file in options.files:
        for name, found in figures_of(file).items():
            new = {row["case"]: row for row in found["rows"]}
            old = {row["case"]: row for row in kept.get(name, {}).get("rows", [])}
            kept[name] = {**found, "rows": list({**old, **new}.values())}
    kept = dict(sorted(kept.items()))  # columns stay in the order in which a benchmark noted them
    write_text(KEPT, json.dumps(kept, indent=1) + "\n")
    text = "\n\n".join(table(name, kept[name]) for name in kept)
    doc, count = MARKED.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", DOC.read_text())
    if count != 1:
        parser.error(f"{DOC.name} has no pair of figures markers")
    write_text(DOC, doc)


if __name__ == "__main__":
    main()
