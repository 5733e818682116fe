"""Timing steps inside and outside a trainer that cannot be asked for a single step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader
from work import Block


class Stopwatch:
    """`with Stopwatch() as watch: …`, then `watch.block(steps)`."""

    def __enter__(self) -> Stopwatch:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu

    def block(self, steps: int) -> Block:
        return Block(steps, self.wall, self.cpu)


class TimedLoader:
    """A loader of `steps` + 1 batches that times the trainer which iterates over it.

    Between one request for a batch and the next the trainer fetches a batch and trains on it. So
    the time from the first request to the last is that of `steps` whole steps: what a trainer does
    before its loop and at an epoch's end (checkpoints, pictures) is not counted, to its advantage.
    """

    def __init__(self, batches: DataLoader[Any], steps: int) -> None:
        self._batches, self._steps = batches, steps
        self._requests: list[tuple[float, float]] = []
        self.batch_size, self.dataset = batches.batch_size, batches.dataset

    def __len__(self) -> int:
        return self._steps + 1

    def __iter__(self) -> Iterator[Any]:
        source = iter(self._batches)
        for _ in range(len(self)):
            self._requests.append((time.perf_counter(), time.process_time()))
            try:
                batch = next(source)
            except StopIteration:
                source = iter(self._batches)
                batch = next(source)
            yield batch

    def block(self) -> Block:
        (wall, cpu), (wall_end, cpu_end) = self._requests[0], self._requests[self._steps]
        return Block(self._steps, wall_end - wall, cpu_end - cpu)
