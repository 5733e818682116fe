"""`--slurm-KEY VALUE`: any option of sbatch, on the command line of a sweep."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from ganbench.errors import UsageError

__all__ = ["SweepCommand", "backend_options"]

_PREFIX = "--slurm-"
_META = "ganbench.slurm"


class SweepCommand(TyperCommand):
    """Takes `--slurm-KEY VALUE` and `--slurm-KEY=VALUE` off before the rest is parsed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest: list[str] = []
        given: dict[str, str] = {}
        words = iter(args)
        for word in words:
            if not word.startswith(_PREFIX):
                rest.append(word)
                continue
            key, equals, value = word.removeprefix(_PREFIX).partition("=")
            following = value if equals else next(words, None)
            if not key or following is None or (not equals and following.startswith("--")):
                raise UsageError(f"{word} needs a value: {_PREFIX}partition NAME")
            given[key.replace("-", "_")] = following
        ctx.meta[_META] = given
        parsed: list[str] = super().parse_args(ctx, rest)
        return parsed


def backend_options(context: typer.Context, backend: str) -> dict[str, Any]:
    """The options of backend slurm that were given so: its own under their names, others as
    `more`, which goes to sbatch. Raises `UsageError` if the runs go to another backend."""
    from ganbench.cli.config import parse_value
    from ganbench.factories import options_of
    from ganbench.grammar import parse_component
    from ganbench.sweep.backends.slurm import slurm

    given = context.meta.get(_META, {})
    if given and parse_component(backend).name != "slurm":
        flag = _PREFIX + next(iter(given)).replace("_", "-")
        raise UsageError(f"{flag} is for --backend slurm, but the backend is '{backend}'")
    own = options_of(slurm, 0)
    options = {key: _as(own[key].default, value) for key, value in given.items() if key in own}
    more = {k.replace("_", "-"): parse_value(v) for k, v in given.items() if k not in own}
    return options | ({"more": more} if more else {})


def _as(default: Any, text: str) -> Any:
    """Whole numbers where those are meant; a partition may be called 7."""
    return int(text) if isinstance(default, int) and text.isdigit() else text
