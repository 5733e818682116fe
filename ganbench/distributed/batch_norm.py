"""Batch normalisation with the statistics of the whole batch, on any device, differentiable twice.

torch's own SyncBatchNorm needs a GPU and has no second derivative, which gradient penalties take.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["batch_norms", "synchronise"]


def batch_norms(*modules: nn.Module) -> list[_BatchNorm]:
    """Every batch normalisation in these networks."""
    return [layer for one in modules for layer in one.modules() if isinstance(layer, _BatchNorm)]


def synchronise(*modules: nn.Module) -> None:
    """From now on, normalise by the mean and variance over all ranks. Parameters stay the same."""
    for layer in batch_norms(*modules):
        cls = type(layer)
        if not isinstance(layer, _Synchronised):
            layer.__class__ = type(f"Synchronised{cls.__name__}", (_Synchronised, cls), {})


class _Sum(torch.autograd.Function):
    """Σ over ranks; so is its gradient, as each rank's loss depends on each rank's input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed: Tensor = _Sum.apply(gradient)
        return summed


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)
    return total


class _Synchronised(_BatchNorm):
    """y = (x − μ)/√(σ² + eps) · weight + bias, with μ and σ² over the ranks: (N, C, …) -> same.

    Ioffe & Szegedy 2015 (arXiv:1502.03167), algorithm 1. Outside training, or once the ranks have
    parted, it is the plain layer.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        dims = [dim for dim in range(x.ndim) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(x.ndim)]
        values = x.float() if x.element_size() < 4 else x
        count = torch.full((1,), x.numel() / x.shape[1], dtype=values.dtype, device=x.device)
        sums = _sum(torch.cat([values.sum(dims), count]))
        n = sums[-1].detach()
        mean = sums[:-1] / n
        centred = values - mean.view(shape)
        variance = _sum(centred.square().sum(dims)) / n
        self._remember(mean.detach(), variance.detach() * (n / (n - 1)))
        y = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        part = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, part)
        self.running_var.lerp_(variance, part)
