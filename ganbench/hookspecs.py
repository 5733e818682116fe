"""The hooks a plugin implements, one per kind of component.

Each returns `{name: factory}`. A factory is a callable or the text 'module:attribute', which
is imported when the component is first used. Its keyword parameters are the options a user may
give; `ganbench plugins show` prints its docstring.
"""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from ganbench.protocols import Factory

__all__ = [
    "API_VERSION",
    "HOOK_OF_KIND",
    "KINDS",
    "OLDEST_API_VERSION",
    "hookimpl",
    "hookspec",
]

# What a plugin may declare as `ganbench_api`; docs/plugin-api.md says what changes it.
API_VERSION = 1
OLDEST_API_VERSION = 1

hookspec = pluggy.HookspecMarker("ganbench")
hookimpl = pluggy.HookimplMarker("ganbench")


@hookspec
def ganbench_generators() -> Mapping[str, Factory]:
    """generator(z_dim, shape, **options) -> nn.Module: (N, z_dim) -> (N, *shape) in [−1, 1]."""
    return {}


@hookspec
def ganbench_discriminators() -> Mapping[str, Factory]:
    """discriminator(shape, **options) -> nn.Module: (N, *shape) -> logits (N,)."""
    return {}


@hookspec
def ganbench_losses() -> Mapping[str, Factory]:
    """loss(**options) -> ganbench.protocols.Loss."""
    return {}


@hookspec
def ganbench_optimizers() -> Mapping[str, Factory]:
    """optimizer(module, **options) -> torch.optim.Optimizer over the module's parameters."""
    return {}


@hookspec
def ganbench_schedules() -> Mapping[str, Factory]:
    """schedule(optimizer, steps, **options) -> a torch LRScheduler, or None for no schedule."""
    return {}


@hookspec
def ganbench_rules() -> Mapping[str, Factory]:
    """rule(**options) -> a function that plays one step: (Game) -> Terms."""
    return {}


@hookspec
def ganbench_data() -> Mapping[str, Factory]:
    """data(root, **options) -> ganbench.protocols.Data; `root` is --data-root, or None."""
    return {}


@hookspec
def ganbench_extractors() -> Mapping[str, Factory]:
    """extractor(**options) -> nn.Module: uint8 (N, C, H, W) -> features (N, d)."""
    return {}


@hookspec
def ganbench_metrics() -> Mapping[str, Factory]:
    """metric(**options) -> a function: (ganbench.evaluation.Evaluation) -> {name: value}."""
    return {}


@hookspec
def ganbench_trackers() -> Mapping[str, Factory]:
    """tracker(**options) -> ganbench.protocols.Tracker, chosen with --tracker."""
    return {}


@hookspec
def ganbench_backends() -> Mapping[str, Factory]:
    """backend(**options) -> ganbench.protocols.Backend, chosen with ganbench sweep --backend."""
    return {}


@hookspec
def ganbench_commands() -> Mapping[str, Factory]:
    """command: a typer.Typer, or a function that typer can make a command of: ganbench NAME."""
    return {}


HOOK_OF_KIND = {
    "generator": "ganbench_generators",
    "discriminator": "ganbench_discriminators",
    "loss": "ganbench_losses",
    "optimizer": "ganbench_optimizers",
    "schedule": "ganbench_schedules",
    "rule": "ganbench_rules",
    "data": "ganbench_data",
    "extractor": "ganbench_extractors",
    "metric": "ganbench_metrics",
    "tracker": "ganbench_trackers",
    "backend": "ganbench_backends",
    "command": "ganbench_commands",
}
KINDS = tuple(HOOK_OF_KIND)
