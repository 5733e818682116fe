"""torch's Adam with its fused kernel, and less around that kernel at each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.adam import adam

__all__ = ["FusedAdam"]


def _torchs_step() -> Callable[..., Any]:
    """Adam's step without its hooks, which torch adds to a class at its first optimizer."""
    step: Any = torch.optim.Adam.step
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[no-any-return]


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
        beta1, beta2 = group["betas"]
        with torch.no_grad():
            adam(
                parameters,
                gradients,
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
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
