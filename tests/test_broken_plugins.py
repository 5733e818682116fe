"""One bad package breaks nothing but itself, and is told with its name, version and reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_packages import fake_package

from ganbench.discovery import Settings, find_sources
from ganbench.errors import UsageError
from ganbench.hookspecs import KINDS
from ganbench.plan import make_plan
from ganbench.plugin_check import check_plugins
from ganbench.registry import Registry
from ganbench.spec import RunSpec

FOLDER = Path(__file__).parent / "broken_plugins"

REASONS = {
    "api_not_a_number": "declares ganbench_api = '1', which must be a whole number",
    "api_too_new": "is written for plugin API 2, but this ganbench has 1: upgrade ganbench",
    "attribute_raises": "can't be registered: OSError: not logged in",
    "command_hidden": "command 'run' has the name of ganbench's own command: write 'ganbench comm",
    "command_is_a_text": "command 'x' is no command: UsageError: command 'x' is <class 'dict'>",
    "exits_on_import": "can't be imported: SystemExit: 3",
    "factory_attribute_missing": "can't be loaded: AttributeError: module 'json' has no attribute",
    "factory_exits": "loss 'x' can't be loaded: SystemExit: 3",
    "factory_is_a_number": "registers 3 as 'x': a factory is a callable or the text 'module:attr",
    "factory_is_none": "ganbench_rules() registers None as 'x': a factory is a callable or",
    "factory_module_missing": "loss 'x' can't be loaded: ModuleNotFoundError: No module named 'mod",
    "factory_not_callable": "can't be loaded: TypeError: factory_not_callable:VERSION is '1.0'",
    "factory_takes_too_little": "can't be called as generator(z_dim, shape, **options): too many",
    "factory_text_without_attribute": "registers 'json.dumps' as 'x': a factory is a callable or",
    "factory_without_signature": "loss 'x' has no signature that Python can read",
    "hook_exits": "ganbench_optimizers() raised SystemExit: out of luck",
    "hook_is_async": "ganbench_losses() must return a mapping of names, not <coroutine",
    "hook_is_wrapper": "ganbench_losses() must return a mapping of names, not <generator",
    "hook_marked_for_others": "defines ganbench_metrics() without @hookimpl, so it is never called",
    "hook_misspelt": "'ganbench_loses', which is no hook; did you mean 'ganbench_losses'? Hooks: ",
    "hook_misspelt_by_specname": "'ganbench_optimisers', which is no hook; did you mean 'ganbench",
    "hook_not_marked": "defines ganbench_losses() without @hookimpl, so it is never called",
    "hook_raises": "ganbench_losses() raised ZeroDivisionError: division by zero",
    "hook_returns_list": "ganbench_losses() must return a mapping of names, not ['x', 'y']",
    "hook_returns_none": "ganbench_losses() must return a mapping of names, not None",
    "hook_wants_arguments": "can't be registered: PluginValidationError: Plugin 'hook-wants-argume",
    "hook_wants_keyword": "ganbench_losses() raised TypeError: ganbench_losses() missing 1 require",
    "hook_yields": "ganbench_data() must return a mapping of names, not <generator object",
    "import_missing": "can't be imported: ModuleNotFoundError: No module named 'a_package_that",
    "mapping_raises": "raised ConnectionError: the server that lists the losses is away",
    "name_begins_with_digit": "registers the name '8bit-adam', which can't be written on a command",
    "name_empty": "registers the name '', which can't be written on a command line",
    "name_is_a_number": "registers the name 7, which can't be written on a command line",
    "name_with_colon": "registers the name 'my:loss', which can't be written on a command line",
    "name_with_plus": "registers the name 'wgan+gp', which can't be written on a command line",
    "no_hooks": "adds nothing: it has none of the hooks ganbench_generators, ",
    "option_positional_only": "optimizer 'x' has the option 'lr', which can't be given by name",
    "raises_base_exception": "can't be imported: Stop: not an Exception",
    "raises_on_import": "can't be imported: RuntimeError: no licence key found in the environment",
    "recursion_on_import": "can't be imported: RecursionError: maximum recursion depth exceeded",
    "syntax_error": "can't be imported: SyntaxError: invalid syntax (syntax_error.py, line 2)",
}
HARMLESS = """
import sys
from ganbench import hookimpl
print("loaded!")
sys.stdout.write("really\\n")

@hookimpl
def ganbench_losses():
    print("asked!")
    return {"nonsat": "ganbench.builtin.losses.classic:hinge"}
