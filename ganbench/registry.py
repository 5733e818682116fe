"""From a name to the component that a plugin registered under it.

Each entry point of group `ganbench` is loaded alone: one that fails is kept with its reason in
`Registry.problems`, and everything else works.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from ganbench import hookspecs
from ganbench.errors import UsageError, nearest, unknown
from ganbench.factories import resolve_factory, summary_of
from ganbench.hookspecs import HOOK_OF_KIND, KINDS
from ganbench.protocols import Factory

__all__ = ["Plugin", "Problem", "Registered", "Registry", "default_registry"]

GROUP = "ganbench"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point, loaded."""

    name: str
    dist: str
    version: str
    target: str
    load_time_ms: float = 0.0

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.dist} {self.version}, {self.target})"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin, or a part of it, is not used."""

    plugin: Plugin
    reason: str

    def __str__(self) -> str:
        return f"{self.plugin}: {self.reason}"


@dataclass(frozen=True)
class Registered:
    """A component under a name. `factory` imports what it needs; `summary` imports nothing."""

    kind: str
    name: str
    plugin: Plugin
    target: Factory = field(repr=False)

    @property
    def qualified_name(self) -> str:
        return f"{self.plugin.dist}/{self.name}"

    @cached_property
    def factory(self) -> Any:
        try:
            return resolve_factory(self.target)
        except Exception as error:
            raise UsageError(
                f"{self.kind} '{self.name}' of {self.plugin} can't be loaded: "
                f"{type(error).__name__}: {error}. Fix or uninstall that package; "
                "see: ganbench plugins check"
            ) from error

    @cached_property
    def summary(self) -> str:
        return summary_of(self.target)


class Registry:
    """All components of all plugins."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._manager = pluggy.PluginManager("ganbench")
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self.problems: list[Problem] = []
        self._components: dict[str, dict[str, list[Registered]]] = {kind: {} for kind in KINDS}
        for point in points:
            self._load(point)

    def components(self, kind: str) -> Iterator[Registered]:
        """Every component of a kind, by name."""
        for _, registered in sorted(self._components[kind].items()):
            yield from registered

    def names(self, kind: str) -> list[str]:
        return sorted(self._components[kind])

    def find(self, kind: str, name: str) -> Registered:
        """The component of that name. `dist/name` picks one of several."""
        dist, _, bare = name.rpartition("/")
        found = self._components[kind].get(bare, [])
        if dist:
            found = [one for one in found if one.plugin.dist == dist]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(f"'{one.qualified_name}'" for one in found)
            raise UsageError(f"{kind} '{name}' is registered by several packages: write {choices}")
        raise self._unknown(kind, name)

    def _unknown(self, kind: str, name: str) -> UsageError:
        others = [k for k in KINDS if k != kind and name in self._components[k]]
        remedy = f"See: ganbench plugins list {kind}"
        if others:
            article = "an" if others[0][0] in "aeiou" else "a"
            remedy = f"('{name}' is {article} {others[0]}.) {remedy}"
        if self.problems:
            remedy += (
                f" ({len(self.problems)} problem(s) with installed plugins: ganbench plugins check)"
            )
        return unknown(kind, name, self.names(kind), remedy)

    def _load(self, point: EntryPoint) -> None:
        dist = point.dist.name if point.dist else "?"
        version = point.dist.version if point.dist else "?"
        plugin = Plugin(point.name, dist, version, point.value)
        started = time.perf_counter()
        try:
            module = point.load()
        except (Exception, SystemExit) as error:
            self._report(plugin, f"can't be imported: {type(error).__name__}: {error}")
            return
        load_time_ms = (time.perf_counter() - started) * 1e3
        plugin = Plugin(point.name, dist, version, point.value, round(load_time_ms, 3))
        try:
            self._manager.register(module, name=f"{dist}/{point.name}")
        except Exception as error:
            self._report(plugin, f"can't be registered: {error}")
            return
        self.plugins.append(plugin)
        self._check_hook_names(plugin, module)
        for kind, hook in HOOK_OF_KIND.items():
            self._collect(plugin, module, kind, hook)

    def _check_hook_names(self, plugin: Plugin, module: object) -> None:
        for name in dir(module):
            marked = self._manager.parse_hookimpl_opts(module, name) is not None
            if marked and name not in HOOK_OF_KIND.values():
                self._report(
                    plugin,
                    f"implements '{name}', which is no hook{nearest(name, HOOK_OF_KIND.values())} "
                    f"Hooks: {', '.join(HOOK_OF_KIND.values())}",
                )

    def _collect(self, plugin: Plugin, module: object, kind: str, hook: str) -> None:
        """Call one plugin's hook alone, so that its failure stays its own."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is not module:
                continue
            try:
                offered = implementation.function()
            except Exception as error:
                self._report(plugin, f"{hook}() raised {type(error).__name__}: {error}")
                continue
            if not isinstance(offered, Mapping):
                self._report(plugin, f"{hook}() must return a mapping, not {offered!r}")
                continue
            for name, target in offered.items():
                self._add(Registered(kind, name, plugin, target), hook)

    def _add(self, component: Registered, hook: str) -> None:
        name, target, plugin = component.name, component.target, component.plugin
        if not (isinstance(name, str) and name and name == name.strip() and not set(name) & _RESERVED):
            self._report(plugin, f"{hook}() registers the name {name!r}: use letters, digits, - _ .")
        elif not (callable(target) or (isinstance(target, str) and target.count(":") == 1)):
            self._report(
                plugin,
                f"{hook}() registers {target!r} as '{name}': "
                "a factory is a callable or the text 'module:attribute'",
            )
        elif any(one.plugin.dist == plugin.dist for one in self._components[component.kind].get(name, [])):
            self._report(plugin, f"{hook}() registers '{name}', which this package already has")
        else:
            self._components[component.kind].setdefault(name, []).append(component)

    def _report(self, plugin: Plugin, reason: str) -> None:
        self.problems.append(Problem(plugin, reason))


_RESERVED = frozenset(":+/,= \t\n'\"")


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The registry of what is installed. GANBENCH_DISABLED_PLUGINS lists packages to leave out."""
    disabled = {name for name in os.environ.get("GANBENCH_DISABLED_PLUGINS", "").split(",") if name}
    points = sorted(entry_points(group=GROUP), key=lambda p: (p.dist.name if p.dist else "", p.name))
    return Registry(p for p in points if not (p.dist and p.dist.name in disabled))
