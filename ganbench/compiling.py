"""torch.compile for the functions of a step, and what it asks of the machine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from ganbench.errors import IncompatibleParts, UsageError

__all__ = ["check_compiler", "compiled"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as torch.compile makes it: forward and backward as generated kernels.

    Random numbers are those of the function as it is. Raises `IncompatibleParts` where a loss
    differentiates twice, which torch.compile can't.
    """
    fast = torch.compile(function, dynamic=False, options={"fallback_random": True})

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return fast(*args)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise IncompatibleParts(
                "compile is on, but torch.compile can't handle this loss or network "
                f"({str(error).strip().splitlines()[0]}): drop --compile, or take other parts"
            ) from error

    return call


def check_compiler(device: torch.device) -> None:
    """Raises `UsageError` where torch.compile lacks what it generates code with."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise UsageError(
                "compile is on, but torch.compile needs Triton for a CUDA device, which is not "
                "here: install triton, or drop --compile"
            )
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise UsageError(
            "compile is on, but torch.compile needs a C++ compiler on a CPU, and there is none: "
            "install g++ or clang (or name one in the variable CXX), or drop --compile"
        ) from None
