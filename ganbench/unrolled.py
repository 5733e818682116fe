"""Unrolled GANs: G's gradient passes through k updates of D that are then taken back."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ganbench.errors import IncompatibleParts
from ganbench.game import Game
from ganbench.objective import total_of
from ganbench.player import Player
from ganbench.protocols import Loss, Rule, Scorer, Terms
from ganbench.scorers import ScorerOf

__all__ = ["unrolled"]


By: TypeAlias = Literal["optimizer", "gradient"]


def unrolled(k: Annotated[int, Field(ge=0)] = 5, by: By = "optimizer") -> Rule:
    """G descends its loss against the D that k further updates would make.

    D moves once; then G's gradient passes through k more updates of D, which are taken back.
    k = 0 is alternating. The k updates are on G's batch, and with `by` those of D's own
    `optimizer`, from its present state, or steps down the `gradient` at its learning rate, for an
    optimizer that can't be differentiated. Metz et al. 2017 (arXiv:1611.02163), eq. 6-9.
    """

    def step(game: Game) -> Terms:
        batch = game.draw()
        d_terms = game.d_gradient(batch)
        game.discriminator.update()

        def unrolled_d(x_real: Tensor, x_fake: Tensor) -> Scorer:
            return _unroll(game.discriminator, game.loss, x_real, x_fake, k, by)

        try:
            g_terms = game.g_gradient(batch, against=unrolled_d)
        except RuntimeError as error:
            if "inplace operation" in str(error) and by == "optimizer":
                raise IncompatibleParts(
                    "rule 'unrolled' differentiates through D's optimizer, and "
                    f"{type(game.discriminator.optimizer).__name__} overwrites what its derivative "
                    "needs: look ahead by its plain gradient, unrolled:by=gradient, or take sgd "
                    "or adam"
                ) from error
            if "deriv" not in str(error) and "differentia" not in str(error):
                raise
            raise IncompatibleParts(
                "rule 'unrolled' differentiates D's updates, which autograd can't do for this "
                f"loss and discriminator ({str(error).splitlines()[0]}): use a discriminator "
                "without batch normalisation, such as mlp, drop the loss's gradient penalty, or "
                "take another rule"
            ) from error
        game.generator.update()
        return {**d_terms, **g_terms}

    return step


unrolled.across_batch = True  # type: ignore[attr-defined]


class _Standin:
    """A copy of a network whose parameters are tensors with a gradient history of their own.

    Its buffers are copies too, so that what happens to it leaves the network as it is.
    """

    def __init__(self, module: nn.Module, own: Sequence[Tensor]) -> None:
        place = {id(p): i for i, p in enumerate(own)}
        self.module = copy.deepcopy(module, {id(p): p for p in own})
        self._slots = [
            (part._parameters, name, place[id(p)])
            for part in self.module.modules()
            for name, p in part._parameters.items()
            if id(p) in place
        ]

    def with_parameters(self, tensors: Sequence[Tensor]) -> Scorer:
        """D at these parameters, until the next call."""
        for parameters, name, i in self._slots:
            parameters[name] = cast("nn.Parameter", tensors[i])
        return ScorerOf(self.module)


def _unroll(player: Player, loss: Loss, x_real: Tensor, x_fake: Tensor, k: int, by: By) -> Scorer:
    """D after k differentiable updates on this batch."""
    own = [p for p in player.module.parameters() if p.requires_grad]
    standin = _Standin(player.module, own)
    moving = [p.detach().clone().requires_grad_().clone() for p in own]
    make = _differentiable_copy if by == "optimizer" else _gradient_descent
    optimizer = make(player.optimizer, own, moving)
    for _ in range(k):
        now = [p.clone() for p in moving]  # the optimizer moves `moving` in place
        total = total_of(loss.d_loss(standin.with_parameters(now), x_real, x_fake), "discriminator")
        gradients = torch.autograd.grad(total, now, create_graph=True, materialize_grads=True)
        for parameter, gradient in zip(moving, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return standin.with_parameters(moving)


def _gradient_descent(
    optimizer: torch.optim.Optimizer, old: list[nn.Parameter], new: list[Tensor]
) -> torch.optim.Optimizer:
    """Gradient descent over `new`, at the learning rates that `optimizer` has for `old`."""
    place = {id(p): i for i, p in enumerate(old)}
    groups = [
        {"params": [new[place[id(p)]] for p in group["params"]], "lr": group["lr"]}
        for group in optimizer.param_groups
    ]
    return torch.optim.SGD(groups, differentiable=True)


def _differentiable_copy(
    optimizer: torch.optim.Optimizer, old: list[nn.Parameter], new: list[Tensor]
) -> torch.optim.Optimizer:
    """An optimizer of the same class, options and state over `new`, whose steps are differentiable.

    Raises `IncompatibleParts` for a class that has no `differentiable` option.
    """
    cls = type(optimizer)
    known = inspect.signature(cls).parameters
    if "differentiable" not in known:
        raise IncompatibleParts(
            f"rule 'unrolled' differentiates through D's optimizer, and {cls.__name__} can't be: "
            "look ahead by its plain gradient, unrolled:by=gradient, or take one of torch.optim's "
            "with a `differentiable` option, such as sgd or adam"
        )
    place = {id(p): i for i, p in enumerate(old)}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        options = {name: value for name, value in group.items() if name != "params"}
        options |= {"differentiable": True, "fused": False, "foreach": False, "capturable": False}
        options = {name: value for name, value in options.items() if name in known}
        groups.append({**options, "params": [new[place[id(p)]] for p in group["params"]]})
    twin = cls(groups, differentiable=True)  # type: ignore[call-arg]
    for parameter, state in optimizer.state.items():
        twin.state[new[place[id(parameter)]]] = {
            name: _without_zeros(value) for name, value in state.items()
        }
    return twin


def _without_zeros(value: Any) -> Any:
    """A copy in which zeros of a tensor are as good as zero: an optimizer may take the root of a
    second moment, and the root's derivative at exactly zero is infinite."""
    if isinstance(value, Tensor) and value.ndim and value.is_floating_point():
        return value.where(value != 0, 1e-30)
    return copy.deepcopy(value)
