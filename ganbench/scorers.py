"""D as losses see it: one batch at a time, or real and fake examples in one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ganbench.errors import IncompatibleParts

__all__ = ["JointScorer", "ScorerOf", "at_least_float32", "check_examples_are_scored_alone"]


def at_least_float32(x: Tensor) -> Tensor:
    """Low-precision values as float32, so that losses are exact at any precision of the nets."""
    return x.float() if x.element_size() < 4 else x


class ScorerOf:
    """D as losses see it: float32 logits, and the module behind them."""

    __slots__ = ("module",)

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return at_least_float32(self.module(x))


class JointScorer:
    """D for one update: the first call with either batch scores both in one pass.

    Each half is handed out once, to a call with the very tensor that was announced, in the grad
    mode of the pass. Any other call (a batch that a loss augmented, mixed or differentiates) is a
    pass of its own. Logits are float32.
    """

    def __init__(self, module: nn.Module, x_real: Tensor, x_fake: Tensor) -> None:
        self.module = module
        self.used = False
        self._batches = (x_real, x_fake)
        self._halves: list[Tensor | None] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        for i, batch in enumerate(self._batches):
            if x is batch and not x.requires_grad and torch.is_grad_enabled():
                if self._halves is None:
                    logits = at_least_float32(self.module(torch.cat(self._batches)))
                    self._halves = list(logits.split([len(one) for one in self._batches]))
                half, self._halves[i] = self._halves[i], None
                if half is not None:
                    self.used = True
                    return half
        return at_least_float32(self.module(x))


def check_examples_are_scored_alone(
    module: nn.Module, shape: tuple[int, ...], device: torch.device
) -> None:
    """Raises `IncompatibleParts` if D's score of an example depends on its batch: then one batch of
    reals and fakes is another game than two."""
    x = torch.rand(4, *shape, device=device).mul(2).sub(1).requires_grad_()
    (gradient,) = torch.autograd.grad(copy.deepcopy(module)(x)[:2].sum(), x)
    if gradient[2:].any():
        raise IncompatibleParts(
            "joint_batch scores real and fake examples in one batch, but this discriminator's "
            "score of an example depends on the others in it (batch normalisation, or statistics "
            "of a minibatch): drop --joint-batch, or take a discriminator without them, such as "
            "dcgan:norm=none"
        )
