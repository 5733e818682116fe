"""Commands of plugins: what typer makes of what they registered."""

from __future__ import annotations

import inspect
from typing import Any

from ganbench.errors import UsageError

__all__ = ["as_command", "help_of"]


def as_command(target: Any, name: str) -> Any:
    """What typer runs for a `typer.Typer` or a function. Raises `UsageError` for anything else."""
    import typer

    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    if inspect.isfunction(target):
        app = typer.Typer(add_completion=False)
        app.command(name)(target)
        return typer.main.get_command(app)
    raise UsageError(
        f"command '{name}' is {target!r}, which is neither a typer.Typer nor a function"
    )


def help_of(target: Any) -> str:
    """What a command says about itself."""
    if inspect.isfunction(target):
        return inspect.getdoc(target) or ""
    told = getattr(getattr(target, "info", None), "help", None)
    return told if isinstance(told, str) else ""
