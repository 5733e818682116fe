"""A package from the scaffold is complete: it installs, passes its tests and runs by name."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganbench.errors import UsageError
from ganbench.scaffold import KINDS, write_package

NAMES = {kind: f"ganbench-zebra-{kind}" for kind in KINDS}


def write(kind: str, out: Path, registry) -> Path:
    write_package(NAMES[kind], kind, out, registry)
    return out / NAMES[kind]


def python(folder: Path, site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder` with what is installed in `site`."""
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def install(folder: Path, site: Path) -> None:
    """As `pip install` does, beside the environment and without the network."""
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(site)]
    python(folder, site, "-m", "pip", "install", *flags, ".")


def lines_of_code(folder: Path) -> int:
    """Lines that are neither blank nor documentation."""
    count = 0
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                node.body = [s for s in node.body if not isinstance(s, ast.Expr)]
        count += len([line for line in ast.unparse(tree).splitlines() if line.strip()])
    return count


def test_a_package_has_everything_that_publishing_needs(tmp_path, registry):
    folder = write("loss", tmp_path, registry)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".github/workflows/tests.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "src/ganbench_zebra_loss/__init__.py",
        "src/ganbench_zebra_loss/loss.py",
        "tests/test_ganbench_zebra_loss.py",
    }
    assert "python-version: ${{ matrix.python }}\n" in (
        folder / ".github/workflows/tests.yml"
    ).read_text(encoding="utf-8")
    assert "ganbench run --loss zebra-loss" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_loss_is_ten_lines_of_python(tmp_path, registry):
    assert lines_of_code(write("loss", tmp_path, registry) / "src") == 10


@pytest.mark.parametrize("kind", KINDS)
def test_its_code_is_clean(kind, tmp_path, registry):
    folder = write(kind, tmp_path, registry)
    for args in (["check", "--line-length", "100"], ["format", "--check", "--line-length", "100"]):
        python(folder, tmp_path, "-m", "ruff", *args, "--isolated", ".")


def test_a_loss_installs_passes_its_tests_and_runs_by_name(tmp_path, registry):
    folder, site = write("loss", tmp_path, registry), tmp_path / "site"
    install(folder, site)
    tests = python(folder, site, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 passed" in tests.stdout
    assert "no problems" in python(folder, site, "-m", "ganbench", "plugins", "check").stdout
    flags = ["--steps", "3", "--batch-size", "8", "--n-samples", "64", "--threads", "1"]
    run = python(folder, site, "-m", "ganbench", "run", "--loss", "zebra-loss", *flags, "--json")
    assert '"package": "ganbench-zebra-loss"' in run.stdout
    assert '"status": "completed"' in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "loss"])
def test_a_package_of_any_kind_installs_and_passes_its_tests(kind, tmp_path, registry):
    folder, site = write(kind, tmp_path, registry), tmp_path / "site"
    install(folder, site)
    tests = python(folder, site, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "passed" in tests.stdout
    assert "skipped" not in tests.stdout
    flag = {"optimizer": "--opt", "metric": "--metrics"}.get(kind, f"--{kind}")
    flags = ["--steps", "3", "--batch-size", "8", "--n-samples", "64", "--threads", "1"]
    flags += [] if kind in ("metric", "data") else ["--metrics", "none"]
    run = python(folder, site, "-m", "ganbench", "run", flag, f"zebra-{kind}", *flags, "--json")
    assert '"status": "completed"' in run.stdout


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("hinge", "loss", "ganbench has a loss 'hinge' already: choose another name"),
        ("ganbench-hinge", "loss", "ganbench has a loss 'hinge' already"),
        ("json", "loss", "there is a Python module 'json' already"),
        ("class", "loss", "there is a Python module 'class' already"),
        ("My_Loss", "loss", "'My_Loss' is no name for a package: use small letters"),
        ("../loss", "loss", "is no name for a package"),
        ("my-loss", "lss", "of kind 'lss'; did you mean 'loss'"),
    ],
)
def test_a_name_that_would_not_work_is_refused_and_nothing_is_written(
    name, kind, told, tmp_path, registry
):
    with pytest.raises(UsageError, match=told):
        write_package(name, kind, tmp_path / "out", registry)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(tmp_path, registry):
    (tmp_path / "my-loss").mkdir()
    (tmp_path / "my-loss" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        write_package("my-loss", "loss", tmp_path, registry)
    assert [path.name for path in (tmp_path / "my-loss").iterdir()] == ["thesis.tex"]


def test_the_command_writes_the_package_and_says_what_is_next(tmp_path):
    args = ["plugins", "new", "my-gan-loss", "--kind", "loss"]
    told = python(tmp_path, tmp_path, "-m", "ganbench", *args).stdout
    assert "my-gan-loss/pyproject.toml" in told
    assert "cd my-gan-loss\n  pip install -e '.[test]'\n  pytest" in told
    assert (tmp_path / "my-gan-loss" / "pyproject.toml").is_file()
