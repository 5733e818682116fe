"""torch's Adam with its fused kernel, and less around that kernel at each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

__all__ = ["FusedAdam"]


def _torchs_step() -> Callable[..., Any]:
    """Adam's step without its hooks, which torch adds to a class at its first optimizer."""
    step: Any = torch.optim.Adam.step
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[no-any-return]


def _as_they_lie(lists: list[list[Tensor]]) -> list[list[Tensor]]:
    """The same numbers with their dimensions in the order of memory, where all tensors of a
    parameter lie alike: on a CPU the kernel would copy each into the order of its indices and back.
    """
    if all(map(Tensor.is_contiguous, lists[0])):
        return lists
    rows = list(zip(*lists, strict=True))
    for i, row in enumerate(rows):
        if not row[0].is_contiguous():
            order = sorted(range(row[0].ndim), key=row[0].stride, reverse=True)
            moved = tuple(one.permute(order) for one in row)
            if all(one.is_contiguous() for one in moved):
                rows[i] = moved
    return [list(one) for one in zip(*rows, strict=True)]


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam`: the same bits, state, options and hooks.

    Before a step of torch's own starts the kernel it looks at each parameter, at the devices and at
    the way of differentiating. A step that needs none of that goes to the kernel at once here; any
    other one, such as the first, is torch's own.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient."""
        group, *others = self.param_groups
        parameters = group["params"]
        gradients = [p.grad for p in parameters]
        begun = len(self.state) == len(parameters)
        usual = group["fused"] and not group["capturable"] and closure is None and not others
        if not (begun and usual) or any(gradient is None for gradient in gradients):
            return _torchs_step()(self, closure)
        states = [self.state[p] for p in parameters]
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]
        moments = [[state[name] for state in states] for name in names]
        beta1, beta2 = group["betas"]
        with torch.no_grad():
            parameters, gradients, first, second, *largest = _as_they_lie(
                [parameters, gradients, *moments]
            )
            adam(
                parameters,
                gradients,
                first,
                second,
                largest[0] if largest else [],
                [state["step"] for state in states],
                fused=True,
                grad_scale=getattr(self, "grad_scale", None),
                found_inf=getattr(self, "found_inf", None),
                decoupled_weight_decay=group["decoupled_weight_decay"],
                amsgrad=group["amsgrad"],
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
            )
        return None
