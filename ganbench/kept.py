"""The data set and the extractor that a run leaves to the next run of the same process.

A process that makes many runs, as a sweep's worker does, would read the same files and build the
same tensors for each. The last data set and the last extractor are kept, of factories that say what
they depend on: by an attribute `files_read`, a function of all their arguments that names the files
they read, and without which, or where it gives None, nothing is kept. They are made anew where an
option, the device, or a file's place, size or time is another, and where a run wrote to them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganbench.plan import Part, Plan
from ganbench.protocols import Data

__all__ = ["data_of", "extractor_of"]


@dataclass(frozen=True, slots=True)
class _Kept:
    made_from: Any
    made: Any
    as_made: Any


_last: dict[str, _Kept] = {}


def data_of(plan: Plan) -> Data:
    """The data set that the plan names."""
    return _kept_or_made(plan.data, (plan.spec.data_root,), torch.device("cpu"))  # type: ignore[no-any-return]


def extractor_of(plan: Plan, data: Data, device: torch.device) -> nn.Module | None:
    """The extractor that the plan names, on the device; None if no metric has a use for it."""
    if not (plan.metrics and data.is_images):
        return None
    return _kept_or_made(plan.extractor, (), device)  # type: ignore[no-any-return]


def _kept_or_made(part: Part, args: tuple[Any, ...], device: torch.device) -> Any:
    kind, factory = part.registered.kind, part.registered.factory
    files = getattr(factory, "files_read", _not_said)(*args, **part.options)
    if files is None:
        _last.pop(kind, None)
        return _made(part, args, device)
    # As they are before they are read: one that changes meanwhile is another to the next run.
    files = [(file, *_stat(file)) for file in files]
    made_from = (factory, args, part.options, device, files)
    kept = _last.get(kind)
    if kept and kept.made_from == made_from and _state_of(kept.made) == kept.as_made:
        return kept.made
    kept = None
    _last.pop(kind, None)  # let go of before the next is made: memory holds one
    made = _made(part, args, device)
    _last[kind] = _Kept(made_from, made, _state_of(made))
    return made


def _made(part: Part, args: tuple[Any, ...], device: torch.device) -> Any:
    made = part.create(*args)
    return made.to(device) if isinstance(made, nn.Module) else made


def _not_said(*args: Any, **options: Any) -> None:
    return None


def _stat(file: Path) -> tuple[int, ...]:
    """Nothing of a file that is not there."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _state_of(made: Data | nn.Module) -> list[Any]:
    """What is another after a write, as torch counts them, or a change of mode or facts."""
    if isinstance(made, Data):
        tensors = [made.x] if made.labels is None else [made.x, made.labels]
        rest: list[Any] = [copy.deepcopy(dict(made.facts))]
    else:
        tensors = [*made.parameters(), *made.buffers()]
        rest = [part.training for part in made.modules()]
    return [*((t.data_ptr(), t.dtype, t.device, t._version) for t in tensors), *rest]
