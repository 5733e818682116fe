"""Put the tables and pictures of a results folder into README.md, between its markers.

python scripts/update_readme.py results
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from PIL import Image

from ganbench import RunRecord, load_records
from ganbench.cli.concise import concise_tables
from ganbench.tables import fid_frame, throughput_frame

REPOSITORY = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- demo: begin[^>]*-->\n).*?(<!-- demo: end -->)", re.DOTALL)


def save_picture(results: Path, record: RunRecord) -> Path:
    """The run's sample grid as a small grey PNG in docs/img."""
    picture = REPOSITORY / "docs" / "img" / f"demo-{record.spec.opt_g.partition(':')[0]}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(results / "runs" / record.run_id / "samples.png") as image:
        image.convert("L").save(picture, optimize=True)
    return picture


def demo_text(results: Path) -> str:
    """The tables, the machine they were made on, and the pictures side by side."""
    records = load_records(results)
    environment = records[0].environment
    machine = (
        f"Made on {environment['threads']} threads of {environment['cpu'] or environment['device']}"
        f" with torch {environment['torch']}."
    )
    drawn = [one for one in records if (results / "runs" / one.run_id / "samples.png").exists()]
    titles = "| " + " | ".join(f"`--opt {one.spec.opt_g}`" for one in drawn) + " |"
    cells = [
        f"![samples of {one.spec.opt_g}]({save_picture(results, one).relative_to(REPOSITORY)})"
        for one in drawn
    ]
    pictures = f"{titles}\n|{'---|' * len(drawn)}\n| {' | '.join(cells)} |"
    tables = concise_tables(throughput_frame(records), fid_frame(records))
    return f"{tables}\n{machine}\n\n{pictures}\n"


def main() -> None:
    """Rewrite README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="the folder that `make demo` wrote")
    results = parser.parse_args().results
    readme = REPOSITORY / "README.md"
    text = demo_text(results)
    replaced, count = MARKED.subn(lambda found: found[1] + text + found[2], readme.read_text())
    if count != 1:
        parser.error("README.md has no pair of demo markers")
    readme.write_text(replaced)


if __name__ == "__main__":
    main()
