"""What every metric must do, whoever wrote it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ganbench.builtin.extractors import fmnist_cnn_v1
from ganbench.errors import IncompatibleParts
from ganbench.evaluation import Evaluation
from ganbench.grammar import parse_component
from ganbench.plan import Part, make_part
from ganbench.registry import Registry, default_registry
from ganbench.testing.faults import (
    ChangesInputs,
    Crash,
    HiddenRandomness,
    NotDeterministic,
    NotFinite,
    WrongInterface,
)
from ganbench.testing.purity import SEED, leaves_alone, well_behaved
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_metric"]

_N, _Z_DIM = 48, 3
_DATA = {
    "fashion-mnist-10k": "mlp:hidden=[8]",
    "ring8:n=48": "mlp:hidden=[8]",
    "dirac:n=48": "dirac",
}


def check_metric(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the metric keeps every rule of docs/plugins.md.

    It measures untrained generators of images, of a mixture in the plane and of one point; it may
    refuse some of them (`IncompatibleParts`).
    """
    part = subject_of("metric", component, registry)
    refusals = []
    for data, generator in _DATA.items():
        try:
            _check_on(part, data, generator)
        except IncompatibleParts as error:
            refusals.append(str(error))
    if len(refusals) == len(_DATA):
        raise Crash(part.label, f"refuses every kind of data: {'; '.join(refusals)}")


def _check_on(part: Part, data: str, generator: str) -> None:
    label, results = part.label, []
    for seed in (SEED, SEED + 1):
        with well_behaved(label, "the metric", seed):
            evaluation = _evaluation(data, generator)
            modes = [module.training for module in evaluation.generator.modules()]
            _ = evaluation.x_fake
            state = torch.get_rng_state()
            written = dict(evaluation.generator.state_dict(), x_real=evaluation.x_real)
            written |= {"x_fake": evaluation.x_fake, "z": evaluation.z}
            with leaves_alone(label, "the metric", **written):
                values = part.create()(evaluation)
            _check_values(label, values)
            results.append({name: float(value) for name, value in values.items()})
            if not torch.equal(torch.get_rng_state(), state):
                found = "moves torch's global random state: measuring in mid-run would change it"
                raise HiddenRandomness(label, f"{found}; draw from a torch.Generator of its own")
            if [module.training for module in evaluation.generator.modules()] != modes:
                raise ChangesInputs(label, "leaves the generator in another mode")
    if results[0] != results[1]:
        found = f"measures {results[0]}, and then {results[1]} on the same samples"
        raise NotDeterministic(label, found)


def _check_values(label: str, values: Any) -> None:
    if not isinstance(values, Mapping) or not values:
        found = f"returns {type(values).__name__}, not a mapping of names to numbers"
        raise WrongInterface(label, found)
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, float | int):
            raise WrongInterface(label, f"its value {name!r} is {value!r}, not a Python number")
        if not math.isfinite(value):
            raise NotFinite(label, f"its value '{name}' is {value} on {_N} samples")


def _evaluation(data: str, generator: str) -> Evaluation:
    registry = default_registry()
    component = parse_component(data)
    loaded = make_part(registry, "data", component).create(None)
    z = torch.randn(_N, _Z_DIM, generator=torch.Generator().manual_seed(4))
    torch.manual_seed(1)
    players = [
        make_part(registry, kind, parse_component(generator)).create(*arguments)
        for kind, arguments in (
            ("generator", (_Z_DIM, loaded.shape)),
            ("discriminator", (loaded.shape,)),
        )
    ]
    return Evaluation(
        players[0],
        loaded.x[:_N],
        z=z,
        extractor=fmnist_cnn_v1() if loaded.is_images else None,
        device=torch.device("cpu"),
        data_label=component.name,
        discriminator=players[1],
        facts=loaded.facts,
    )
