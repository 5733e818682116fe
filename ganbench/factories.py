"""A component's factory: importing it when needed, its options, their types and defaults.

A factory's options are its keyword parameters. They are checked against its signature, and
against its annotations through pydantic, before the factory is called.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ganbench.errors import UsageError, nearest
from ganbench.protocols import Factory

__all__ = ["Option", "check_options", "options_of", "resolve_factory", "summary_of"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a component."""

    name: str
    default: Any
    annotation: Any

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def type_name(self) -> str:
        if self.annotation is inspect.Parameter.empty:
            return "any"
        if isinstance(self.annotation, str):
            return self.annotation
        plain = _evaluate(self.annotation, {}, bounds=False)
        return inspect.formatannotation(plain).replace("typing.", "")


def _evaluate(annotation: Any, namespace: Mapping[str, Any], *, bounds: bool) -> Any:
    """The annotation's type, with or without the bounds in its `Annotated`s, at any depth."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    hints = typing.get_type_hints(holder, globalns=dict(namespace), include_extras=bounds)
    return hints["it"]


def resolve_factory(target: Factory) -> Any:
    """Import 'module:attribute', or return the callable as it is."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    factory = getattr(import_module(module), attribute)
    if not callable(factory):
        raise TypeError(f"{target} is {factory!r}, which can't be called")
    return factory


def options_of(factory: Any, given_by_harness: int) -> dict[str, Option]:
    """The options a user may set: the parameters after those that the harness passes."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        raise UsageError(
            f"{factory!r} has no signature that Python can read, so nobody can tell its options: "
            "its package should register a function around it"
        ) from None
    function = inspect.unwrap(factory.__init__ if inspect.isclass(factory) else factory)
    namespace = getattr(function, "__globals__", {})
    options = {}
    for name, parameter in list(signature.parameters.items())[given_by_harness:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = parameter.annotation
        if annotation is not parameter.empty:
            with contextlib.suppress(Exception):  # one that can't be evaluated is not checked
                annotation = _evaluate(annotation, namespace, bounds=True)
        options[name] = Option(name, parameter.default, annotation)
    return options


def check_options(
    label: str, options: Mapping[str, Option], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The given options, each of the type its annotation asks for. `label`: \"loss 'l1'\"."""
    for name in given:
        if name not in options:
            known = ", ".join(map(_describe, options.values())) or "it has none"
            close = nearest(name, options)
            raise UsageError(f"{label} has no option '{name}'{close or '.'} Its options: {known}")
    missing = [name for name, option in options.items() if option.required and name not in given]
    if missing:
        raise UsageError(f"{label} needs the option '{missing[0]}': write {missing[0]}=…")
    return {name: _coerce(label, options[name], value) for name, value in given.items()}


def _describe(option: Option) -> str:
    return option.name if option.required else f"{option.name}={option.default!r}"


def _coerce(label: str, option: Option, value: Any) -> Any:
    if option.annotation is inspect.Parameter.empty or isinstance(option.annotation, str):
        return value
    from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

    try:
        try:
            config = ConfigDict(arbitrary_types_allowed=True)
            adapter = TypeAdapter(option.annotation, config=config)
        except PydanticSchemaGenerationError:
            return value
        return adapter.validate_python(value)
    except ValidationError as error:
        reasons = "; ".join(dict.fromkeys(detail["msg"] for detail in error.errors()))
        raise UsageError(
            f"{label}: option '{option.name}' is {value!r}, "
            f"but wants {option.type_name} ({reasons})"
        ) from None


def summary_of(target: Factory) -> str:
    """The first line of the docstring. For 'module:attribute' it is read from the source, so that
    a listing imports nothing heavy."""
    doc = _docstring_from_source(target) if isinstance(target, str) else inspect.getdoc(target)
    return doc.strip().splitlines()[0] if doc else ""


def _docstring_from_source(target: str) -> str | None:
    module, _, attribute = target.partition(":")
    docstrings = _docstrings(module)
    generic = docstrings.get("__getattr__", "").replace("{attribute}", attribute)
    return docstrings.get(attribute, generic)


@lru_cache
def _docstrings(module: str) -> dict[str, str]:
    """Docstrings of a module's functions and classes, following `from x import y` one step."""
    try:
        spec = find_spec(module)
        if spec is None or not spec.origin:
            return {}
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, ValueError):
        return {}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_docstring(node) or ""
    return found
