"""From a name to its component. A plugin that fails is kept with its reason, and harms no other."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import pluggy

from ganbench import hookspecs
from ganbench.commands import help_of
from ganbench.discovery import (
    BUILTIN,
    Plugin,
    Problem,
    Settings,
    Source,
    find_sources,
    same_package,
)
from ganbench.errors import UsageError, nearest, unknown
from ganbench.factories import resolve_factory, summary_of
from ganbench.grammar import is_name
from ganbench.hookspecs import API_VERSION, HOOK_OF_KIND, KINDS, OLDEST_API_VERSION
from ganbench.protocols import Factory

__all__ = ["Plugin", "Problem", "Registered", "Registry", "attempt", "default_registry"]


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
        factory, fault = attempt(lambda: resolve_factory(self.target))
        if fault:
            raise UsageError(
                f"{self.kind} '{self.name}' of {self.plugin} can't be loaded: {fault}. "
                "Fix or uninstall that package; see: ganbench plugins check"
            )
        return factory

    @cached_property
    def summary(self) -> str:
        if self.kind == "command" and not isinstance(self.target, str):
            return next(iter(help_of(self.target).splitlines()), "")
        return summary_of(self.target)


class Registry:
    """All components of all plugins."""

    def __init__(self, sources: Iterable[Source], problems: Iterable[Problem] = ()) -> None:
        self._manager = pluggy.PluginManager("ganbench")
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self.problems: list[Problem] = list(problems)
        self._components: dict[str, dict[str, list[Registered]]] = {kind: {} for kind in KINDS}
        for source in sources:
            self._load(source)

    def components(self, kind: str) -> Iterator[Registered]:
        """Every component of a kind, by name."""
        for _, registered in sorted(self._components[kind].items()):
            yield from registered

    def names(self, kind: str) -> list[str]:
        return sorted(self._components[kind])

    def find(self, kind: str, name: str) -> Registered:
        """The component of that name. `dist/name` picks one of several.

        A bare name that ganbench itself has means ganbench's, so that no installed package can
        change or break it. Between others it is refused.
        """
        dist, _, bare = name.rpartition("/")
        found = self._components[kind].get(bare, [])
        if dist:
            found = [one for one in found if same_package(one.plugin.dist, dist)]
        elif any(one.plugin.dist == BUILTIN for one in found):
            found = [one for one in found if one.plugin.dist == BUILTIN or one.plugin.local]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(f"'{one.qualified_name}'" for one in found)
            raise UsageError(f"{kind} '{name}' is registered by several packages: write {choices}")
        raise self._unknown(kind, name)

    def require_local_plugins(self) -> None:
        """Raise `UsageError` if something is wrong with a plugin that was asked for with -p."""
        for problem in self.problems:
            if problem.plugin.local:
                raise UsageError(str(problem))

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

    def _load(self, source: Source) -> None:
        plugin = source.plugin
        started = time.perf_counter()
        module, fault = attempt(source.load)
        load_time_ms = round((time.perf_counter() - started) * 1e3, 3)
        if fault:
            self._report(plugin, f"can't be imported: {fault}")
            return
        plugin = replace(plugin, file=plugin.file or _file_of(module), load_time_ms=load_time_ms)
        reason, fault = attempt(lambda: self._register(plugin, module))
        if reason or fault:
            self._report(plugin, reason or f"can't be registered: {fault}")
            return
        self.plugins.append(plugin)
        for kind, hook in HOOK_OF_KIND.items():
            self._collect(plugin, module, kind, hook)

    def _register(self, plugin: Plugin, module: object) -> str | None:
        """Hand it to pluggy, which checks its hooks' arguments. Returns why it is refused."""
        api = getattr(module, "ganbench_api", 1)
        if type(api) is not int or api < 1:
            return f"declares ganbench_api = {api!r}, which must be a whole number such as 1"
        if not OLDEST_API_VERSION <= api <= API_VERSION:
            remedy = "upgrade ganbench" if api > API_VERSION else "upgrade that package"
            return f"is written for plugin API {api}, but this ganbench has {API_VERSION}: {remedy}"
        hooks = [name for name in dir(module) if self._is_hook(plugin, module, name)]
        self._manager.register(module, name=f"{plugin.dist}/{plugin.name}")
        if not hooks:
            self._report(plugin, f"adds nothing: it has none of the hooks {_HOOKS}")
        return None

    def _is_hook(self, plugin: Plugin, module: object, name: str) -> bool:
        """Whether an attribute is meant for a hook; reports one that does not get there."""
        options = self._manager.parse_hookimpl_opts(module, name)
        if options is None:
            looks_like_one = name in HOOK_OF_KIND.values() and callable(getattr(module, name))
            if looks_like_one:
                self._report(
                    plugin,
                    f"defines {name}() without @hookimpl, so it is never called: decorate it "
                    "(from ganbench import hookimpl)",
                )
            return looks_like_one
        hook = options.get("specname") or name
        if hook not in HOOK_OF_KIND.values():
            close = nearest(hook, HOOK_OF_KIND.values()) or "."
            self._report(plugin, f"implements '{hook}', which is no hook{close} Hooks: {_HOOKS}")
        return True

    def _collect(self, plugin: Plugin, module: object, kind: str, hook: str) -> None:
        """Call one plugin's hook alone, so that its failure stays its own."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is not module:
                continue
            offered, fault = attempt(partial(_offered, implementation.function))
            if fault:
                self._report(plugin, f"{hook}() raised {fault}")
            elif not isinstance(offered, dict):
                self._report(plugin, f"{hook}() must return a mapping of names, not {offered!r}")
            else:
                for name, target in offered.items():
                    self._add(Registered(kind, name, plugin, target), hook)

    def _add(self, component: Registered, hook: str) -> None:
        name, target, plugin = component.name, component.target, component.plugin
        if not (isinstance(name, str) and is_name(name)):
            self._report(
                plugin,
                f"{hook}() registers the name {name!r}, which can't be written on a command line: "
                "begin with a letter, then use letters, digits, - _ and .",
            )
            return
        if not (callable(target) or (isinstance(target, str) and target.count(":") == 1)):
            self._report(
                plugin,
                f"{hook}() registers {target!r} as '{name}': "
                "a factory is a callable or the text 'module:attribute'",
            )
            return
        same_name = self._components[component.kind].setdefault(name, [])
        if any(one.plugin.dist == plugin.dist for one in same_name):
            self._report(plugin, f"{hook}() registers '{name}', which this package already has")
        else:
            same_name.append(component)

    def _report(self, plugin: Plugin, reason: str) -> None:
        self.problems.append(Problem(plugin, reason))


_HOOKS = ", ".join(HOOK_OF_KIND.values())


def attempt(call: Callable[[], Any]) -> tuple[Any, str]:
    """(what a plugin's code returns, "") or (None, what it raised). Whatever it raises stays here,
    and what it prints goes to stderr: stdout belongs to the command's own output."""
    try:
        with redirect_stdout(sys.stderr):
            return call(), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        told = " ".join(str(error).split())
        return None, f"{type(error).__name__}{': ' if told else ''}{told[:500]}"


def _offered(hook: Callable[[], Any]) -> Any:
    """What a hook offers: any mapping as a dict, anything else as it is."""
    offered = hook()
    if inspect.iscoroutine(offered):
        offered.close()  # Python warns of one that nobody awaited
    return dict(offered) if isinstance(offered, Mapping) else offered


def _file_of(plugin: object) -> str:
    module = plugin if inspect.ismodule(plugin) else sys.modules.get(type(plugin).__module__)
    return getattr(module, "__file__", None) or ""


def default_registry() -> Registry:
    """The registry of what is installed and asked for; see `discovery.Settings`."""
    return _registry_for(Settings.from_environment())


@lru_cache(maxsize=4)
def _registry_for(settings: Settings) -> Registry:
    return Registry(*find_sources(settings))
