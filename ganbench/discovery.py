"""Where plugins come from: entry points of installed packages, and files or modules named by -p."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from ganbench.errors import UsageError, nearest

__all__ = [
    "BUILTIN",
    "Plugin",
    "Problem",
    "Settings",
    "Source",
    "find_sources",
    "same_package",
    "use_local_plugins",
]

GROUP = "ganbench"
BUILTIN = "ganbench"

_ALLOWED = "GANBENCH_PLUGINS"
_DISABLED = "GANBENCH_DISABLED_PLUGINS"
_LOCAL = "GANBENCH_LOCAL_PLUGINS"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin. A local one has its file's name for a package and its content's hash for a
    version, so that a run's hash changes when the file does."""

    name: str
    dist: str
    version: str
    target: str
    file: str = ""
    load_time_ms: float = 0.0
    local: bool = False

    def __str__(self) -> str:
        if self.local:
            return f"local plugin '{self.target}' (version {self.version})"
        return f"plugin '{self.name}' ({self.dist} {self.version}, {self.target})"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin, or a part of it, is not used."""

    plugin: Plugin
    reason: str

    def __str__(self) -> str:
        return f"{self.plugin}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Source:
    """A plugin that was found and not yet loaded."""

    plugin: Plugin
    load: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Which plugins to use.

    GANBENCH_PLUGINS: if set, only these packages; GANBENCH_DISABLED_PLUGINS: all but these (both
    separated by commas; ganbench's own components are always there). GANBENCH_LOCAL_PLUGINS: what
    -p named, separated as in PATH.
    """

    allowed: tuple[str, ...] | None = None
    disabled: tuple[str, ...] = ()
    local: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Settings:
        allowed = os.environ.get(_ALLOWED)
        return cls(
            None if allowed is None else _names(allowed, ","),
            _names(os.environ.get(_DISABLED, ""), ","),
            _names(os.environ.get(_LOCAL, ""), os.pathsep),
        )


def use_local_plugins(texts: Iterable[str]) -> None:
    """Use these modules and files as plugins, in this process and those it starts.

    Raises `UsageError` for a file that is not there.
    """
    local = list(Settings.from_environment().local)
    for text in texts:
        if _is_file_name(text):
            path = Path(text).absolute()
            if not path.is_file():
                raise UsageError(
                    f"plugin '{text}' is not a file: give a Python file, or the name of a module"
                )
            text = str(path)
        if text not in local:
            local.append(text)
    os.environ[_LOCAL] = os.pathsep.join(local)


def find_sources(settings: Settings) -> tuple[list[Source], list[Problem]]:
    """The plugins to load, ganbench's own first, and what is wrong with the settings."""
    points = metadata.entry_points(group=GROUP)
    sources = [Source(_described(point), point.load) for point in points]
    sources.sort(key=lambda s: (s.plugin.dist != BUILTIN, s.plugin.dist.lower(), s.plugin.name))
    used = [source for source in sources if _is_wanted(source.plugin.dist, settings)]
    problems = []
    for name in settings.allowed or ():
        if not any(same_package(name, source.plugin.dist) for source in sources):
            found = {source.plugin.dist for source in sources}
            plugin = Plugin(name, name, "not installed", _ALLOWED)
            reason = f"{_ALLOWED} names it, but no such package has plugins{nearest(name, found)}"
            problems.append(Problem(plugin, reason))
    targets = {source.plugin.target for source in used}
    return used + [_local_source(text) for text in settings.local if text not in targets], problems


def same_package(one: str, other: str) -> bool:
    """Whether two names mean one package: case and the choice of - _ . do not count (PEP 503)."""
    return _normalised(one) == _normalised(other)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(text: str, separator: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(separator) if name.strip())


def _is_wanted(dist: str, settings: Settings) -> bool:
    def among(names: Iterable[str]) -> bool:
        return any(same_package(name, dist) for name in names)

    allowed = settings.allowed is None or among(settings.allowed)
    return dist == BUILTIN or (allowed and not among(settings.disabled))


def _described(point: metadata.EntryPoint) -> Plugin:
    name, version = _name_and_version(point.dist)
    if name == "?":
        name = point.value.partition(":")[0].partition(".")[0]
    return Plugin(point.name, name, version, point.value)


def _name_and_version(dist: metadata.Distribution | None) -> tuple[str, str]:
    """`?` for what a damaged installation does not say."""
    name = version = None
    if dist is not None:
        with contextlib.suppress(Exception):
            name, version = dist.metadata["Name"], dist.metadata["Version"]
        if not name:  # the folder is called name-version.dist-info
            stem = Path(str(getattr(dist, "_path", "?"))).stem
            name, _, version = stem.partition("-")
    return name or "?", version or "?"


def _is_file_name(text: str) -> bool:
    return text.endswith(".py") or "/" in text or os.sep in text


def _local_source(text: str) -> Source:
    if _is_file_name(text):
        path = Path(text)
        version = _content_hash([path])
        plugin = Plugin(path.stem, path.name, version, text, file=text, local=True)
        return Source(plugin, lambda: _load_file(path, version))
    if os.getcwd() not in sys.path:  # the script `ganbench` has its own folder there instead
        sys.path.append(os.getcwd())
    plugin = Plugin(text, text, _content_hash(_files_of_module(text)), text, local=True)
    return Source(plugin, lambda: import_module(text))


def _load_file(path: Path, version: str) -> Any:
    name = f"ganbench_local_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{version}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{path}' is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _files_of_module(name: str) -> Iterator[Path]:
    try:
        spec = find_spec(name)
    except Exception:  # loading it tells why
        return
    if spec is None or not spec.origin:
        return
    origin = Path(spec.origin)
    yield from sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _content_hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with contextlib.suppress(OSError):
            digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
