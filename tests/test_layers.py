"""The package's structure: lower layers never import higher ones, and nothing goes in circles.

Imports inside functions count; those under TYPE_CHECKING do not, for they never run.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import ganbench

ROOT = Path(ganbench.__file__).parent
LAYERS = [
    # 0: contracts, frozen data, and what needs nothing of ganbench but these
    {"errors", "grammar", "spec", "record", "protocols", "files", "streams", "interrupts"}
    | {"launch", "frechet", "neighbours", "feature_cache", "flops"},
    # 1: from names to parts
    {"hookspecs", "commands", "discovery", "factories", "registry", "plan", "plugin_check"}
    | {"load", "devices", "heap"},
    # 2: our own plugins
    {"builtin"},
    # 3: the game, its rules, timing, state, and what is read off it
    {"game", "player", "objective", "loss_sum", "feed", "rules", "unrolled", "training"}
    | {"prefetch", "graphs", "inference"}
    | {"clock", "checkpoint", "samples", "evaluation", "throughput", "measure", "fit"}
    | {"distributed", "scorers", "compiling", "fast", "vectorize"},
    # 4: one run, in one process or in several
    {"rehearsal", "kept", "execution", "together", "many", "profiling"},
    # 5: files, tables, statistics, gates
    {"store", "index", "tables", "stats", "sweep", "gate", "compare", "perf", "testing"}
    | {"scaffold"},
    # 6: what is made of them
    {"api", "card", "history", "report"},
    # 7: the shell
    {"cli", "__main__", "benchmark_case", "pytest_plugin"},
]
MOST_LINES = 250


def modules() -> dict[str, Path]:
    """Every module by its name without the leading `ganbench.`; the package itself is ''."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports_of(path: Path) -> set[str]:
    """The ganbench modules that a file imports, at its top or in a function."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports relatively, which this test can't follow"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in inner if name.removeprefix("ganbench.") in MODULES}
            found.update(known or {node.module or ""})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name.removeprefix("ganbench.") for name in found if name.startswith("ganbench.")}


def layer_of(module: str) -> int:
    top = module.partition(".")[0]
    layers = [i for i, names in enumerate(LAYERS) if top in names]
    assert layers, f"ganbench.{top} has no layer: give it one in {Path(__file__).name}"
    return layers[0]


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_a_module_imports_nothing_of_a_higher_layer(module):
    above = {name for name in imports_of(MODULES[module]) if layer_of(name) > layer_of(module)}
    assert not above, f"ganbench.{module} (layer {layer_of(module)}) imports {above}"


def test_the_package_itself_imports_no_part_of_it():
    source = ast.parse(MODULES[""].read_text(encoding="utf-8"))
    at_top = [node for node in source.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in at_top if "ganbench" in ast.dump(node)]


def test_no_imports_go_in_circles():
    graph = {name: imports_of(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_enough_to_read(module):
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"ganbench.{module} has {lines} lines: split it by concept"


@pytest.mark.parametrize(
    "module", ["ganbench", "ganbench.spec", "ganbench.record", "ganbench.registry"]
)
def test_light_modules_import_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
