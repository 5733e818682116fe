"""`ganbench sweep`: its flags. What they do is in `sweep_request`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ganbench.cli.plugin_commands import local_plugins_option

__all__ = ["sweep"]

_PARTS = "What plays; commas separate values, and each combination is a run"
_SIZES = "How much"
_METRICS = "Metrics"
_MACHINE = "Machine and speed"
_OUTPUT = "The sweep"


def _axis(name: str, help_: str, panel: str) -> Any:
    metavar = "X,Y,…" if name not in _ONE_VALUE else "X"
    return typer.Option(
        name, help=help_, rich_help_panel=panel, metavar=metavar, show_default=False
    )


_ONE_VALUE = ("--data-root", "--metrics", "--extractor-weights")


def _option(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(
        *names, help=help, metavar=metavar, rich_help_panel=_OUTPUT, show_default=False
    )


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def sweep(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[SWEEP.toml]", help="Tables grid, base, include, exclude, search."),
    ] = None,
    generator: Annotated[str | None, _axis("--generator", "Generators.", _PARTS)] = None,
    discriminator: Annotated[
        str | None, _axis("--discriminator", "Discriminators.", _PARTS)
    ] = None,
    loss: Annotated[
        str | None, _axis("--loss", "Losses: nonsat,hinge,wgan+wgan-gp.", _PARTS)
    ] = None,
    opt: Annotated[
        str | None, _axis("--opt", "Optimizers of both players: adam:lr=1e-4,adam:lr=2e-4.", _PARTS)
    ] = None,
    opt_g: Annotated[str | None, _axis("--opt-g", "The generator's optimizers.", _PARTS)] = None,
    opt_d: Annotated[
        str | None, _axis("--opt-d", "The discriminator's optimizers.", _PARTS)
    ] = None,
    schedule: Annotated[str | None, _axis("--schedule", "Learning-rate schedules.", _PARTS)] = None,
    rule: Annotated[str | None, _axis("--rule", "Update rules.", _PARTS)] = None,
    data: Annotated[str | None, _axis("--data", "Data sets.", _PARTS)] = None,
    data_root: Annotated[
        str | None, _axis("--data-root", "Folder that holds data sets.", _PARTS)
    ] = None,
    steps: Annotated[str | None, _axis("--steps", "Generator updates.", _SIZES)] = None,
    batch_size: Annotated[str | None, _axis("--batch-size", "Examples an update.", _SIZES)] = None,
    micro_batch_size: Annotated[
        str | None, _axis("--micro-batch-size", "Accumulate gradients over pieces.", _SIZES)
    ] = None,
    n_dis: Annotated[str | None, _axis("--n-dis", "Discriminator updates a step.", _SIZES)] = None,
    z_dim: Annotated[str | None, _axis("--z-dim", "Dimensions of the latent.", _SIZES)] = None,
    ema_halflife_kimg: Annotated[
        str | None, _axis("--ema-halflife-kimg", "Half-lives of the averaged generator.", _SIZES)
    ] = None,
    seed: Annotated[str | None, _axis("--seed", "Seeds: 0,1,2 or 0..4.", _SIZES)] = None,
    metrics: Annotated[
        str | None, _axis("--metrics", "One list for all runs: fid,kid.", _METRICS)
    ] = None,
    extractor: Annotated[
        str | None, _axis("--extractor", "Features of the metrics.", _METRICS)
    ] = None,
    extractor_weights: Annotated[
        str | None, _axis("--extractor-weights", "File with the extractor's weights.", _METRICS)
    ] = None,
    n_samples: Annotated[
        str | None, _axis("--n-samples", "Generated examples to measure.", _METRICS)
    ] = None,
    device: Annotated[str | None, _axis("--device", "auto, cpu, cuda or mps.", _MACHINE)] = None,
    threads: Annotated[
        str | None, _axis("--threads", "CPU threads of a run. Default: 1.", _MACHINE)
    ] = None,
    precision: Annotated[
        str | None, _axis("--precision", "fp32, tf32, bf16 or fp16.", _MACHINE)
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        _axis("--checkpoint-every", "Save what a continuation needs every N steps.", _MACHINE),
    ] = None,
    config: Annotated[
        str | None, _option("--config", help="Preset or file all runs share.", metavar="NAME|FILE")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        _option("--set", help="A setting all runs share; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        _option(
            "--exclude",
            help="Leave out runs that match all of these; * is anything; repeatable.",
            metavar="'KEY=VALUE …'",
        ),
    ] = None,
    backend: Annotated[
        str, _option("--backend", help="Where runs take place. Default: local.", metavar="NAME")
    ] = "local",
    detach: Annotated[
        bool, _option("--detach", help="Submit and leave; see ganbench status and collect.")
    ] = False,
    scheduler: Annotated[
        str | None,
        _option("--scheduler", help="Dask's scheduler: tcp://HOST:8786.", metavar="ADDRESS"),
    ] = None,
    budget: Annotated[
        str | None,
        _option("--budget", help="Begin no run beyond it.", metavar="30m|2h|500kimg"),
    ] = None,
    dry_run: Annotated[
        bool, _option("--dry-run", help="List the runs, their time and disk; run nothing.")
    ] = False,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse/--no-rehearse",
            help="Play a few steps of each combination first. Default: yes.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = True,
    out: Annotated[
        Path, _option("--out", help="Results folder. Default: results.", metavar="DIR")
    ] = Path("results"),
    plugins: Annotated[list[str] | None, local_plugins_option(_OUTPUT)] = None,
    force: Annotated[bool, _option("--force", help="Run anew what is already done.")] = False,
    as_json: Annotated[
        bool, _option("--json", help="Print the summary as JSON, and nothing else.")
    ] = False,
    quiet: Annotated[bool, _option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Train every combination of losses, optimizers, seeds …, and write tables of all.

    Finished runs are found and not repeated; the same command again retries
    what failed and goes on with what was stopped.

    Examples:

      ganbench sweep --loss nonsat,hinge,wgan+wgan-gp --opt adam,sgd --seed 0..4

      ganbench sweep --opt adam:lr=1e-4,adam:lr=2e-4 --steps 500 --dry-run

      ganbench sweep grid.toml --backend local:workers=2 --budget 2h
    """
    flags = {
        "generator": generator,
        "discriminator": discriminator,
        "loss": loss,
        "opt": opt,
        "opt_g": opt_g,
        "opt_d": opt_d,
        "schedule": schedule,
        "rule": rule,
        "data": data,
        "data_root": data_root,
        "steps": steps,
        "batch_size": batch_size,
        "micro_batch_size": micro_batch_size,
        "n_dis": n_dis,
        "z_dim": z_dim,
        "ema_halflife_kimg": ema_halflife_kimg,
        "seed": seed,
        "metrics": metrics,
        "extractor": extractor,
        "extractor_weights": extractor_weights,
        "n_samples": n_samples,
        "device": device,
        "threads": threads,
        "precision": precision,
        "checkpoint_every": checkpoint_every,
    }
    from ganbench.cli.slurm_flags import backend_options
    from ganbench.cli.sweep_request import Request, execute_sweep

    code = execute_sweep(
        Request(
            file=file,
            flags={key: value for key, value in flags.items() if value is not None},
            config=config,
            assignments=assignments or [],
            exclude=exclude or [],
            backend=backend,
            backend_options=backend_options(context, backend) | _given(scheduler=scheduler),
            detach=detach,
            budget=budget,
            dry_run=dry_run,
            rehearse=rehearse,
            out=out,
            force=force,
            as_json=as_json,
            quiet=quiet,
        )
    )
    raise typer.Exit(code)
