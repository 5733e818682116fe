"""The backends that ganbench brings: this process, processes of this machine."""

from __future__ import annotations

from typing import Any

from ganbench.errors import UsageError, unknown
from ganbench.factories import check_options, options_of, resolve_factory
from ganbench.grammar import parse_component
from ganbench.protocols import Backend

__all__ = ["make_backend"]

_BACKENDS = {
    "serial": "ganbench.sweep.backends.serial:serial",
    "local": "ganbench.sweep.backends.local:local",
}


def make_backend(text: str) -> Backend:
    """The backend that `name:key=value` asks for. Raises `UsageError` if there is none."""
    component = parse_component(text)
    if component.name not in _BACKENDS:
        raise unknown("backend", component.name, _BACKENDS)
    factory: Any = resolve_factory(_BACKENDS[component.name])
    label = f"backend '{component.name}'"
    given = check_options(label, options_of(factory, 0), component.options)
    try:
        backend: Backend = factory(**given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{label}: {error}") from error
    return backend
