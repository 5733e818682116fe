"""The command `ganbench`."""

from __future__ import annotations

import typer

import ganbench

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False)


def _version(show: bool) -> None:
    if show:
        print(f"ganbench {ganbench.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_version),
) -> None:
    """Benchmark GAN losses and optimizers."""


def main() -> None:
    """Run the command line."""
    app(prog_name="ganbench")