"""


def install(site: Path, stem: str) -> None:
    target = "attribute_raises:plugin" if stem == "attribute_raises" else stem
    source = (FOLDER / f"{stem}.py").read_text(encoding="utf-8")
    fake_package(site, stem, source, entry_points=f"it = {target}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def fresh(site: Path) -> Callable[[], Registry]:
    return lambda: Registry(*find_sources(Settings()))


def own_names(registry: Registry) -> dict[str, list[str]]:
    return {
        kind: [one.name for one in registry.components(kind) if one.plugin.dist == "ganbench"]
        for kind in KINDS
    }


def test_every_broken_plugin_has_its_reason():
    assert sorted(REASONS) == sorted(path.stem for path in FOLDER.glob("*.py"))
    assert len(REASONS) >= 25


@pytest.mark.parametrize("stem", sorted(REASONS))
def test_a_broken_plugin_is_told_and_ganbench_s_own_parts_work(stem, site, fresh, registry, capfd):
    install(site, stem)
    if stem == "factory_exits":
        (site / "exits_on_import.py").write_text("raise SystemExit(3)\n")
    broken = fresh()
    (problem,) = check_plugins(broken, own_commands=["run"])
    dist = stem.replace("_", "-")
    assert (problem.plugin.dist, problem.plugin.version) == (dist, "1.2")
    assert f"({dist} 1.2, " in str(problem)
    assert REASONS[stem] in problem.reason
    assert "\n" not in str(problem)
    assert own_names(broken) == own_names(registry)
    assert make_plan(RunSpec(device="cpu"), broken).run_id
    assert capfd.readouterr().out == ""


def environment(site: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def ganbench(site: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ganbench", *args]
    return subprocess.run(
        command,
        env=environment(site, **more),
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All broken plugins at once, one that prints and takes a name of ganbench's, and packages
    whose metadata is damaged."""
    site = tmp_path_factory.mktemp("crowded")
    for stem in REASONS:
        install(site, stem)
    fake_package(site, "loud", HARMLESS)
    fake_package(site, "no_metadata", "", metadata=False)
    fake_package(site, "no_module", "", entry_points="x = not a module!")
    return site


def test_a_run_with_all_broken_plugins_installed_works(crowded):
    flags = ["--steps", "2", "--batch-size", "8", "--n-samples", "64", "--threads", "1", "--json"]
    done = ganbench(crowded, "run", *flags)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "completed"
    assert [part["package"] for part in record["components"]["loss"]] == ["ganbench"]


def test_the_check_of_all_of_them_exits_1_and_tells_each_with_its_reason(crowded):
    done = ganbench(crowded, "plugins", "check")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    for stem, reason in REASONS.items():
        (line,) = [line for line in told if f"({stem.replace('_', '-')} 1.2, " in line]
        assert line.startswith("problem: ")
        assert reason in line
    for damaged in ("no_metadata", "no-module"):
        assert any(f"({damaged} 1.2, " in line for line in told), damaged
    assert "no problems" not in done.stdout
    assert (
        "loss 'nonsat' has several owners: the bare name is ganbench's own; write " in done.stdout
    )


def test_the_list_goes_on_and_points_to_the_check(crowded):
    done = ganbench(crowded, "plugins", "list", "loss", "--json")
    assert done.returncode == 0
    names = {row["qualified_name"] for row in json.loads(done.stdout)}
    assert {"ganbench/nonsat", "loud/nonsat", "ganbench/hinge"} <= names
    done = ganbench(crowded, "plugins", "list", "loss")
    assert "problem(s) with installed plugins: ganbench plugins check" in done.stderr


def test_without_plugins_the_check_exits_0(tmp_path):
    done = ganbench(tmp_path, "plugins", "check", GANBENCH_PLUGINS="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("no problems\n")


def test_a_broken_component_is_an_explained_mistake_when_it_is_used(site, fresh):
    install(site, "factory_module_missing")
    with pytest.raises(UsageError, match=r"loss 'x' of plugin 'it' \(factory-module-missing 1.2"):
        make_plan(RunSpec(device="cpu", loss="x"), fresh())


def test_two_entry_points_of_one_package_can_not_share_a_name(site, fresh):
    source = "from ganbench import hookimpl\n@hookimpl\ndef ganbench_losses():\n    return {}\n"
    source = source.replace("{}", '{"x": "ganbench.builtin.losses.classic:hinge"}')
    fake_package(site, "twin", source, entry_points="a = twin\nb = twin_b")
    (site / "twin_b.py").write_text(source)
    (problem,) = check_plugins(fresh())
    assert "registers 'x', which this package already has" in problem.reason


def test_one_module_under_two_entry_points_is_told(site, fresh):
    install(site, "no_hooks")
    good = "from ganbench import hookimpl\n@hookimpl\ndef ganbench_losses():\n    return {}\n"
    fake_package(site, "doubled", good, entry_points="a = doubled\nb = doubled")
    reasons = [problem.reason for problem in check_plugins(fresh())]
    assert any("can't be registered: ValueError" in reason for reason in reasons)
