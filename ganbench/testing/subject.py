"""The component under test, found and made as the harness does it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from ganbench.discovery import Plugin
from ganbench.errors import UsageError
from ganbench.factories import Option, check_options, options_of
from ganbench.grammar import format_component, parse_component
from ganbench.plan import GIVEN_BY_HARNESS, Part, make_part
from ganbench.plugin_check import call_of_kind
from ganbench.registry import Registered, Registry, default_registry
from ganbench.testing.faults import UnwritableOption, WrongInterface

__all__ = ["Component", "subject_of"]

Component: TypeAlias = "str | Callable[..., Any]"
"""A name, with options as on the command line, or a factory that is not registered."""

_UNREGISTERED = Plugin("factory", "unregistered", "0", "a factory given to the check")


def subject_of(kind: str, component: Component, registry: Registry | None = None) -> Part:
    """The component as the harness sees it, after a check of its options.

    Raises `UnwritableOption` or `WrongInterface`, and `UsageError` for a name that is not known.
    """
    registry = registry or default_registry()
    written = parse_component(component) if isinstance(component, str) else None
    if written is not None:
        registered = registry.find(kind, written.name)
    else:
        name = getattr(component, "__name__", "factory").strip("<>").replace("_", "-")
        registered = Registered(kind, name, _UNREGISTERED, component)
    label = f"{kind} '{registered.name}'"
    given = GIVEN_BY_HARNESS.get(kind, 0)
    options = {} if kind == "command" else _options(label, kind, registered, given)
    for option in options.values():
        _check_option(label, option)
        if option.required and option.name not in (written.options if written else {}):
            found = f"needs the option '{option.name}': give the kit an example of it"
            raise WrongInterface(label, f"{found}, such as {registered.name}:{option.name}=…")
    if written is not None:
        return make_part(registry, kind, written)
    defaults = {name: one.default for name, one in options.items() if not one.required}
    return Part(registered, {}, defaults)


def _options(label: str, kind: str, one: Registered, given: int) -> dict[str, Option]:
    try:
        options = options_of(one.factory, given)
        inspect.signature(one.factory).bind_partial(*[None] * given)
    except (TypeError, UsageError) as error:
        raise WrongInterface(label, f"can't be called as {call_of_kind(kind)}: {error}") from error
    return options


def _check_option(label: str, option: Option) -> None:
    """Its default must survive being written and read."""
    if option.required:
        return
    told = f"option '{option.name}' has the default {option.default!r}"
    if _has_none(option.default):
        return  # TOML has no None: the option is left out where this is meant
    try:
        text = format_component("x", {option.name: option.default})
    except UsageError as error:
        raise UnwritableOption(label, f"{told}, which TOML can't write") from error
    try:
        value = parse_component(text).options[option.name]
        read = check_options(label, {option.name: option}, {option.name: value})[option.name]
    except UsageError as error:
        raise UnwritableOption(label, f"{told}, which it does not take back: {error}") from error
    if not _same(read, option.default):
        raise UnwritableOption(label, f"{told}, which is read back as {read!r}")


def _has_none(default: Any) -> bool:
    return default is None or (isinstance(default, list | tuple) and any(map(_has_none, default)))


def _same(read: Any, default: Any) -> bool:
    """Equal, where a list is as good as a tuple and NaN equals NaN."""
    if isinstance(default, list | tuple):
        same_length = isinstance(read, list | tuple) and len(read) == len(default)
        return same_length and all(map(_same, read, default))
    return bool(read == default) or (read != read and default != default)
