"""Write the reference of a kind of component into a page of the docs, from its docstrings.

    python scripts/list_components.py loss docs/losses.md

Replaces what stands between the page's markers `<!-- components: begin -->` and `end`.
"""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

from ganbench.factories import Option, options_of
from ganbench.grammar import format_component
from ganbench.plan import GIVEN_BY_HARNESS
from ganbench.registry import Registered, default_registry

BEGIN, END = "<!-- components: begin -->", "<!-- components: end -->"
_ARXIV = re.compile(r"\(arXiv:(\d{4}\.\d{4,5})\)")
_PAPER = re.compile(
    r"((?:[A-ZŠØ][\w\-’ńøŠé]*(?: (?:&|et al\.))? ?)+(?:\d{4}))\s*\(arXiv:([\d.]+)\)"
)


def reference(kind: str) -> str:
    """A table of all components of a kind, and each one's docstring."""
    components = list(default_registry().components(kind))
    rows = ["| Name | What it is | Options | Paper |", "|---|---|---|---|"]
    rows += [_row(one) for one in components]
    return "\n".join(rows) + "\n\n" + "\n\n".join(map(_section, components)) + "\n"


def renew(page: str, kind: str) -> str:
    """The page with its reference renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference(kind)}{END}{after}"


def _row(component: Registered) -> str:
    doc = " ".join((inspect.getdoc(component.factory) or "").split())
    papers = dict.fromkeys(_PAPER.findall(doc))
    links = ", ".join(f"[{name}](https://arxiv.org/abs/{arxiv})" for name, arxiv in papers)
    options = ", ".join(f"`{_written(one)}`" for one in _options(component))
    name = f"[`{component.name}`](#{component.name})"
    cells = (name, component.summary, options or "none", links)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section(component: Registered) -> str:
    doc = inspect.getdoc(component.factory) or ""
    doc = doc.replace("\nImplementations differ", "\n\nImplementations differ")
    return f"### {component.name}\n\n" + _ARXIV.sub(r"([\1](https://arxiv.org/abs/\1))", doc)


def _options(component: Registered) -> list[Option]:
    return list(options_of(component.factory, GIVEN_BY_HARNESS.get(component.kind, 0)).values())


def _written(option: Option) -> str:
    if option.required:
        return option.name
    if option.default is None:
        return f"{option.name} (none)"
    return format_component("", {option.name: option.default}).removeprefix(":")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    page = arguments.page.read_text(encoding="utf-8")
    arguments.page.write_text(renew(page, arguments.kind), encoding="utf-8")


if __name__ == "__main__":
    main()
