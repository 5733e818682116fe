"""Optimizer state as a checkpoint can hold it: tensors, numbers, text, lists and dicts of those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["from_plain", "storable", "to_plain"]

_DTYPE, _PAIRS = "~dtype", "~pairs"


def storable(cls: type[Optimizer]) -> type[Optimizer]:
    """`cls` with a state_dict of plain values; the same class if it has nothing else in it."""

    class Storable(cls):  # type: ignore[misc,valid-type]
        def state_dict(self) -> dict[str, Any]:
            plain: dict[str, Any] = to_plain(super().state_dict())
            return plain

        def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
            super().load_state_dict(from_plain(state_dict))

    Storable.__name__ = Storable.__qualname__ = cls.__name__
    return Storable


def to_plain(value: Any) -> Any:
    """dtypes become their names, and dicts with keys of other kinds lists of pairs."""
    match value:
        case torch.dtype():
            return {_DTYPE: str(value).removeprefix("torch.")}
        case Mapping() if all(isinstance(key, str | int) for key in value):
            return {key: to_plain(one) for key, one in value.items()}
        case Mapping():
            return {_PAIRS: [[key, to_plain(one)] for key, one in value.items()]}
        case list() | tuple():
            return type(value)(to_plain(one) for one in value)
    return value


def from_plain(value: Any) -> Any:
    """The inverse of `to_plain`."""
    match value:
        case {"~dtype": name}:
            return getattr(torch, name)
        case {"~pairs": pairs}:
            return {key: from_plain(one) for key, one in pairs}
        case Mapping():
            return {key: from_plain(one) for key, one in value.items()}
        case list() | tuple():
            return type(value)(from_plain(one) for one in value)
    return value
