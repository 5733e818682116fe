"""The guide and the reference of plugins say what the code does: their examples are run."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganbench import hookspecs
from ganbench.discovery import Settings, find_sources
from ganbench.hookspecs import API_VERSION, HOOK_OF_KIND
from ganbench.plugin_check import check_plugins
from ganbench.registry import Registry
from ganbench.testing import faults
from ganbench.testing.suite import CHECKS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same parser under its older name
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "plugin-api.md").read_text(encoding="utf-8")
PLUGINS = ROOT / "plugins"


def blocks(language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


FILES = {block.splitlines()[0].removeprefix("# "): block for block in blocks("python")}
EXAMPLES = {name: source for name, source in FILES.items() if not name.startswith("test_")}


def test_there_is_an_example_of_every_kind():
    shown = {
        hook for source in EXAMPLES.values() for hook in re.findall(r"def (ganbench_\w+)", source)
    }
    assert shown == set(HOOK_OF_KIND.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_plugin_that_keeps_every_rule(name, tmp_path):
    (tmp_path / name).write_text(EXAMPLES[name], encoding="utf-8")
    registry = Registry(*find_sources(Settings(local=(str(tmp_path / name),))))
    own = [one for kind in CHECKS for one in registry.components(kind) if one.plugin.dist == name]
    assert own
    assert [problem for problem in check_plugins(registry) if problem.plugin.local] == []
    for one in own:
        CHECKS[one.kind](one.qualified_name, registry=registry)


def test_the_commands_work_as_written(tmp_path, monkeypatch, ganbench_cli):
    for name, source in EXAMPLES.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ganbench.devices.usable_cores", lambda: 1)  # as in all tests
    commands = [line for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        program, *args = shlex.split(command)
        assert program == "ganbench"
        monkeypatch.setenv("GANBENCH_LOCAL_PLUGINS", "")
        answer = ganbench_cli(*args)
        assert answer.code == 0, f"{command}\n{answer.out}{answer.err}"
    assert list(tmp_path.glob("results/runs/*/progress.jsonl"))
    assert (tmp_path / "my-gan-loss" / "pyproject.toml").is_file()


def test_the_entry_point_is_the_one_that_the_scaffold_writes(tmp_path, registry):
    from ganbench.scaffold import write_package

    write_package("my-gan-loss", "loss", tmp_path, registry)
    written = tomllib.loads((tmp_path / "my-gan-loss" / "pyproject.toml").read_text())
    (shown,) = (tomllib.loads(block) for block in blocks("toml"))
    assert written["project"]["entry-points"] == shown["project"]["entry-points"]
    tests = (tmp_path / "my-gan-loss" / "tests" / "test_my_gan_loss.py").read_text()
    for line in FILES["test_my_gan_loss.py"].splitlines()[1:]:
        assert line in tests


@pytest.mark.parametrize("fault", faults.ConformanceFailure.__subclasses__())
def test_the_guide_lists_each_rule_of_the_kit_word_for_word(fault):
    assert f"| `{fault.__name__}` | {fault.rule} |" in GUIDE


@pytest.mark.parametrize(("kind", "hook"), HOOK_OF_KIND.items())
def test_every_hook_is_documented_with_its_signature(kind, hook):
    doc = inspect.getdoc(getattr(hookspecs, hook)) or ""
    heading = f"### {hook}()\n\n"
    assert heading in REFERENCE
    section = REFERENCE.split(heading)[1].split("\n#")[0]
    plain = section.replace("`", "").replace("\n", " ")
    assert doc.replace("`", "").rstrip(".") in plain


def test_every_hook_is_of_a_kind():
    marked = {name for name, one in vars(hookspecs).items() if hasattr(one, "ganbench_spec")}
    assert marked == set(HOOK_OF_KIND.values())


def hooks_of_package(folder: Path) -> set[str]:
    """The hooks that the modules under a package's entry points implement."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    found = set()
    for module in project["entry-points"]["ganbench"].values():
        path = folder / "src" / module.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.parse(source.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and "hookimpl" in map(
                ast.unparse, node.decorator_list
            ):
                found.add(node.name)
    return found


@pytest.mark.parametrize("hook", HOOK_OF_KIND.values())
def test_every_hook_is_used_by_a_package_in_plugins(hook):
    used = {
        path.parent.name: hooks_of_package(path.parent) for path in PLUGINS.glob("*/pyproject.toml")
    }
    assert [name for name, hooks in used.items() if hook in hooks], used


def test_the_reference_is_of_the_version_that_the_code_has():
    assert REFERENCE.startswith(f"# Plugin API, version {API_VERSION}\n")
    assert f"`ganbench_api = {API_VERSION}`" in REFERENCE


@pytest.mark.parametrize(
    ("heading", "cls"), [("Of the game", "game:Game"), ("Of a player", "player:Player")]
)
def test_what_rules_may_use_exists(heading, cls, play):
    game, _ = play(data="ring8", metrics=())
    one = game if cls == "game:Game" else game.generator
    table = REFERENCE.split(f"| {heading} | |\n|---|---|\n")[1].split("\n\n")[0]
    names = re.findall(r"`(\w+)[`(]", table)
    assert len(names) >= 5
    assert [name for name in names if not hasattr(one, name)] == []


def test_what_metrics_may_read_exists():
    from ganbench.evaluation import Evaluation

    section = REFERENCE.split("### ganbench_metrics()")[1].split("\n#")[0]
    names = re.findall(r"`(\w+)`", section.split("it may read")[1].split(";")[0])
    known = {*vars(Evaluation), *inspect.signature(Evaluation).parameters}
    assert len(names) >= 10
    assert set(names) <= known
