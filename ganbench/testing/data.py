"""What every data set must do, whoever wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganbench.protocols import Data
from ganbench.registry import Registry
from ganbench.streams import isolated
from ganbench.testing.faults import (
    HiddenRandomness,
    NotDeterministic,
    NotFinite,
    UnwritableOption,
    WrongInterface,
    WrongShape,
    crashes_are_faults,
)
from ganbench.testing.purity import SEED, same_bits, well_behaved
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_dataset"]


def check_dataset(
    component: Component, *, root: Path | None = None, registry: Registry | None = None
) -> None:
    """Raise a `ConformanceFailure` unless the data set keeps every rule of docs/plugins.md.

    `root` is what --data-root would be. Raises `UsageError` if the data can't be had.
    """
    part = subject_of("data", component, registry)
    with isolated(SEED), crashes_are_faults(part.label, "the data set"):
        first = part.create(root)  # also imports what it needs, which may use a random state
    with well_behaved(part.label, "the data set", SEED + 1):
        state = torch.get_rng_state()
        second = part.create(root)
        if not torch.equal(torch.get_rng_state(), state):
            found = "draws from torch's global random state, which differs from run to run"
            raise HiddenRandomness(part.label, f"{found}: use a torch.Generator and a seed option")
    _check_content(part.label, first)
    if not same_bits(_tensors(first), _tensors(second)):
        raise NotDeterministic(part.label, "is other data when it is loaded again")
    try:
        json.dumps(dict(first.facts))
    except (TypeError, ValueError) as error:
        raise UnwritableOption(part.label, f"has facts that JSON can't hold: {error}") from error


def _check_content(label: str, data: Any) -> None:
    if not isinstance(data, Data):
        found = f"the factory returns {type(data).__name__}, not ganbench.protocols.Data"
        raise WrongInterface(label, found)
    x, labels = data.x, data.labels
    if len(x) == 0:
        raise WrongShape(label, "has no examples")
    images = x.ndim == 4 and x.dtype == torch.uint8
    points = x.ndim == 2 and x.dtype.is_floating_point
    if not (images or points):
        found = f"x is {x.dtype} of shape {tuple(x.shape)}, neither uint8 images (N, C, H, W)"
        raise WrongShape(label, f"{found} nor float points (N, d)")
    if points and not bool(x.isfinite().all()):
        raise NotFinite(label, "has points that are not finite")
    if labels is not None and (labels.shape != (len(x),) or labels.dtype != torch.int64):
        found = f"labels are {labels.dtype} of shape {tuple(labels.shape)}"
        raise WrongShape(label, f"{found}, not int64 of shape ({len(x)},)")


def _tensors(data: Data) -> list[Tensor]:
    return [data.x, *([] if data.labels is None else [data.labels])]
