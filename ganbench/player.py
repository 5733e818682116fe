"""A player: a network and the optimizer that moves it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.compiling import compiled, gains_by_compiling

__all__ = ["Player"]


class Player:
    """A network and its optimizer. `after_update` is called with the network after each update."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        fp16: bool = False,
        after_update: Callable[[nn.Module], None] | None = None,
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.last_loss = torch.zeros(())
        self.moves = 0  # how often the parameters were set: by updates, or by `move_to`
        device = self.parameters[0].device.type if self.parameters else "cpu"
        self.scaler = torch.amp.GradScaler(device) if fp16 else None
        self._compiled_step: Callable[[], Any] | None = None
        self._after_update = after_update
        closure = inspect.signature(optimizer.step).parameters.get("closure")
        self.reads_loss = closure is not None and closure.default is closure.empty
        # The optimizer's own loop over its groups costs more than a small network's tuned step.
        self._drops_as_usual = type(optimizer).zero_grad is torch.optim.Optimizer.zero_grad

    def backward(self, loss: Tensor, *, only_own: bool = False) -> None:
        """Add the gradient of `loss` to `.grad`: of every network in its graph, or only this one's,
        keeping the graph."""
        self.last_loss = loss.detach()
        scaled = self.scaler.scale(loss) if self.scaler else loss
        if only_own:
            torch.autograd.backward(scaled, inputs=self.parameters, retain_graph=True)
        else:
            torch.autograd.backward(scaled)

    def compile(self, on: bool) -> None:
        """Make updates through torch.compile from now on, or as they are. An optimizer that would
        not gain by it stays as it is."""
        fits = on and self.scaler is None and gains_by_compiling(self.optimizer)
        self._compiled_step = compiled(self.optimizer.step) if fits else None

    def update(self) -> None:
        """One optimizer step on the gradients at hand, which are then dropped."""
        self.moves += 1
        for parameter in self.parameters:
            gradient = parameter.grad
            if gradient is not None:
                laid_out = _laid_out_as(parameter, gradient)
                if laid_out is not gradient:  # seldom: setting .grad takes time
                    parameter.grad = laid_out
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self.reads_loss:
            self.optimizer.step(lambda: self.last_loss)  # type: ignore[arg-type,return-value]
        elif self._compiled_step is not None:
            self._compiled_step()
        else:
            self.optimizer.step()
        if self._drops_as_usual:
            for parameter in self.parameters:
                parameter.grad = None
        else:
            self.optimizer.zero_grad(set_to_none=True)
        if self._after_update is not None:
            self._after_update(self.module)

    def position(self) -> list[Tensor]:
        """A copy of the parameters, for `move_to`."""
        return [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def move_to(self, position: Sequence[Tensor]) -> None:
        """Set the parameters, leaving their gradients and the optimizer's state as they are."""
        self.moves += 1
        for parameter, value in zip(self.parameters, position, strict=True):
            parameter.copy_(value)

    def averaged(self) -> nn.Module:
        """A copy of the network at the optimizer's own average, if it keeps one; else the network.

        Such an optimizer, schedule-free for one, has `eval()`, which puts the average into the
        parameters, and `train()`, which takes it out. Training goes on with the same bits.
        """
        to_average = getattr(self.optimizer, "eval", None)
        if to_average is None:
            return self.module
        position = self.position()
        to_average()
        averaged = copy.deepcopy(self.module)
        self.optimizer.train()  # type: ignore[attr-defined]
        self.move_to(position)  # what eval and train undo is right to a rounding only
        return averaged

    def gradient(self) -> list[Tensor]:
        """A copy of the gradients at hand; zeros where there is none."""
        return [
            torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
            for p in self.parameters
        ]

    def set_gradient(self, gradient: Sequence[Tensor]) -> None:
        """Replace the gradients at hand by copies of these."""
        for parameter, value in zip(self.parameters, gradient, strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(value)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No gradient work for this player's parameters inside the body."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)

    def state(self) -> dict[str, Any]:
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            if not isinstance(parameter, Tensor) or not isinstance(kept, dict):
                continue  # what an optimizer keeps for all parameters, under a name
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    kept[name] = _laid_out_as(parameter, value)
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A value with its numbers in memory in the order of the parameter's: torch's fused optimizers
    on a CPU pair the two by their places there, whatever their indices. Sparse values stay."""
    if value.layout is not torch.strided or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
