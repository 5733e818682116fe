"""Real data for D: resident on the device, in an order that is a function of the seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from ganbench.errors import UsageError
from ganbench.protocols import Data
from ganbench.streams import generator

__all__ = ["Feed", "to_float"]

_FULL_MICRO_BATCH = 1000


def to_float(x: Tensor) -> Tensor:
    """uint8 images -> float32 in [−1, 1]; float points as they are."""
    return x.to(torch.float32).div_(127.5).sub_(1.0) if x.dtype == torch.uint8 else x


class Feed:
    """Shuffled epochs without replacement; each example is shown once an epoch.

    The batch at position p (examples shown so far) depends on (seed, p) only, so a
    continuation needs nothing but p.
    """

    def __init__(
        self,
        data: Data,
        batch_size: int | Literal["full"],
        micro_batch_size: int | None,
        seed: int,
        device: torch.device,
        channels_last: bool = False,
    ) -> None:
        n = len(data)
        if batch_size != "full" and batch_size > n:
            raise UsageError(
                f"batch_size is {batch_size}, but the data has {n} examples: "
                f"use at most {n}, or full"
            )
        self.full = batch_size == "full"
        self.batch_size: int = n if batch_size == "full" else batch_size
        default = min(self.batch_size, _FULL_MICRO_BATCH) if self.full else self.batch_size
        self.micro_batch_size = min(micro_batch_size or default, self.batch_size)
        # Laid out once: a batch picked from it keeps the layout.
        layout = torch.channels_last if channels_last and data.is_images else None
        self._x = data.x.to(device, memory_format=layout or torch.preserve_format)
        self._seed = seed
        self._device = device
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, position: int) -> Tensor:
        """Which examples the batch at `position` holds: int64 (batch_size,)."""
        n = len(self._x)
        if self.full:
            return torch.arange(n, device=self._device)
        epoch, start = divmod(position, n)
        head = self._order_of(epoch)[start : start + self.batch_size]
        if len(head) == self.batch_size:
            return head
        tail = self._order_of(epoch + 1)[: self.batch_size - len(head)]
        return torch.cat([head, tail])

    def micro_batches(self, indices: Tensor) -> Iterator[Tensor]:
        """The examples at `indices` as players see them, in pieces of `micro_batch_size`."""
        whole = len(indices) <= self.micro_batch_size
        for piece in (indices,) if whole else indices.split(self.micro_batch_size):
            yield to_float(self._x.index_select(0, piece))

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            stream = generator(self._seed, "data", epoch)
            self._order = torch.randperm(len(self._x), generator=stream).to(self._device)
            self._epoch = epoch
        return self._order
