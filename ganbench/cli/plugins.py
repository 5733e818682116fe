"""`ganbench plugins list|show|check`: what is installed, and how each component is used."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ganbench.registry import Registered

__all__ = ["plugins_app"]

plugins_app = typer.Typer(
    no_args_is_help=True, help="List, explain and check components and the packages they are from."
)

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_FLAG_OF_KIND = {"optimizer": "--opt", "metric": "--metrics"}


@plugins_app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="loss, optimizer, data, … or a plural.")
    ] = None,
    as_json: _JSON = False,
) -> None:
    """List components: name and first line of what each says about itself."""
    from ganbench.hookspecs import KINDS
    from ganbench.registry import default_registry

    registry = default_registry()
    kinds = KINDS if kind is None else [_kind(kind)]
    if as_json:
        rows = [_row(one) for kind in kinds for one in registry.components(kind)]
        print(json.dumps(rows, indent=2))
        return
    for i, kind in enumerate(kinds):
        found = list(registry.components(kind))
        use = "ganbench NAME" if kind == "command" else _flag(kind)
        print(("\n" if i else "") + f"{kind} ({use})")
        width = max((len(_shown_name(one, found)) for one in found), default=0)
        for one in found:
            source = "" if one.plugin.dist == "ganbench" else f"  [{one.plugin.dist}]"
            print(f"  {_shown_name(one, found):<{width}}  {one.summary}{source}")
        if not found:
            print("  none installed")
    if registry.problems:
        typer.echo(
            f"\n{len(registry.problems)} problem(s) with installed plugins: ganbench plugins check",
            err=True,
        )


@plugins_app.command()
def show(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[KIND] NAME", help="As in the list, such as hinge or rule joint."),
    ],
    as_json: _JSON = False,
) -> None:
    """Explain one component: formula, paper, options with their types and defaults.

    Without KIND, every component of that name; --json is then a list.
    """
    from ganbench.errors import UsageError

    if len(words) > 2:
        raise UsageError(f"one component at a time: plugins show [KIND] NAME, not {words}")
    found = _named(*words) if len(words) == 1 else [_of_kind(*words)]
    if as_json:
        told = [_row(one) | {"doc": _doc(one), "options": _options(one)} for one in found]
        print(json.dumps(told if len(words) == 1 else told[0], indent=2))
        return
    print("\n\n".join(_explained(one) for one in found))


def _of_kind(kind: str, name: str) -> Registered:
    from ganbench.registry import default_registry

    return default_registry().find(_kind(kind), name)


def _named(name: str) -> list[Registered]:
    """Every component of that name, whatever its kind."""
    from ganbench.errors import unknown
    from ganbench.hookspecs import KINDS
    from ganbench.registry import default_registry

    every = [one for kind in KINDS for one in default_registry().components(kind)]
    found = [one for one in every if name in (one.name, one.qualified_name)]
    if not found:
        raise unknown("component", name, dict.fromkeys(one.name for one in every))
    return found


def _doc(one: Registered) -> str:
    from ganbench.commands import help_of

    doc = help_of(one.factory) if one.kind == "command" else inspect.getdoc(one.factory)
    return doc or "It says nothing about itself."


def _options(one: Registered) -> list[dict[str, Any]]:
    from ganbench.factories import options_of
    from ganbench.plan import GIVEN_BY_HARNESS

    options = options_of(one.factory, GIVEN_BY_HARNESS.get(one.kind, 0)).values()
    return [
        {
            "name": option.name,
            "type": option.type_name,
            "required": option.required,
            "default": None if option.required else _plain(option.default),
        }
        for option in options
    ]


def _explained(one: Registered) -> str:
    text = f"{one.kind} {one.name}, from {one.plugin.dist} {one.plugin.version}\n\n{_doc(one)}\n\n"
    if one.kind == "command":
        return f"{text}Use: ganbench {one.name} --help"
    rows = _options(one)
    example = f":{rows[0]['name']}=…" if rows else ""
    use = f"Use: ganbench run {_flag(one.kind)} {one.name}{example}"
    return text + "\n".join(_option_lines(rows)) + f"\n\n{use}"


@plugins_app.command()
def check(ctx: typer.Context) -> None:
    """Load every plugin and every component, and report what is broken. Exits 1 if anything is."""
    from ganbench.hookspecs import KINDS
    from ganbench.plugin_check import check_plugins, clashes
    from ganbench.registry import default_registry

    registry = default_registry()
    components = [one for kind in KINDS for one in registry.components(kind)]
    for plugin in registry.plugins:
        count = sum(one.plugin == plugin for one in components)
        print(f"{plugin}: {count} components, loaded in {plugin.load_time_ms:.0f} ms")
    for clash in clashes(registry):
        print(f"note: {clash}")
    problems = check_plugins(registry, _own_commands(ctx))
    for problem in problems:
        typer.echo(f"problem: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    print("no problems")


def _own_commands(ctx: typer.Context) -> list[str]:
    root: Any = ctx.find_root().command
    return list(root.commands)


def _kind(text: str) -> str:
    """`loss` for loss or losses."""
    from ganbench.errors import unknown
    from ganbench.hookspecs import HOOK_OF_KIND

    for kind, hook in HOOK_OF_KIND.items():
        if text.lower() in (kind, hook.removeprefix("ganbench_")):
            return kind
    raise unknown("kind", text, HOOK_OF_KIND)


def _flag(kind: str) -> str:
    return _FLAG_OF_KIND.get(kind, f"--{kind}")


def _shown_name(one: Registered, found: list[Registered]) -> str:
    shared = sum(other.name == one.name for other in found) > 1
    return one.qualified_name if shared else one.name


def _row(one: Registered) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "qualified_name": one.qualified_name,
        "package": one.plugin.dist,
        "version": one.plugin.version,
        "file": one.plugin.file,
        "load_time_ms": one.plugin.load_time_ms,
        "summary": one.summary,
    }


def _plain(value: Any) -> Any:
    """A default as JSON has it, or as Python writes it."""
    try:
        json.dumps(value)
    except TypeError:
        return repr(value)
    return value


def _option_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "It has no options."
        return
    yield "Options:"
    width = max(len(row["name"]) for row in rows)
    type_width = max(len(row["type"]) for row in rows)
    for row in rows:
        default = "required" if row["required"] else f"default {_toml(row['default'])}"
        yield f"  {row['name']:<{width}}  {row['type']:<{type_width}}  {default}"


def _toml(value: Any) -> str:
    """A default as the user would write it."""
    from ganbench.errors import UsageError
    from ganbench.grammar import format_component

    try:
        return format_component("x", {"y": value}).removeprefix("x:y=")
    except UsageError:
        return "none" if value is None else repr(value)
