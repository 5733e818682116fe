"""`ganbench profile`: where a step's time goes, and what would make it faster on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganbench.cli.flags import RunFlags, flag, takes_a_run
from ganbench.cli.plugin_commands import local_plugins_option

if TYPE_CHECKING:
    from ganbench.profiling.profile import Profile

__all__ = ["profile"]

_PROFILE = "Profile"


@takes_a_run
def profile(
    flags: RunFlags,
    trace: Annotated[
        Path | None, flag("--trace", "Write a Chrome trace of three steps.", _PROFILE, "FILE")
    ] = None,
    trials_s: Annotated[
        float,
        typer.Option(
            "--try-for",
            min=0,
            metavar="S",
            help="Seconds to try other settings for; 0: none. Default: 8.",
            rich_help_panel=_PROFILE,
            show_default=False,
        ),
    ] = 8.0,
    as_json: Annotated[
        bool, flag("--json", "Print the profile as JSON, and nothing else.", _PROFILE)
    ] = False,
    plugins: Annotated[list[str] | None, local_plugins_option(_PROFILE)] = None,
) -> None:
    """Show where a step's time goes, and what would make it faster.

    Takes the flags of `ganbench run`. Nothing is trained that stays, and no
    run is written. The hint at the end was tried on this machine.

    Examples:

      ganbench profile --loss nonsat --opt adam

      ganbench profile --generator dcgan --discriminator dcgan --trace dcgan.json
    """
    from ganbench.cli.quiet import quieten_libraries

    quieten_libraries()
    spec = flags.spec()
    from ganbench.plan import make_plan
    from ganbench.profiling.profile import profile as make_profile
    from ganbench.registry import default_registry

    registry = default_registry()
    registry.require_local_plugins()
    made = make_profile(make_plan(spec, registry), registry, trials_s=trials_s, trace=trace)
    if as_json:
        import json

        print(json.dumps(made.as_dict(), indent=2))
    else:
        _print(made)
        if trace is not None:
            print(f"trace: {trace} (open it in https://ui.perfetto.dev)")


def _print(made: Profile) -> None:
    spec = made.spec
    print(
        f"{spec['generator']} against {spec['discriminator']}, {spec['loss']}, batch "
        f"{spec['batch_size']}, {spec['precision']} on {made.device}, {made.threads} threads"
    )
    _print_parts(made)
    print(
        f"step        {made.unwatched_ms_per_step:.2f} ms "
        f"({made.images_per_s:,.0f} images/s; watched, as above: {made.ms_per_step:.2f} ms)"
    )
    if made.whole_ms_per_step is not None:
        way = "from a tape" if made.device == "cpu" else "as a CUDA graph"
        print(f"in a run    {made.whole_ms_per_step:.2f} ms, {way}")
    print(
        f"arithmetic  {made.gflops_per_step:.2f} GFLOP a step: {made.fraction_of_peak:.0%} of the "
        f"{made.matmul_gflops_per_s:,.0f} GFLOP/s of a {spec['precision']} matrix product here"
    )
    idle = f"{made.cores_busy:.2f} of {made.threads} cores busy"
    if made.device_busy is not None:
        idle += f", {made.device} idle {1 - made.device_busy:.0%} of the time"
    print(f"idle        {idle}")
    peak, *held = made.memory_mb.items()
    print(f"memory      {peak[1]:.0f} MB at most; " + ", ".join(f"{k} {v:.1f}" for k, v in held))
    for trial in made.trials:
        print(f"tried       {trial.flags}: " + (trial.reason or f"{trial.gain:.2f} × images/s"))
    if made.hint is not None:
        print(f"hint        {made.hint}")


def _print_parts(made: Profile) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    table.add_column("part", no_wrap=True)
    for name in ("ms", "share", "GFLOP", "of peak"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in made.parts:
        arithmetic = (f"{part.gflops:.2f}", f"{part.fraction_of_peak:.0%}") if part.gflops else ()
        table.add_row(part.name, f"{part.ms:.2f}", f"{part.share:.1%}", *arithmetic)
    total = (f"{made.ms_per_step:.2f}", "100.0%", f"{made.gflops_per_step:.2f}", "")
    table.add_section()
    table.add_row("all", *total)
    Console(highlight=False).print(table)
