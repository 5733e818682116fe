"""What `ganbench plugins check` looks at beyond loading: every factory, and names that clash."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any

from ganbench.commands import as_command
from ganbench.discovery import BUILTIN
from ganbench.factories import resolve_factory
from ganbench.hookspecs import HOOK_OF_KIND, KINDS
from ganbench.plan import GIVEN_BY_HARNESS
from ganbench.registry import Problem, Registered, Registry, attempt

__all__ = ["call_of_kind", "check_plugins", "clashes"]


def check_plugins(registry: Registry, own_commands: Collection[str] = ()) -> list[Problem]:
    """Everything that is broken: what failed to load, components that can't be made, and commands
    that ganbench's own ones hide."""
    broken = [
        Problem(one.plugin, f"{one.kind} '{one.name}' {fault}")
        for kind in KINDS
        for one in registry.components(kind)
        if (fault := _fault_of(one, own_commands))
    ]
    return [*registry.problems, *broken]


def clashes(registry: Registry) -> Iterator[str]:
    """Names that several packages register: not broken, but each is told how to be written."""
    for kind in KINDS:
        for name in registry.names(kind):
            same = [one for one in registry.components(kind) if one.name == name]
            if len(same) > 1:
                ways = ", ".join(f"'{one.qualified_name}' for that of {one.plugin}" for one in same)
                built_in = any(one.plugin.dist == BUILTIN for one in same)
                bare = "is ganbench's own" if built_in else "is refused"
                yield f"{kind} '{name}' has several owners: the bare name {bare}; write {ways}"


def call_of_kind(kind: str) -> str:
    """How the harness calls a factory of a kind: `generator(z_dim, shape, **options)`."""
    from ganbench import hookspecs

    doc = inspect.getdoc(getattr(hookspecs, HOOK_OF_KIND[kind])) or ""
    return doc.partition(" ->")[0]


def _fault_of(one: Registered, own_commands: Collection[str]) -> str:
    factory, fault = attempt(lambda: resolve_factory(one.target))
    if fault:
        return f"can't be loaded: {fault}"
    if one.kind != "command":
        return _call_fault(one.kind, factory)
    if one.name in own_commands:
        return f"has the name of ganbench's own command: write 'ganbench {one.qualified_name}'"
    _, fault = attempt(lambda: as_command(factory, one.name))
    return f"is no command: {fault}" if fault else ""


def _call_fault(kind: str, factory: Any) -> str:
    given = GIVEN_BY_HARNESS.get(kind, 0)
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return "has no signature that Python can read, so nobody can tell its options"
    try:
        signature.bind_partial(*[None] * given)
    except TypeError as error:
        return f"can't be called as {call_of_kind(kind)}: {error}"
    for parameter in list(signature.parameters.values())[given:]:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            return f"has the option '{parameter.name}', which can't be given by name"
    return ""
