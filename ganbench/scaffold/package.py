"""The files of a new plugin package."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

import ganbench
from ganbench.errors import UsageError, unknown
from ganbench.hookspecs import HOOK_OF_KIND
from ganbench.registry import Registry

__all__ = ["KINDS", "write_package"]

# How each kind is tried in the README; `{name}` is the component.
_USES = {
    "loss": "--loss {name}",
    "optimizer": "--opt {name}",
    "generator": "--generator {name}",
    "discriminator": "--discriminator {name}",
    "rule": "--rule {name}",
    "data": "--data {name}",
    "metric": "--metrics fid,{name}",
    "tracker": "--tracker {name}",
    "backend": "--backend {name}",
}
KINDS = tuple(_USES)
_CLASSES = ("loss", "tracker", "backend")  # made by calling their class; the others by a function

_FILES = {
    "pyproject.toml": "pyproject.toml.jinja",
    "README.md": "README.md.jinja",
    "LICENSE": "LICENSE.jinja",
    ".gitignore": "gitignore.jinja",
    ".github/workflows/tests.yml": "tests.yml.jinja",
    "src/{module}/__init__.py": "hook.py.jinja",
    "src/{module}/{kind}.py": "{kind}.py.jinja",
    "tests/test_{module}.py": "test.py.jinja",
}
_PACKAGE_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_package(name: str, kind: str, out: Path, registry: Registry) -> list[Path]:
    """Write the package `name` with one component of `kind` into `out/name`; return its files.

    The component has the package's name without a leading `ganbench-`. Raises `UsageError`, with
    nothing written, for a name that would not work or a folder that is in use.
    """
    if kind not in KINDS:
        raise unknown("template for a plugin of kind", kind, KINDS)
    module, component = _module_of(name), name.removeprefix("ganbench-")
    if component in registry.names(kind):
        owners = [one.plugin.dist for one in registry.components(kind) if one.name == component]
        raise UsageError(f"{owners[0]} has a {kind} '{component}' already: choose another name")
    folder = out / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"'{folder}' exists already: choose another name, or --out another folder")
    function = component.replace("-", "_")
    cls = "".join(word.capitalize() for word in component.split("-"))
    facts = {
        "package": name,
        "module": module,
        "component": component,
        "kind": kind,
        "hook": HOOK_OF_KIND[kind],
        "function": function,
        "cls": cls,
        "factory": cls if kind in _CLASSES else function,
        "command": "sweep" if kind == "backend" else "run",
        "use": _USES[kind].format(name=component),
        "version": ".".join(ganbench.__version__.split(".")[:2]),
    }
    templates = Environment(
        loader=PackageLoader("ganbench.scaffold"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    contents = {
        folder / path.format(**facts): templates.get_template(template.format(**facts)).render(
            facts
        )
        for path, template in _FILES.items()
    }
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(contents)


def _module_of(name: str) -> str:
    """The package's module. Raises `UsageError` for a name that can't be both."""
    if not _PACKAGE_NAME.fullmatch(name) or name == "ganbench":
        raise UsageError(
            f"'{name}' is no name for a package: use small letters and digits, in words joined by "
            "-, and begin with a letter: my-gan-loss"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or find_spec(module):
        raise UsageError(f"there is a Python module '{module}' already: choose another name")
    return module
