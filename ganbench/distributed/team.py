"""The ranks of one run, and what they do together. Every collective is here or in `batch_norm`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from ganbench.distributed.board import Board, RankLost
from ganbench.errors import UsageError
from ganbench.launch import Launch

__all__ = ["Team", "device_of"]

_PATIENCE = timedelta(minutes=30)


def device_of(name: str, place: Launch) -> torch.device:
    """The device of this rank: cpu, or the GPU whose number is its rank on this machine.

    Raises `UsageError` for one GPU named for all, and for more ranks than GPUs.
    """
    if name == "cpu":
        return torch.device("cpu")
    if name != "cuda":
        raise UsageError(
            f"device is '{name}', but {place.size} ranks train on cpu, or on one GPU each: "
            "say cuda, or cpu"
        )
    if place.local_size > torch.cuda.device_count():
        raise UsageError(
            f"{place.local_size} ranks on this machine need a GPU each, and it has "
            f"{torch.cuda.device_count()}: start fewer, or say --device cpu"
        )
    return torch.device("cuda", place.local_rank)


class Team:
    """A process group of the ranks of `place`: NCCL on GPUs, gloo on CPUs."""

    def __init__(self, place: Launch, device: torch.device, board: Board) -> None:
        self.rank = place.rank
        self.size = place.size
        self.device = device
        self.board = board
        self.backend = "nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        with _answering():
            dist.init_process_group(
                self.backend,
                store=PrefixStore("group", board.store),
                rank=self.rank,
                world_size=self.size,
                timeout=_PATIENCE,
            )

    def leave(self) -> None:
        """End the group. A rank that leaves early makes the others' next collective fail."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def rows(self, n: int) -> slice:
        """This rank's part of a batch of n."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, the same bits on each."""
        for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            with _answering():
                dist.all_reduce(flat)
            pieces = flat.split([tensor.numel() for tensor in alike])
            shaped = [piece.view_as(t) for piece, t in zip(pieces, alike, strict=True)]
            torch._foreach_copy_(alike, shaped)

    def total(self, value: float) -> float:
        """The sum of a number over the ranks."""
        return float(self._gathered(value).sum())

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        return bool(self._gathered(float(flag)).any())

    def all_equal(self, value: int) -> bool:
        """Whether every rank has the same number, of up to 52 bits."""
        gathered = self._gathered(float(value))
        return bool((gathered == gathered[0]).all())

    def leaders(self, value: int) -> int:
        """Rank 0's number."""
        return int(self._gathered(float(value))[0])

    def _gathered(self, value: float) -> Tensor:
        values = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        values[self.rank] = value
        self.sum_([values])
        return values.cpu()


@contextmanager
def _answering() -> Iterator[None]:
    """Turn a collective's failure in the body into one word."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(f"another rank does not answer: {str(error).splitlines()[0]}") from error
