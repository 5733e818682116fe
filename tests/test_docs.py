"""The documentation's links and the commands it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ganbench.cli.config import make_spec
from ganbench.cli.run import run
from ganbench.plan import make_plan

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
RUN = re.compile(r"^ganbench run (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    targets = [target for target in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_page_of_the_docs_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def commands_of_the_readme() -> list[str]:
    return RUN.findall((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("command", commands_of_the_readme())
def test_the_readmes_runs_can_be_planned(command, registry):
    words = command.split()
    given = dict(zip(words[::2], words[1::2], strict=True))
    config = given.pop("--config", None)
    assert {flag.removeprefix("--").replace("-", "_") for flag in given} <= {*run.__annotations__}
    assignments = [f"{flag.removeprefix('--').replace('-', '_')}={v}" for flag, v in given.items()]
    make_plan(make_spec(config, [*assignments, "device=cpu"], {}), registry)
