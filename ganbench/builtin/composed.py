"""Optimizers made of other optimizers, with one state, one list of groups and one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Lookahead", "Optimistic", "Together"]


class Together(Optimizer):
    """Several optimizers over different parameters, stepped as one."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self._parts = list(parts)
        super().__init__([group for part in parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override,unused-ignore]
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


class _Around(Optimizer):
    """An optimizer around another, with tensors of its own beside the parameters."""

    def __init__(self, base: Optimizer) -> None:
        self.base = base
        super().__init__(base.param_groups, {})

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.base.param_groups for p in group["params"]]

    def _own_state(self) -> dict[str, Any]:
        raise TypeError(f"{type(self).__name__} must say what its own state is")

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        raise TypeError(f"{type(self).__name__} must say what its own state is")

    def state_dict(self) -> dict[str, Any]:
        return {"base": self.base.state_dict(), "own": self._own_state()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.base.load_state_dict(dict(state_dict["base"]))
        self.param_groups = self.base.param_groups
        self._load_own_state(state_dict["own"])


class Optimistic(_Around):
    """θ ← θ − 2d_t + d_{t−1}, where d_t is the step the base optimizer would take and d_{−1} = 0.

    Daskalakis et al. 2018 (arXiv:1711.00141): OMD around SGD (eq. 6), algorithm 1 around Adam.
    """

    def __init__(self, base: Optimizer) -> None:
        super().__init__(base)
        self._last = [torch.zeros_like(p) for p in self._parameters()]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override,unused-ignore]
        parameters = self._parameters()
        before = [p.clone() for p in parameters]
        loss = self.base.step(closure) if closure is not None else self.base.step()
        for p, start, last in zip(parameters, before, self._last, strict=True):
            direction = start - p
            p.sub_(direction - last)
            last.copy_(direction)
        return loss

    def _own_state(self) -> dict[str, Any]:
        return {"last": self._last}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        for mine, saved in zip(self._last, state["last"], strict=True):
            mine.copy_(saved)


class Lookahead(_Around):
    """Every k steps: slow ← slow + α(θ − slow), θ ← slow. Zhang et al. 2019 (arXiv:1907.08610)."""

    def __init__(self, base: Optimizer, k: int, alpha: float) -> None:
        super().__init__(base)
        self._k = k
        self._alpha = alpha
        self._steps = 0
        self._slow = [p.detach().clone() for p in self._parameters()]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override,unused-ignore]
        loss = self.base.step(closure) if closure is not None else self.base.step()
        self._steps += 1
        if self._steps % self._k == 0:
            for p, slow in zip(self._parameters(), self._slow, strict=True):
                slow.lerp_(p, self._alpha)
                p.copy_(slow)
        return loss

    def _own_state(self) -> dict[str, Any]:
        return {"slow": self._slow, "steps": self._steps}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._steps = state["steps"]
        for mine, saved in zip(self._slow, state["slow"], strict=True):
            mine.copy_(saved)
