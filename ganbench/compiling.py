"""torch.compile for the functions of a step, and what it asks of the machine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ganbench.errors import IncompatibleParts, UsageError

if TYPE_CHECKING:
    from ganbench.game import Game

__all__ = ["check_compiler", "compile_step", "compiled", "gains_by_compiling"]

# Optimizers of torch without a fused kernel, whose chains of small operations become one.
_GAIN = {"ASGD", "Adadelta", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"}


def compile_step(game: Game, on: bool = True) -> None:
    """Run the steps of `game` through torch.compile from now on, or as they are: G, both losses,
    and the updates of optimizers that gain by it. With a schedule updates stay as they are: a
    learning rate is a constant of the code.

    torch.compile keeps no more than 8 variants of a function in a process, and from then on runs
    it as it is, with other bits. So what was compiled before is dropped first (a run that needs the
    same code finds it in torch's cache on disk), and more variants than that are an error.
    """
    if on:
        torch.compiler.reset()
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    game.objective.compile(on)
    for player in game.players:
        player.compile(on and not game.schedules)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as torch.compile makes it: forward and backward as generated kernels.

    Random numbers are those of the function as it is. Raises `IncompatibleParts` where a loss
    differentiates twice, which torch.compile can't.
    """
    from torch._dynamo import exc

    fast = torch.compile(function, dynamic=False, options={"fallback_random": True})

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return fast(*args)
        except (exc.TorchDynamoException, exc.FailOnRecompileLimitHit) as error:
            raise IncompatibleParts(
                "compile is on, but torch.compile can't handle this loss, network or optimizer "
                f"({str(error).strip().splitlines()[0]}): drop --compile, or take other parts"
            ) from error

    return call


def gains_by_compiling(optimizer: torch.optim.Optimizer) -> bool:
    """Is its step faster through torch.compile, and the same to rounding?"""
    kind = type(optimizer)
    return kind is getattr(torch.optim, kind.__name__, None) and kind.__name__ in _GAIN


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
