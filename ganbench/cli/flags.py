"""The flags that say what a run is: one a setting, shared by all commands that take a run."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from ganbench.spec import RunSpec

__all__ = ["OUTPUT", "RunFlags", "flag", "takes_a_run"]

PARTS = "What plays"
SIZES = "How much"
METRICS = "Metrics"
MACHINE = "Machine and speed"
OUTPUT = "Results and settings"


def flag(
    name: str, help_: str, panel: str = OUTPUT, metavar: str | None = None
) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, help=help_, rich_help_panel=panel, metavar=metavar, show_default=False
    )
    return option


# By setting. All are texts: `RunSpec` says what is wrong with one, in its own words.
_SETTINGS: dict[str, tuple[str, str, str]] = {
    "generator": ("Generator. Default: mlp.", PARTS, "NAME"),
    "discriminator": ("Discriminator. Default: mlp.", PARTS, "NAME"),
    "loss": ("Loss; terms add with +. Default: nonsat.", PARTS, "NAME[+NAME…]"),
    "opt": ("Optimizer of both players. Default: adam.", PARTS, "NAME"),
    "opt_g": ("The generator's optimizer.", PARTS, "NAME"),
    "opt_d": ("The discriminator's optimizer.", PARTS, "NAME"),
    "schedule": ("Learning-rate schedule of both. Default: constant.", PARTS, "NAME"),
    "rule": ("Update rule. Default: alternating.", PARTS, "NAME"),
    "data": ("Data set. Default: fashion-mnist-10k.", PARTS, "NAME"),
    "data_root": ("Folder that holds data sets.", PARTS, "DIR"),
    "steps": ("Generator updates. Default: 1500.", SIZES, "N"),
    "batch_size": ("Examples an update. Default: 128.", SIZES, "N|full"),
    "micro_batch_size": ("Accumulate gradients over pieces of N.", SIZES, "N"),
    "n_dis": ("Discriminator updates a step. Default: 1.", SIZES, "N"),
    "z_dim": ("Dimension of the latent. Default: 100.", SIZES, "N"),
    "ema_halflife_kimg": (
        "Evaluate an averaged generator; half-life in thousands of images. Default: off.",
        SIZES,
        "KIMG",
    ),
    "seed": ("Default: 0.", SIZES, "N"),
    "metrics": ("Default: fid,kid,precision-recall.", METRICS, "NAME,…|none"),
    "extractor": ("Features of the metrics. Default: fmnist-cnn-v1.", METRICS, "NAME"),
    "extractor_weights": ("File with the extractor's weights.", METRICS, "FILE"),
    "n_samples": ("Generated examples to measure. Default: 10000.", METRICS, "N"),
    "eval_every": ("Measure every N steps, too. Default: at the end.", METRICS, "N"),
    "device": ("Default: auto.", MACHINE, "auto|cpu|cuda|cuda:N|mps"),
    "threads": ("CPU threads. Default: all usable cores.", MACHINE, "N"),
    "precision": ("Default: fp32.", MACHINE, "fp32|tf32|bf16|fp16"),
    "cuda_graph": (
        "Whole steps as CUDA graphs, where they fit. Default: auto.",
        MACHINE,
        "auto|on|off",
    ),
    "tape": (
        "Steps on a CPU from a tape, where they fit. Default: auto.",
        MACHINE,
        "auto|on|off",
    ),
    "feed": (
        "Where data lie: on the device if they fit. Default: auto.",
        MACHINE,
        "auto|resident|prefetch",
    ),
    "ranks": ("Demand N processes, as torchrun starts them.", MACHINE, "N"),
    "checkpoint_every": ("Save what a continuation needs.", OUTPUT, "STEPS"),
}
_NUMBERS = {
    *("steps", "batch_size", "micro_batch_size", "n_dis", "z_dim", "ema_halflife_kimg", "seed"),
    *("n_samples", "eval_every", "threads", "ranks", "checkpoint_every"),
}
_SWITCHES = {
    "share_latents": ("One run of G for both players' updates.", MACHINE),
    "joint_batch": ("D scores reals and fakes in one batch.", MACHINE),
    "channels_last": ("Images and weights laid out channels last.", MACHINE),
    "onednn": ("On a CPU: fp32 products by oneDNN.", MACHINE),
    "compile": ("Steps through torch.compile.", MACHINE),
    "vectorize": ("Train all --seeds at once, on stacked networks.", MACHINE),
    "sync_batch_norm": ("With torchrun: statistics of the whole batch.", MACHINE),
}
_FROM_ELSEWHERE: dict[str, Any] = {
    "config": Annotated[
        str | None,
        flag("--config", "Preset (article, article-as-printed) or file.", OUTPUT, "NAME|FILE"),
    ],
    "assignments": Annotated[
        list[str] | None,
        flag("--set", "Any setting, value in TOML; repeatable.", OUTPUT, "KEY=VALUE"),
    ],
}


@dataclass(frozen=True)
class RunFlags:
    """What the user gave: a config's name, `--set` texts, and the flags by setting."""

    config: str | None
    assignments: Sequence[str]
    settings: Mapping[str, Any]

    def spec(self) -> RunSpec:
        """Flags win over `--set`, and `--set` over the config. Raises `UsageError`."""
        from ganbench.cli.config import make_spec

        return make_spec(self.config, self.assignments, self.settings)


def takes_a_run(command: Callable[..., None]) -> Callable[..., None]:
    """`command(flags, …)` as a command with a flag for each setting, before those of its own."""

    @functools.wraps(command)
    def with_flags(**values: Any) -> None:
        settings = {name: _value(name, values.pop(name)) for name in (*_SETTINGS, *_SWITCHES)}
        flags = RunFlags(values.pop("config"), values.pop("assignments") or (), settings)
        command(flags, **values)

    parameters = [
        _parameter(name, Annotated[str | None, flag(_dashed(name), *about)])
        for name, about in _SETTINGS.items()
    ]
    parameters += [
        _parameter(name, Annotated[bool | None, flag(_dashed(name), *about)])
        for name, about in _SWITCHES.items()
    ]
    parameters += [_parameter(name, hint) for name, hint in _FROM_ELSEWHERE.items()]
    hints = get_type_hints(command, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    parameters += [
        p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in own
    ]
    with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_flags.__annotations__ = {p.name: p.annotation for p in parameters}
    del with_flags.__wrapped__  # whose signature is another
    return with_flags


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(name: str, text: Any) -> Any:
    """The number that a flag's text means, where the setting is one."""
    if text is None or name not in _NUMBERS:
        return text
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text
