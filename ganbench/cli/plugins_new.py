"""`ganbench plugins new`: a complete plugin package that passes its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["new"]


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package: my-gan-loss.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="loss, optimizer, generator, discriminator, rule, data, metric or tracker.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where its folder goes.")] = Path(),
) -> None:
    """Write a complete plugin package: pyproject, component, tests, README, CI.

    Example:  ganbench plugins new my-gan-loss --kind loss
    """
    from ganbench.registry import default_registry
    from ganbench.scaffold import write_package

    for path in write_package(name, kind, out, default_registry()):
        print(path)
    folder = out / name
    print(f"\nNext:\n  cd {folder}\n  pip install -e '.[test]'\n  pytest\n  ganbench plugins check")
    print(f"then write your {kind} in {folder / 'src'}, and see docs/plugins.md.")
