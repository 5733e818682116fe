"""Small constant tensors, moved to a device once: every copy to a GPU waits for it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["constant"]


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """`values` with the type and on the device of `like`: (len(values),). Not to be written to."""
    return _constant(values, like.dtype, like.device)


@lru_cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
