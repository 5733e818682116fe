"""The command `ganbench`. Each subcommand is a module; heavy imports wait until one needs them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import ganbench
from ganbench.cli.card import card
from ganbench.cli.compare import compare
from ganbench.cli.history import history_app
from ganbench.cli.perf import perf
from ganbench.cli.plugin_commands import PluginCommands, local_plugins_option
from ganbench.cli.plugins import plugins_app
from ganbench.cli.plugins_new import new
from ganbench.cli.profile import profile
from ganbench.cli.rank import rank
from ganbench.cli.run import run
from ganbench.cli.slurm_flags import SweepCommand
from ganbench.cli.status import collect, status
from ganbench.cli.sweep import sweep
from ganbench.cli.table import table
from ganbench.errors import GanbenchError

__all__ = ["app", "main"]

app = typer.Typer(
    cls=PluginCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command(cls=SweepCommand)(sweep)
app.command()(status)
app.command()(collect)
app.command()(table)
app.command()(profile)
app.command()(rank)
app.command()(card)
app.command()(compare)
app.command()(perf)
plugins_app.command()(new)
app.add_typer(plugins_app, name="plugins")
app.add_typer(history_app, name="history")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ganbench {ganbench.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
    plugins: Annotated[list[str] | None, local_plugins_option()] = None,
) -> None:
    """Benchmark GAN losses and optimizers: one command, a throughput table and an FID table.

    Start with:  ganbench run --loss nonsat --opt sgd

    Commands that plugins add are in:  ganbench plugins list command
    """


def main() -> None:
    """Run the command line. A mistake that ganbench can explain is one message on stderr."""
    try:
        try:
            app(prog_name="ganbench")
        finally:
            sys.stdout.flush()
    except GanbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has left. Python would complain when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
