"""From a backend's name to a backend."""

from __future__ import annotations

from typing import Any

from ganbench.errors import UsageError
from ganbench.grammar import Component, parse_component
from ganbench.plan import make_part
from ganbench.protocols import Backend
from ganbench.registry import Registry

__all__ = ["make_backend"]

# Where to get a backend that needs more than ganbench itself brings.
_PACKAGES = {"dask": "ganbench-dask"}


def make_backend(text: str, registry: Registry, **options: Any) -> Backend:
    """The backend that `name:key=value` asks for; `options` are more of them.

    Raises `UsageError` for an unknown one, and says how to install one that is known elsewhere.
    """
    component = parse_component(text)
    package = _PACKAGES.get(component.name)
    if package and component.name not in registry.names("backend"):
        raise UsageError(
            f"backend '{component.name}' is in a package of its own: pip install {package}"
        )
    given = {**component.options, **options}
    backend = make_part(registry, "backend", Component(component.name, given)).create()
    if not callable(getattr(backend, "run", None)):
        raise UsageError(f"backend '{component.name}' is {backend!r}, which has no method run")
    made: Backend = backend
    return made
