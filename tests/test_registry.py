"""Which plugins are used, and which component a name means."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_packages import fake_package

from ganbench import registry as registry_module
from ganbench.discovery import Plugin, Settings, Source, find_sources, use_local_plugins
from ganbench.errors import UsageError
from ganbench.hookspecs import KINDS
from ganbench.plan import make_plan
from ganbench.plugin_check import check_plugins, clashes
from ganbench.registry import Registry, default_registry
from ganbench.spec import RunSpec

HINGE = "ganbench.builtin.losses.classic:hinge"


def source_of(**losses: str) -> str:
    return f"""
from ganbench import hookimpl

@hookimpl
def ganbench_losses():
    return {losses!r}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with two packages: alpha has the loss soft, beta soft and own."""
    folder = tmp_path / "site"
    fake_package(folder, "alpha_plugin", source_of(soft=HINGE), name="Alpha.Plugin")
    fake_package(folder, "beta_plugin", source_of(soft=HINGE, own=HINGE))
    monkeypatch.syspath_prepend(folder)
    for variable in ("GANBENCH_PLUGINS", "GANBENCH_DISABLED_PLUGINS", "GANBENCH_LOCAL_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    importlib.invalidate_caches()
    registry_module._registry_for.cache_clear()  # other tests asked with the same settings
    yield folder
    registry_module._registry_for.cache_clear()
    for name in ("alpha_plugin", "beta_plugin", "local_module"):
        sys.modules.pop(name, None)


def packages(settings: Settings) -> list[str]:
    registry = Registry(*find_sources(settings))
    return [plugin.dist for plugin in registry.plugins if plugin.name != "builtin"]


def third_party(settings: Settings) -> list[str]:
    return [dist for dist in packages(settings) if "lug" in dist]


# --- which plugins ------------------------------------------------------------------------------


def test_every_installed_package_is_used_with_its_version_file_and_load_time(site):
    registry = Registry(*find_sources(Settings()))
    alpha = next(p for p in registry.plugins if p.dist == "Alpha.Plugin")
    assert (alpha.name, alpha.version, alpha.target) == ("alpha_plugin", "1.2", "alpha_plugin")
    assert alpha.file == str(site / "alpha_plugin.py")
    assert alpha.load_time_ms > 0


def test_an_allow_list_leaves_out_all_others_but_never_ganbench_itself(site, monkeypatch):
    monkeypatch.setenv("GANBENCH_PLUGINS", "beta-plugin")
    settings = Settings.from_environment()
    assert packages(settings) == ["beta-plugin"]
    assert Registry(*find_sources(settings)).find("loss", "nonsat").plugin.dist == "ganbench"


def test_an_empty_allow_list_leaves_out_every_package(site, monkeypatch):
    monkeypatch.setenv("GANBENCH_PLUGINS", "")
    assert packages(Settings.from_environment()) == []


def test_a_disabled_package_is_left_out_whatever_its_name_s_spelling(site, monkeypatch):
    monkeypatch.setenv("GANBENCH_DISABLED_PLUGINS", "alpha_plugin, ganbench")
    assert third_party(Settings.from_environment()) == ["beta-plugin"]


def test_a_disabled_package_is_not_even_imported(site, monkeypatch):
    (site / "alpha_plugin.py").write_text("raise RuntimeError")
    monkeypatch.setenv("GANBENCH_DISABLED_PLUGINS", "alpha-plugin")
    assert check_plugins(default_registry()) == []


def test_an_allow_list_that_names_what_is_not_there_is_told_with_the_nearest(site):
    (problem,) = Registry(*find_sources(Settings(allowed=("beta-plugins",)))).problems
    assert "no such package has plugins; did you mean 'beta-plugin'?" in str(problem)


def test_the_registry_follows_the_environment(site, monkeypatch):
    assert "own" in default_registry().names("loss")
    monkeypatch.setenv("GANBENCH_PLUGINS", "alpha.plugin")
    assert "own" not in default_registry().names("loss")


# --- which component ----------------------------------------------------------------------------


def test_a_name_of_two_packages_is_refused_and_the_ways_to_write_it_are_told(site):
    registry = Registry(*find_sources(Settings()))
    with pytest.raises(UsageError, match=r"write 'Alpha\.Plugin/soft' or 'beta-plugin/soft'"):
        registry.find("loss", "soft")
    assert registry.find("loss", "beta-plugin/soft").plugin.dist == "beta-plugin"
    assert registry.find("loss", "alpha_plugin/soft").plugin.dist == "Alpha.Plugin"
    assert registry.find("loss", "own").plugin.dist == "beta-plugin"


def test_a_clash_is_told_with_packages_and_versions_but_is_no_fault(site):
    registry = Registry(*find_sources(Settings()))
    (clash,) = [one for one in clashes(registry) if "'soft'" in one]
    assert "'Alpha.Plugin/soft' for that of plugin 'alpha_plugin' (Alpha.Plugin 1.2" in clash
    assert "the bare name is refused" in clash
    assert check_plugins(registry) == []


def test_no_installed_package_can_take_a_name_of_ganbench_s(site):
    fake_package(site, "gamma_plugin", source_of(nonsat=HINGE))
    registry = Registry(*find_sources(Settings()))
    assert registry.find("loss", "nonsat").plugin.dist == "ganbench"
    assert registry.find("loss", "gamma-plugin/nonsat").plugin.dist == "gamma-plugin"


def test_an_unknown_name_is_answered_with_the_nearest_and_the_kind_that_has_it(registry):
    with pytest.raises(UsageError, match="no loss 'nonsatt'; did you mean 'nonsat'"):
        registry.find("loss", "nonsatt")
    with pytest.raises(
        UsageError, match=r"\('adam' is an optimizer\.\) See: ganbench plugins list"
    ):
        registry.find("loss", "adam")
    with pytest.raises(UsageError, match="no loss 'nowhere/nonsat'"):
        registry.find("loss", "nowhere/nonsat")


def test_one_plugin_with_all_kinds_of_hooks_adds_to_each():
    from ganbench.hookspecs import HOOK_OF_KIND, hookimpl

    class Everything:
        """Hooks are added below: one of each kind."""

    def hook_of(kind: str) -> Callable[[], dict[str, str]]:
        return lambda: {f"my-{kind}": HINGE}

    everything = Everything()
    for kind, hook in HOOK_OF_KIND.items():
        setattr(everything, hook, hookimpl(hook_of(kind)))
    plugin = Plugin("all", "all-kinds", "1", "nowhere")
    registry = Registry([Source(plugin, lambda: everything)])
    assert registry.problems == []
    assert [registry.find(kind, f"my-{kind}").name for kind in HOOK_OF_KIND]


# --- local plugins ------------------------------------------------------------------------------


def test_a_file_is_a_plugin_whose_version_is_its_content_s_hash(site, tmp_path, monkeypatch):
    file = tmp_path / "my loss-2.py"
    file.write_text(source_of(mine=HINGE))
    monkeypatch.setenv("GANBENCH_LOCAL_PLUGINS", "")
    use_local_plugins([str(file), str(file)])
    first = default_registry().find("loss", "mine").plugin
    assert (first.dist, first.local, first.file) == ("my loss-2.py", True, str(file))
    spec = RunSpec(loss="mine", device="cpu")
    before = make_plan(spec, default_registry()).spec_sha256
    file.write_text(source_of(mine=HINGE) + "# changed\n")
    changed = Registry(*find_sources(Settings.from_environment()))
    assert changed.find("loss", "mine").plugin.version != first.version
    assert make_plan(spec, changed).spec_sha256 != before


def test_a_module_is_a_plugin_too_and_its_hash_covers_its_files(site, monkeypatch):
    package = site / "local_module"
    package.mkdir()
    (package / "__init__.py").write_text(source_of(mine="local_module.inside:loss"))
    (package / "inside.py").write_text(f"from {HINGE.replace(':', ' import ')} as loss\n")
    first, second = (
        find_sources(Settings(local=("local_module",)))[0][-1].plugin.version
        for change in (False, True)
        if not change or (package / "inside.py").write_text("# changed\n")
    )
    assert first != second


def test_a_module_that_is_installed_as_a_plugin_anyway_is_loaded_once(site):
    registry = Registry(*find_sources(Settings(local=("beta_plugin",))))
    assert registry.find("loss", "own").plugin.local is False
    assert check_plugins(registry) == []


def test_a_local_plugin_does_not_silently_take_or_lose_a_name_of_ganbench_s(site, tmp_path):
    (tmp_path / "mine.py").write_text(source_of(nonsat=HINGE))
    registry = Registry(*find_sources(Settings(local=(str(tmp_path / "mine.py"),))))
    with pytest.raises(UsageError, match=r"write 'ganbench/nonsat' or 'mine\.py/nonsat'"):
        registry.find("loss", "nonsat")


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"plugin '.*nope\.py' is not a file"):
        use_local_plugins([str(tmp_path / "nope.py")])


def test_a_local_plugin_that_fails_stops_the_command_that_asked_for_it(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0\n")
    registry = Registry(*find_sources(Settings(local=(str(tmp_path / "bad.py"),))))
    with pytest.raises(UsageError, match=r"bad\.py' .*can't be imported: ZeroDivisionError"):
        registry.require_local_plugins()


def ganbench(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ganbench", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


COMMANDS = '''
import typer
from ganbench import hookimpl

app = typer.Typer(help="Say it. In two ways.")

@app.command()
def loud():
    print("HELLO")

@app.command()
def soft():
    print("hello")

def greet(name: str):
    """Greet one."""
    print("hi", name)

@hookimpl
def ganbench_commands():
    return {"say": app, "greet": greet}
'''


def test_a_plugin_adds_commands_and_the_help_says_where_they_are(tmp_path):
    (tmp_path / "extra.py").write_text(COMMANDS)
    assert ganbench(tmp_path, "-p", "extra.py", "say", "loud").stdout == "HELLO\n"
    assert ganbench(tmp_path, "-p", "extra", "greet", "Ada").stdout == "hi Ada\n"
    listed = ganbench(tmp_path, "-p", "extra.py", "plugins", "list", "command").stdout
    assert "command (ganbench NAME)\n  greet  Greet one.  [extra.py]\n  say    Say it." in listed
    missing = ganbench(tmp_path, "say")
    assert missing.returncode == 2
    assert "No such command 'say'" in missing.stderr
    assert "ganbench plugins list command" in ganbench(tmp_path, "--help").stdout


def test_the_json_list_tells_package_version_file_and_load_time(tmp_path):
    (tmp_path / "mine.py").write_text(source_of(mine=HINGE))
    done = ganbench(tmp_path, "-p", "mine.py", "plugins", "list", "losses", "--json")
    (row,) = [row for row in json.loads(done.stdout) if row["name"] == "mine"]
    assert row["package"] == "mine.py"
    assert len(row["version"]) == 12
    assert row["file"] == str(tmp_path / "mine.py")
    assert row["load_time_ms"] > 0


def test_help_loads_no_plugin(tmp_path):
    fake_package(tmp_path, "exits", "raise SystemExit(7)")  # the working folder is on the path
    (tmp_path / "bad.py").write_text("print('loaded')\n")
    done = ganbench(tmp_path, "-p", "bad.py", "--help")
    assert done.returncode == 0
    assert "loaded" not in done.stdout + done.stderr


def test_every_built_in_component_is_summed_up_in_one_sentence(registry):
    summaries = {
        f"{kind} {one.name}": one.summary for kind in KINDS for one in registry.components(kind)
    }
    assert [name for name, text in summaries.items() if not text.endswith(".")] == []
