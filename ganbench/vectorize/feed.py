"""Real data for several seeds: each seed's own order, from one copy of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ganbench.feed import Feed, Rows, to_float

__all__ = ["SeedsFeed"]


class SeedsFeed(Feed):
    """The feeds of S seeds as one: indices (S, n), examples (S, n, …)."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self.full, self.batch_size = feeds[0].full, feeds[0].batch_size
        self.micro_batch_size = feeds[0].micro_batch_size
        self._feeds = feeds
        self._x = feeds[0]._x

    def indices(self, position: int) -> Tensor:
        return torch.stack([feed.indices(position) for feed in self._feeds])

    def micro_batches(self, indices: Tensor, rows: Rows | None = None) -> Iterator[Tensor]:
        for piece in self.pieces(indices):
            yield to_float(self.examples(piece))

    def examples(self, indices: Tensor) -> Tensor:
        picked = self._x.index_select(0, indices.reshape(-1))
        return picked.view(*indices.shape, *picked.shape[1:])

    def pieces(self, batch: Tensor) -> tuple[Tensor, ...]:
        return torch.split(batch, self.micro_batch_size, dim=1)
