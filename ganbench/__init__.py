"""ganbench: a benchmark harness for GAN losses and optimizers.

`import ganbench` imports no torch; the names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganbench.api import load_records, run
    from ganbench.hookspecs import hookimpl
    from ganbench.record import RunRecord
    from ganbench.spec import RunSpec

__all__ = ["RunRecord", "RunSpec", "hookimpl", "load_records", "run"]
__version__ = "0.1.0"

_HOME = {
    "RunRecord": "ganbench.record",
    "RunSpec": "ganbench.spec",
    "hookimpl": "ganbench.hookspecs",
    "load_records": "ganbench.api",
    "run": "ganbench.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ganbench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
