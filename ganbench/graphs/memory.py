"""Memory for the results of a fixed sequence of calls, each of which is needed for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Reused"]

_ALIGNMENT = 64  # bytes: that of torch's own allocator


@dataclass
class _Block:
    """Memory that is needed from one call to another, both included."""

    size: int
    first: int
    last: int
    offset: int = 0

    def beside(self, other: _Block) -> bool:
        return self.first <= other.last and other.first <= self.last


class Reused:
    """Places tensors in one piece of memory, those at one place that are never needed together."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}

    def use(self, tensor: Tensor, first: int, call: int) -> None:
        """The tensor's memory is needed from call `first` on, and in `call`."""
        storage = tensor.untyped_storage()
        block = self._blocks.setdefault(
            storage.data_ptr(), _Block(_rounded_up(storage.nbytes()), first, first)
        )
        block.last = max(block.last, call)

    def moved(self) -> Callable[[Tensor], Tensor]:
        """What gives a tensor its new place, the same view of it; others stay where they are."""
        place(list(self._blocks.values()))
        size = max((one.offset + one.size for one in self._blocks.values()), default=0)
        memory = torch.empty(size, dtype=torch.uint8).untyped_storage()

        def move(tensor: Tensor) -> Tensor:
            block = self._blocks.get(tensor.untyped_storage().data_ptr())
            if block is None:
                return tensor
            start = block.offset // tensor.element_size() + tensor.storage_offset()
            moved = torch.empty(0, dtype=tensor.dtype)
            return moved.set_(memory, start, tensor.shape, tensor.stride())

        return move


def place(blocks: list[_Block]) -> None:
    """Give the blocks offsets: the largest first, each at the lowest place that is free while it is
    needed (greedy by size; Pisarchyk and Lee 2020, https://arxiv.org/abs/2001.03288)."""
    placed: list[_Block] = []
    for block in sorted(blocks, key=lambda one: -one.size):
        block.offset = 0
        for other in sorted(placed, key=lambda one: one.offset):
            if other.beside(block):
                if block.offset + block.size <= other.offset:
                    break
                block.offset = max(block.offset, other.offset + other.size)
        placed.append(block)


def _rounded_up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
