"""`ganbench plugins`, --version and --help: answers about what is installed, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ganbench
from ganbench.hookspecs import HOOK_OF_KIND, KINDS


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["run", "--help"],
        ["--version"],
        ["plugins", "list"],
        ["plugins", "list", "--json"],
    ],
)
def test_these_answers_import_no_torch(args):
    code = (
        "import sys\n"
        f"sys.argv = ['ganbench', *{args!r}]\n"
        "from ganbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_version_is_the_packages(ganbench_cli):
    assert ganbench_cli("--version").out == f"ganbench {ganbench.__version__}\n"


def test_list_names_every_component_of_every_kind_with_its_summary(ganbench_cli, registry):
    out = ganbench_cli("plugins", "list").out
    for kind in KINDS:
        for one in registry.components(kind):
            assert one.name in out
            assert one.summary, f"{kind} {one.name} says nothing about itself"
            assert one.summary in out


@pytest.mark.parametrize(("kind", "hook"), HOOK_OF_KIND.items())
def test_a_kind_may_be_written_in_singular_or_plural(ganbench_cli, kind, hook):
    plural = hook.removeprefix("ganbench_")
    assert ganbench_cli("plugins", "list", kind).out == ganbench_cli("plugins", "list", plural).out


def test_list_as_json_tells_the_owner_of_each(ganbench_cli):
    rows = json.loads(ganbench_cli("plugins", "list", "losses", "--json").out)
    nonsat = next(row for row in rows if row["name"] == "nonsat")
    assert nonsat["kind"] == "loss"
    assert nonsat["package"] == "ganbench"
    assert nonsat["qualified_name"] == "ganbench/nonsat"
    assert nonsat["version"] == ganbench.__version__


def test_show_explains_a_component_its_paper_and_its_options(ganbench_cli):
    out = ganbench_cli("plugins", "show", "optimizer", "adam").out
    assert "1412.6980" in out
    assert "betas" in out
    assert "default [0.5,0.999]" in out
    assert "--opt adam" in out


def test_show_as_json_has_types_and_defaults(ganbench_cli):
    shown = json.loads(ganbench_cli("plugins", "show", "loss", "l1", "--json").out)
    (weight,) = [option for option in shown["options"] if option["name"] == "weight"]
    assert weight["type"] == "float"
    assert not weight["required"]


def test_show_without_a_kind_explains_every_component_of_the_name(ganbench_cli):
    assert ganbench_cli("plugins", "show", "hinge").out.startswith("loss hinge, from ganbench")
    shown = json.loads(ganbench_cli("plugins", "show", "mlp", "--json").out)
    assert [one["kind"] for one in shown] == ["generator", "discriminator"]
    assert [one["name"] for one in shown] == ["mlp", "mlp"]


def test_every_component_can_be_shown(ganbench_cli, registry):
    for kind in KINDS:
        for one in registry.components(kind):
            assert json.loads(ganbench_cli("plugins", "show", kind, one.name, "--json").out)["doc"]
            assert ganbench_cli("plugins", "show", kind, one.name).code == 0


def test_check_finds_no_problem_with_the_built_in_components(ganbench_cli):
    result = ganbench_cli("plugins", "check")
    assert result.code == 0, result.err
    assert result.out.endswith("no problems\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["list", "lossy"], "no kind 'lossy'; did you mean 'loss'?"),
        (["show", "loss", "nonsatt"], "no loss 'nonsatt'; did you mean 'nonsat'?"),
        (["show", "loss", "adam"], "('adam' is an optimizer.)"),
        (["show", "hinje"], "no component 'hinje'; did you mean 'hinge'?"),
        (["show", "loss", "hinge", "adam"], "one component at a time"),
    ],
)
def test_a_wrong_name_is_told_the_nearest(ganbench_cli, args, message):
    result = ganbench_cli("plugins", *args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
