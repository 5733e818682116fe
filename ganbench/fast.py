"""The settings of the fast path that change a result: which parts each needs, and whether it took
effect. All are off unless asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

from ganbench.compiling import check_compiler, compile_step
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.scorers import check_examples_are_scored_alone

if TYPE_CHECKING:
    from ganbench.game import Game
    from ganbench.protocols import Rule
    from ganbench.spec import RunSpec

__all__ = ["check_took_effect", "fast_path", "placed", "rehearse_compiled", "ways_of"]


def placed(module: nn.Module, spec: RunSpec, device: torch.device) -> nn.Module:
    """The network where and how it trains."""
    if spec.channels_last:
        module = module.to(memory_format=torch.channels_last)
    return module.to(device).train()


def fast_path(
    spec: RunSpec, discriminator: nn.Module, shape: tuple[int, ...], device: torch.device
) -> dict[str, bool]:
    """The settings that the players' objective follows.

    Raises `UsageError` for one that these parts or this machine can't follow.
    """
    if spec.cuda_graph == "on" and device.type != "cuda":
        raise UsageError(
            f"cuda_graph is on, which needs a CUDA device, but device is '{device}': "
            "drop --cuda-graph, or use --device cuda where there is one"
        )
    if spec.tape == "on" and device.type != "cpu":
        raise UsageError(
            f"tape is on, which is for steps on a CPU, but device is '{device}': drop --tape"
            + (", or use --cuda-graph" if device.type == "cuda" else "")
        )
    if spec.channels_last and len(shape) != 3:
        raise IncompatibleParts(
            f"channels_last lays out images, but data '{spec.data}' has examples of shape "
            f"{tuple(shape)}: drop --channels-last"
        )
    in_pieces = spec.batch_size == "full" or (
        spec.micro_batch_size is not None and spec.micro_batch_size < spec.batch_size
    )
    if spec.share_latents and in_pieces:
        raise IncompatibleParts(
            f"share_latents keeps a batch's fakes between two updates, but batch_size "
            f"{spec.batch_size} comes in pieces: drop --share-latents, or use a batch_size that "
            "needs no micro_batch_size"
        )
    if spec.joint_batch:
        check_examples_are_scored_alone(discriminator, shape, device)
    if spec.compile:
        if (spec.ranks or 1) > 1:
            raise IncompatibleParts(
                f"compile is on, but {spec.ranks} ranks draw noise and batch statistics together, "
                "which torch.compile can't follow: drop --compile, or run one process"
            )
        check_compiler(device)
    return {
        "share_latents": spec.share_latents,
        "joint_batch": spec.joint_batch,
    }


def check_took_effect(spec: RunSpec, used: Iterable[str]) -> None:
    """After a step: raises `IncompatibleParts` for a setting that changed nothing in it."""
    used = set(used)
    if spec.share_latents and "share_latents" not in used:
        raise IncompatibleParts(
            f"share_latents gives G's update the fakes of D's, but rule '{spec.rule}' with loss "
            f"'{spec.loss}' has no such pair of updates (it may share them already): "
            "drop --share-latents, or use rule alternating"
        )
    if spec.joint_batch and "joint_batch" not in used:
        raise IncompatibleParts(
            f"joint_batch scores real and fake examples in one batch, but loss '{spec.loss}' with "
            f"rule '{spec.rule}' never scores both as they are: drop --joint-batch"
        )


def ways_of(spec: RunSpec, game: Game, why_no_graph: str | None) -> dict[str, str]:
    """Which way steps were made, of those that have the same bits."""
    found = "on" if why_no_graph is None else f"off: {why_no_graph}"
    off = "off: switched off"
    if game.device.type == "cpu":
        graph = off if spec.cuda_graph == "off" else "off: needs a CUDA device"
        return {"feed": game.feed.kind, "cuda_graph": graph, "tape": found}
    tape = off if spec.tape == "off" else "off: is for steps on a CPU"
    return {"feed": game.feed.kind, "cuda_graph": found, "tape": tape}


def rehearse_compiled(spec: RunSpec, game: Game, rule: Rule) -> None:
    """Play a compiled step, so that what can't be compiled is refused before a run starts."""
    compile_step(game)
    try:
        game.play(rule)
    except (RuntimeError, IncompatibleParts) as error:
        if "double backward" not in str(error):
            raise
        raise IncompatibleParts(
            f"compile is on, but loss '{spec.loss}' differentiates a gradient, as a gradient "
            "penalty does, which torch.compile can't: drop --compile, or that penalty"
        ) from error
