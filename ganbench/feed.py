"""Real data for D: resident on the device, in an order that is a function of the seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ganbench.errors import UsageError
from ganbench.protocols import Data
from ganbench.streams import generator

__all__ = ["Feed", "Rows", "to_float"]

_FULL_MICRO_BATCH = 1000

Rows: TypeAlias = "Callable[[int], slice]"
"""Which rows of a piece of n examples are wanted."""


def to_float(x: Tensor) -> Tensor:
    """uint8 images -> float32 in [−1, 1]; float points as they are."""
    return x.to(torch.float32).div_(127.5).sub_(1.0) if x.dtype == torch.uint8 else x


class Feed:
    """Shuffled epochs without replacement; each example is shown once an epoch.

    The batch at position p (examples shown so far) depends on (seed, p) only, so a
    continuation needs nothing but p.
    """

    kind = "resident"

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
        self._channels_last = channels_last and data.is_images
        self._x = self._settled(data.x, device)
        self._seed = seed
        self._latest: tuple[Tensor, Tensor, int] | None = None  # indices, examples, their version
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, position: int) -> Tensor:
        """Which examples the batch at `position` holds: int64 (batch_size,), where the data are."""
        n = len(self._x)
        if self.full:
            return torch.arange(n, device=self._x.device)
        epoch, start = divmod(position, n)
        head = self._order_of(epoch)[start : start + self.batch_size]
        if len(head) == self.batch_size:
            return head
        tail = self._order_of(epoch + 1)[: self.batch_size - len(head)]
        return torch.cat([head, tail])

    def micro_batches(self, indices: Tensor, rows: Rows | None = None) -> Iterator[Tensor]:
        """The examples at `indices` as players see them, in pieces of `micro_batch_size`; of each
        piece all, or the `rows`. A batch in one piece is made once for all who ask for it in a
        row, such as both players' updates, unless one of them wrote to it."""
        if rows is not None or len(indices) > self.micro_batch_size:
            yield from map(to_float, self._examples(indices, rows))
            return
        latest = self._latest
        if latest is None or latest[0] is not indices or latest[1]._version != latest[2]:
            (piece,) = self._examples(indices, None)
            x = to_float(piece)
            self._latest = latest = (indices, x, x._version)
        yield latest[1].detach()

    def examples(self, indices: Tensor) -> Tensor:
        """The examples at `indices` as the data has them, on the device."""
        first, *rest = self._examples(indices, None)
        return torch.cat([first, *rest]) if rest else first

    def pieces(self, batch: Tensor) -> tuple[Tensor, ...]:
        """A batch, be it of indices or of examples, in pieces of `micro_batch_size`."""
        whole = len(batch) <= self.micro_batch_size
        return (batch,) if whole else batch.split(self.micro_batch_size)

    def settle(self) -> None:
        """Wait until no batch is on its way."""

    def close(self) -> None:
        """End what a feed has besides memory. It draws no more batches."""

    def _settled(self, x: Tensor, device: torch.device) -> Tensor:
        """The data where they stay while players train on `device`."""
        return x.to(device)

    def _examples(self, indices: Tensor, rows: Rows | None) -> Iterator[Tensor]:
        for piece in self.pieces(indices):
            yield self._laid_out(self._x.index_select(0, wanted(piece, rows)))

    def _laid_out(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self._channels_last else x

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            stream = generator(self._seed, "data", epoch)
            self._order = torch.randperm(len(self._x), generator=stream).to(self._x.device)
            self._epoch = epoch
        return self._order


def wanted(piece: Tensor, rows: Rows | None) -> Tensor:
    return piece if rows is None else piece[rows(len(piece))]
