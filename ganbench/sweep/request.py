"""What a sweep is asked to be: a file's tables and flags, checked and put together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganbench.errors import UsageError, unknown
from ganbench.grammar import format_component, format_sum, parse_component, parse_sum
from ganbench.sweep.axes import check_key, values_of
from ganbench.sweep.search import Search, parse_search

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same parser under its older name
    import tomli as tomllib

__all__ = ["Axes", "SweepRequest", "make_request", "parse_exclusion", "read_sweep_file"]

Axes = Mapping[str, Sequence[Any]]
"""The values of each setting. A sweep has a run for each combination of them."""

_TABLES = ("base", "grid", "include", "exclude", "search")


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """`grids` are run in full, each a grid of its own; a combination that matches one of
    `exclusions` in every setting named there is left out; `search` multiplies the first grid by its
    samples."""

    grids: Sequence[Axes]
    exclusions: Sequence[Mapping[str, Sequence[str]]] = ()
    search: Search | None = None
    source: str = field(default="the command line", compare=False)


def make_request(
    tables: Mapping[str, Any],
    flags: Mapping[str, Any],
    base: Mapping[str, Any],
    exclusions: Sequence[Mapping[str, Sequence[str]]] = (),
    source: str = "the command line",
) -> SweepRequest:
    """Put together a file's `tables`, settings from elsewhere that all runs share, and flags.

    Later ones win: base, [base], then [grid] or one [[include]], then flags. Raises `UsageError`
    that lists every mistake.
    """
    mistakes: list[str] = []
    shared = _over(_axes(base, "", mistakes), _axes(tables.get("base", {}), "[base]", mistakes))
    from_flags = _axes(flags, "", mistakes)
    includes = tables.get("include", [])
    own = [_axes(tables.get("grid", {}), "[grid]", mistakes)] if _has_grid(tables) else []
    own += [_axes(one, "[[include]]", mistakes) for one in includes]
    excluded = [_exclusion(one, "[[exclude]]", mistakes) for one in tables.get("exclude", [])]
    search = None
    try:
        search = parse_search(tables["search"]) if "search" in tables else None
    except UsageError as error:
        mistakes.append(str(error))
    if mistakes:
        raise UsageError("\n  ".join([f"{len(mistakes)} mistake(s) in {source}:", *mistakes]))
    grids = [_over(_over(shared, axes), from_flags) for axes in own]
    return SweepRequest(grids, [*excluded, *exclusions], search, source)


def read_sweep_file(path: Path) -> dict[str, Any]:
    """The tables of a sweep's TOML file. Raises `UsageError` if it is none."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"sweep file '{path}' can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"sweep file '{path}' is not TOML: {error}") from None
    for name, value in tables.items():
        if name not in _TABLES:
            told = f"(in '{path}')"
            raise unknown("table", name, _TABLES, f"{told} What all runs share goes into [base].")
        a_list = name in ("include", "exclude")
        right = isinstance(value, list) if a_list else isinstance(value, dict)
        if not right or (a_list and not all(isinstance(one, dict) for one in value)):
            wanted = f"[[{name}]]" if a_list else f"[{name}]"
            raise UsageError(f"'{name}' in '{path}' is not a table: begin it with {wanted}")
    return tables


def parse_exclusion(text: str) -> Mapping[str, Sequence[str]]:
    """`loss=wgan* opt=lbfgs`, as --exclude takes it."""
    table: dict[str, Any] = {}
    for item in text.split():
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise UsageError(
                f"--exclude '{text}' is not key=value key=value, such as 'loss=wgan opt=sgd*'"
            )
        table[key] = value
    mistakes: list[str] = []
    exclusion = _exclusion(table, "--exclude", mistakes)
    if mistakes or not table:
        raise UsageError("; ".join(mistakes) or "--exclude is empty: it would leave out every run")
    return exclusion


def _has_grid(tables: Mapping[str, Any]) -> bool:
    """A file of [[include]] alone has no grid beside them; anything else has one."""
    return "grid" in tables or "search" in tables or not tables.get("include")


def _axes(table: Mapping[str, Any], where: str, mistakes: list[str]) -> dict[str, list[Any]]:
    axes = {}
    for key, given in table.items():
        try:
            check_key(key, f"(in {where})" if where else "")
            axes[key] = values_of(key, given)
        except UsageError as error:
            mistakes.append(str(error))
    return axes


def _over(lower: Axes, upper: Axes) -> dict[str, Sequence[Any]]:
    """`opt` means both players' optimizers, so it also replaces either one of a layer below."""
    replaced = {*upper, *(("opt_g", "opt_d") if "opt" in upper else ())}
    return {key: values for key, values in lower.items() if key not in replaced} | dict(upper)


def _exclusion(
    table: Mapping[str, Any], where: str, mistakes: list[str]
) -> Mapping[str, Sequence[str]]:
    patterns: dict[str, Sequence[str]] = {}
    for key, values in _axes(table, where, mistakes).items():
        patterns[key] = [_canonical(key, value) for value in values]
    if not table:
        mistakes.append(f"an {where} is empty: it would leave out every run")
    return patterns


def _canonical(key: str, value: Any) -> str:
    """A pattern as the settings of a run are written."""
    text = str(value)
    if "*" in text or not isinstance(value, str):
        return text
    try:
        if key == "loss":
            return format_sum(parse_sum(text))
        component = parse_component(text)
        return format_component(component.name, component.options)
    except UsageError:
        return text
