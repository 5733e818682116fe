"""`ganbench run`. Its flags are in `flags`, and what they do in `request`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganbench.cli.flags import OUTPUT, RunFlags, flag, takes_a_run
from ganbench.cli.plugin_commands import local_plugins_option

__all__ = ["run"]


@takes_a_run
def run(
    flags: RunFlags,
    out: Annotated[Path, flag("--out", "Results folder. Default: results.", OUTPUT, "DIR")] = Path(
        "results"
    ),
    trackers: Annotated[
        list[str] | None,
        flag("--tracker", "A plugin that watches the run; repeatable.", OUTPUT, "NAME"),
    ] = None,
    seeds: Annotated[
        str | None,
        flag("--seeds", "Several seeds, one run each: 0..7.", OUTPUT, "A..B|N,…"),
    ] = None,
    plugins: Annotated[list[str] | None, local_plugins_option(OUTPUT)] = None,
    force: Annotated[bool, flag("--force", "Run anew what is already done.")] = False,
    as_json: Annotated[bool, flag("--json", "Print the record as JSON, and nothing else.")] = False,
    quiet: Annotated[bool, flag("--quiet", "Print errors only.")] = False,
) -> None:
    """Train one GAN, measure its speed and its samples, and write tables and pictures.

    A NAME takes options: adam:lr=2e-4,betas=[0.5,0.999]. All names are in
    `ganbench plugins list`. Flags win over --set, and --set over --config.

    The same command again finds the finished run, or goes on with one that
    was stopped.

    Examples:

      ganbench run --loss nonsat --opt sgd

      ganbench run --loss nonsat+r1:gamma=1 --rule extragradient --seed 3

      ganbench run --generator dcgan --discriminator dcgan --steps 3000

      ganbench run --seeds 0..7 --vectorize

      ganbench run --config article --set opt=rmsprop:lr=1e-4
    """
    from ganbench.cli.request import execute_request

    raise typer.Exit(execute_request(flags, out, trackers or [], force, as_json, quiet, seeds))
