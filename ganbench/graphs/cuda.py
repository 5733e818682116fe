"""What records a step on CUDA: torch.cuda.CUDAGraph."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ganbench.errors import IncompatibleParts
from ganbench.graphs.rule import Recording

__all__ = ["CudaRecorder"]


class CudaRecorder:
    """Records on a stream of its own, on which the steps before were played too.

    Random numbers are those of a step that is not recorded: a launch reads where the generators
    stand, and moves them on.
    """

    plays_while_recording = False

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    @contextmanager
    def aside(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    @contextmanager
    def no_waiting(self) -> Iterator[None]:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def record(self, step: Callable[[], Tensor], generator: torch.Generator) -> Recording:
        with torch.cuda.device(self._device):
            gc.collect()  # nothing may be freed by chance while the step is recorded
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(generator)
            try:
                with torch.cuda.graph(graph, stream=self._stream):
                    result = step()
            except RuntimeError as error:
                self._check_device_works(error)
                raise
        return Recording(graph.replay, result)

    def _check_device_works(self, error: RuntimeError) -> None:
        """A recording that failed may leave the device's random stream inside it for good."""
        try:
            torch.rand(1, device=self._device)
            torch.cuda.synchronize(self._device)
        except RuntimeError:
            raise IncompatibleParts(
                "a step could not be recorded as a CUDA graph "
                f"({str(error).strip().splitlines()[0]}), and the device can't go on after that: "
                "use --cuda-graph off"
            ) from error
