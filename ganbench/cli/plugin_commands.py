"""Commands that plugins add. Plugins are loaded only for a name that ganbench itself lacks."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["PluginCommands", "local_plugins_option"]


def _use(texts: list[str] | None) -> list[str] | None:
    from ganbench.discovery import use_local_plugins

    use_local_plugins(texts or ())
    return texts


def local_plugins_option(panel: str | None = None) -> Any:
    """-p, which counts from the moment it is parsed: the command's own name may depend on it."""
    return typer.Option(
        "--plugin",
        "-p",
        metavar="MODULE|FILE.py",
        help="Use this as a plugin too, without installing it; repeatable.",
        is_eager=True,
        callback=_use,
        show_default=False,
        rich_help_panel=panel,
    )


class PluginCommands(TyperGroup):
    """ganbench's own commands, and those of plugins by name."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from ganbench.commands import as_command
        from ganbench.registry import default_registry

        registry = default_registry()
        if cmd_name.rpartition("/")[2] not in registry.names("command"):
            return None
        return as_command(registry.find("command", cmd_name).factory, cmd_name)
