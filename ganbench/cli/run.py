"""`ganbench run`: its flags. What they do is in `request`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from ganbench.cli.plugin_commands import local_plugins_option

__all__ = ["run"]

_PARTS = "What plays"
_SIZES = "How much"
_MACHINE = "Machine and speed"
_METRICS = "Metrics"
_OUTPUT = "Results and settings"


def _flag(name: str, help_: str, panel: str, metavar: str | None = None) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, help=help_, rich_help_panel=panel, metavar=metavar, show_default=False
    )
    return option


def run(
    generator: Annotated[
        str | None, _flag("--generator", "Generator. Default: mlp.", _PARTS, "NAME")
    ] = None,
    discriminator: Annotated[
        str | None, _flag("--discriminator", "Discriminator. Default: mlp.", _PARTS, "NAME")
    ] = None,
    loss: Annotated[
        str | None,
        _flag("--loss", "Loss; terms add with +. Default: nonsat.", _PARTS, "NAME[+NAME…]"),
    ] = None,
    opt: Annotated[
        str | None, _flag("--opt", "Optimizer of both players. Default: adam.", _PARTS, "NAME")
    ] = None,
    opt_g: Annotated[
        str | None, _flag("--opt-g", "The generator's optimizer.", _PARTS, "NAME")
    ] = None,
    opt_d: Annotated[
        str | None, _flag("--opt-d", "The discriminator's optimizer.", _PARTS, "NAME")
    ] = None,
    schedule: Annotated[
        str | None,
        _flag("--schedule", "Learning-rate schedule of both. Default: constant.", _PARTS, "NAME"),
    ] = None,
    rule: Annotated[
        str | None, _flag("--rule", "Update rule. Default: alternating.", _PARTS, "NAME")
    ] = None,
    data: Annotated[
        str | None, _flag("--data", "Data set. Default: fashion-mnist-10k.", _PARTS, "NAME")
    ] = None,
    data_root: Annotated[
        Path | None, _flag("--data-root", "Folder that holds data sets.", _PARTS, "DIR")
    ] = None,
    steps: Annotated[
        str | None, _flag("--steps", "Generator updates. Default: 1500.", _SIZES, "N")
    ] = None,
    batch_size: Annotated[
        str | None, _flag("--batch-size", "Examples an update. Default: 128.", _SIZES, "N|full")
    ] = None,
    micro_batch_size: Annotated[
        str | None,
        _flag("--micro-batch-size", "Accumulate gradients over pieces of N.", _SIZES, "N"),
    ] = None,
    n_dis: Annotated[
        str | None, _flag("--n-dis", "Discriminator updates a step. Default: 1.", _SIZES, "N")
    ] = None,
    z_dim: Annotated[
        str | None, _flag("--z-dim", "Dimension of the latent. Default: 100.", _SIZES, "N")
    ] = None,
    ema_halflife_kimg: Annotated[
        str | None,
        _flag(
            "--ema-halflife-kimg",
            "Evaluate an averaged generator; half-life in thousands of images. Default: off.",
            _SIZES,
            "KIMG",
        ),
    ] = None,
    seed: Annotated[str | None, _flag("--seed", "Default: 0.", _SIZES, "N")] = None,
    metrics: Annotated[
        str | None,
        _flag("--metrics", "Default: fid,kid,precision-recall.", _METRICS, "NAME,…|none"),
    ] = None,
    extractor: Annotated[
        str | None,
        _flag("--extractor", "Features of the metrics. Default: fmnist-cnn-v1.", _METRICS, "NAME"),
    ] = None,
    extractor_weights: Annotated[
        Path | None,
        _flag("--extractor-weights", "File with the extractor's weights.", _METRICS, "FILE"),
    ] = None,
    n_samples: Annotated[
        str | None,
        _flag("--n-samples", "Generated examples to measure. Default: 10000.", _METRICS, "N"),
    ] = None,
    device: Annotated[
        str | None,
        _flag("--device", "Default: auto.", _MACHINE, "auto|cpu|cuda|cuda:N|mps"),
    ] = None,
    threads: Annotated[
        str | None, _flag("--threads", "CPU threads. Default: all usable cores.", _MACHINE, "N")
    ] = None,
    precision: Annotated[
        str | None, _flag("--precision", "Default: fp32.", _MACHINE, "fp32|tf32|bf16|fp16")
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        _flag("--checkpoint-every", "Save what a continuation needs.", _OUTPUT, "STEPS"),
    ] = None,
    out: Annotated[
        Path, _flag("--out", "Results folder. Default: results.", _OUTPUT, "DIR")
    ] = Path("results"),
    config: Annotated[
        str | None,
        _flag("--config", "Preset (article, article-as-printed) or file.", _OUTPUT, "NAME|FILE"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        _flag("--set", "Any setting, value in TOML; repeatable.", _OUTPUT, "KEY=VALUE"),
    ] = None,
    trackers: Annotated[
        list[str] | None,
        _flag("--tracker", "A plugin that watches the run; repeatable.", _OUTPUT, "NAME"),
    ] = None,
    plugins: Annotated[list[str] | None, local_plugins_option(_OUTPUT)] = None,
    force: Annotated[bool, _flag("--force", "Run anew what is already done.", _OUTPUT)] = False,
    as_json: Annotated[
        bool, _flag("--json", "Print the record as JSON, and nothing else.", _OUTPUT)
    ] = False,
    quiet: Annotated[bool, _flag("--quiet", "Print errors only.", _OUTPUT)] = False,
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

      ganbench run --config article --set opt=rmsprop:lr=1e-4
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
        "steps": _number_or_text(steps),
        "batch_size": _number_or_text(batch_size),
        "micro_batch_size": _number_or_text(micro_batch_size),
        "n_dis": _number_or_text(n_dis),
        "z_dim": _number_or_text(z_dim),
        "ema_halflife_kimg": _number_or_text(ema_halflife_kimg),
        "seed": _number_or_text(seed),
        "metrics": metrics,
        "extractor": extractor,
        "extractor_weights": extractor_weights,
        "n_samples": _number_or_text(n_samples),
        "device": device,
        "threads": _number_or_text(threads),
        "precision": precision,
        "checkpoint_every": _number_or_text(checkpoint_every),
    }
    from ganbench.cli.request import execute_request

    code = execute_request(
        config, assignments or [], flags, out, trackers or [], force, as_json, quiet
    )
    raise typer.Exit(code)


def _number_or_text(text: str | None) -> int | float | str | None:
    """The number that a flag's text means. `RunSpec` explains what is wrong with anything else."""
    if text is None:
        return None
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text
