"""Random numbers drawn for the whole batch, of which a rank takes its rows.

A penalty draws one number an example. Drawn so, each example gets the number that it would get in
one process, and the ranks' streams stay in step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["DrawnForAll"]

_BY_SIZE = {torch.rand, torch.randn}
_LIKE = {torch.rand_like, torch.randn_like}


class DrawnForAll(TorchFunctionMode):
    """In the body, a draw of as many rows as this rank has is its part of a draw of `n` rows."""

    def __init__(self, n: int, rows: slice) -> None:
        super().__init__()
        self._n = n
        self._rows = rows
        self._mine = rows.stop - rows.start

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs, draw = kwargs or {}, func
        if func in _BY_SIZE and args:
            size = args[0] if isinstance(args[0], Sequence) else args
            if size and size[0] == self._mine:
                return func(self._n, *size[1:], **kwargs)[self._rows]
        elif func is torch.randint and "size" not in kwargs:
            *bounds, size = args
            if size and size[0] == self._mine:
                return draw(*bounds, (self._n, *size[1:]), **kwargs)[self._rows]
        elif func in _LIKE and args[0].ndim and len(args[0]) == self._mine:
            return self._like(func, args[0], kwargs)
        return func(*args, **kwargs)

    def _like(self, func: Any, x: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
        """A draw fills memory in order, so the whole must lie as the part does."""
        whole = torch.empty((self._n, *x.shape[1:]), dtype=x.dtype, device=x.device)
        if x.ndim == 4 and not x.is_contiguous():
            whole = whole.contiguous(memory_format=torch.channels_last)
        drawn: Tensor = func(whole, **kwargs)
        return drawn[self._rows]
