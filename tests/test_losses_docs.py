"""The reference of losses is what the docstrings say, and they say where each loss comes from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ganbench.registry import default_registry

ROOT = Path(__file__).parent.parent
BUILT_IN = [one for one in default_registry().components("loss") if one.plugin.dist == "ganbench"]
OF_NO_PAPER = {"nonsat-negated"}


def load_script():
    spec = importlib.util.spec_from_file_location("lister", ROOT / "scripts/list_components.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_losses_is_up_to_date():
    # Renew it with: python scripts/list_components.py loss docs/losses.md
    page = (ROOT / "docs/losses.md").read_text(encoding="utf-8")
    assert load_script().renew(page, "loss") == page


@pytest.mark.parametrize("component", BUILT_IN, ids=lambda one: one.name)
def test_a_losss_docstring_names_its_paper_its_options_and_where_implementations_differ(component):
    doc = component.factory.__doc__
    assert component.summary.endswith(".")
    if component.name in OF_NO_PAPER:
        return
    assert "arXiv:" in doc
    assert "Implementations differ" in doc
    code = component.factory.__code__
    for option in code.co_varnames[: code.co_argcount]:
        assert option in doc, f"the docstring of {component.name} does not explain '{option}'"
