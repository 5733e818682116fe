"""For data that do not fit on the device: they stay in memory or in a file, and batches are brought
ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganbench import devices
from ganbench.feed import Feed, Rows, wanted
from ganbench.protocols import Data

if TYPE_CHECKING:
    from ganbench.spec import RunSpec

__all__ = ["PrefetchFeed", "feed_for", "fits"]

_SHARE = 0.5  # of the free memory; networks, gradients and activations have the rest
_KEPT = 3  # pieces: the one at work, the one ahead, and one that a rule may return to
_REMEMBERED = 4  # batches drawn last, by which a rule may ask for examples again


def feed_for(spec: RunSpec, data: Data, device: torch.device) -> Feed:
    """The feed that `spec.feed` names; `auto` is resident where the data fit."""
    resident = spec.feed == "resident" or (spec.feed == "auto" and fits(data, device))
    make = Feed if resident or data.x.device.type != "cpu" else PrefetchFeed
    return make(data, spec.batch_size, spec.micro_batch_size, spec.seed, device, spec.channels_last)


def fits(data: Data, device: torch.device) -> bool:
    """Whether all of the data may lie on the device: they are there already, or would take at most
    half of its free memory. A lazy array is nowhere yet."""
    if data.x.device.type == device.type and not data.lazy:
        return True
    return data.x.nbytes <= _SHARE * devices.free_memory_bytes(device)


@dataclass(frozen=True, slots=True)
class _Brought:
    """A piece, and on CUDA the end of its copy."""

    x: Tensor
    copied: torch.cuda.Event | None = None


class PrefetchFeed(Feed):
    """As `Feed`, and the same bits. While a piece of a batch is at work, a thread gathers the next:
    on CUDA into pinned memory, and copies it from there on a stream of its own.

    The thread begins with the first batch and ends with `close`, or with the feed.
    """

    kind = "prefetch"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._worker = ThreadPoolExecutor(1, "ganbench-feed")
        self._pieces: dict[tuple[int, int], Future[_Brought]] = {}
        self._drawn: deque[tuple[Tensor, int]] = deque(maxlen=_REMEMBERED)
        self._rows: Rows | None = None

    def indices(self, position: int) -> Tensor:
        position = 0 if self.full else position
        indices = super().indices(position)
        self._drawn.append((indices, position))
        return indices

    def settle(self) -> None:
        wait(self._pieces.values())

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._pieces.clear()

    def _settled(self, x: Tensor, device: torch.device) -> Tensor:
        self._device = device
        self._pinned = _Pinned(device) if device.type == "cuda" else None
        return x

    def _examples(self, indices: Tensor, rows: Rows | None) -> Iterator[Tensor]:
        if rows != self._rows:
            self._pieces.clear()
            self._rows = rows
        pieces = self.pieces(indices)
        position = next((at for drawn, at in self._drawn if drawn is indices), None)
        for i, piece in enumerate(pieces):
            if position is None:  # not drawn here, or long ago
                future = self._worker.submit(self._bring, wanted(piece, rows))
            else:
                future = self._piece(position, i, piece)
                self._go_ahead(position, i + 1, pieces)
            yield self._here(future.result())

    def _go_ahead(self, position: int, i: int, pieces: tuple[Tensor, ...]) -> None:
        """Ask for piece i of the batch at `position`, or for the first one of the batch after."""
        if i < len(pieces):
            self._piece(position, i, pieces[i])
            return
        after = 0 if self.full else position + self.batch_size
        if (after, 0) not in self._pieces:
            self._piece(after, 0, self.pieces(super().indices(after))[0])

    def _piece(self, position: int, i: int, piece: Tensor) -> Future[_Brought]:
        future = self._pieces.pop((position, i), None)
        if future is None:
            future = self._worker.submit(self._bring, wanted(piece, self._rows))
        self._pieces[position, i] = future  # the last to be forgotten
        if len(self._pieces) > _KEPT:
            del self._pieces[next(iter(self._pieces))]
        return future

    def _bring(self, indices: Tensor) -> _Brought:
        """In the thread: the examples at `indices`, on their way to the device."""
        if self._pinned is not None:
            return self._pinned.bring(self._x, indices, self._laid_out)
        x = torch.empty(len(indices), *self._x.shape[1:], dtype=self._x.dtype)
        _gather(self._x, indices, x)
        return _Brought(self._laid_out(x))

    def _here(self, piece: _Brought) -> Tensor:
        """The piece for the work that comes, on the device. Points are copied: players see them as
        they are, and the piece may be asked for again."""
        x = piece.x
        if piece.copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(piece.copied)
            x.record_stream(stream)  # its memory is not used anew before this stream is done
        x = x.to(self._device)
        return x if x.dtype == torch.uint8 else x.clone()


class _Pinned:
    """Two buffers of pinned memory in turn, and a stream that copies from them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._buffers: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def bring(self, x: Tensor, indices: Tensor, laid_out: Callable[[Tensor], Tensor]) -> _Brought:
        buffer = self._free_buffer(len(indices), x)
        _gather(x, indices, buffer[: len(indices)])
        with torch.cuda.stream(self._stream):
            there = laid_out(buffer[: len(indices)].to(self._device, non_blocking=True))
            copied = self._stream.record_event()
        self._buffers.append((buffer, copied))
        return _Brought(there, copied)

    def _free_buffer(self, n: int, x: Tensor) -> Tensor:
        """The older buffer, once its copy has ended; a new one where none is large enough."""
        if len(self._buffers) == 2:
            buffer, copied = self._buffers.popleft()
            copied.synchronize()
            if len(buffer) >= n:
                return buffer
        return torch.empty(n, *x.shape[1:], dtype=x.dtype, pin_memory=True)


def _gather(x: Tensor, indices: Tensor, out: Tensor) -> None:
    """out ← x[indices], on one thread: the others are at work on the step."""
    if x.is_contiguous():
        np.take(x.numpy(), indices.numpy(), axis=0, out=out.numpy(), mode="clip")
    else:  # numpy would copy all of it first
        torch.index_select(x, 0, indices, out=out)
