"""What every optimizer must do, whoever wrote it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganbench.checkpoint import unflatten
from ganbench.plan import Part
from ganbench.player import Player
from ganbench.registry import Registry
from ganbench.testing.faults import (
    AssumesDtype,
    LeaksGradient,
    LosesState,
    NotFinite,
    WrongInterface,
    crashes_are_faults,
)
from ganbench.testing.purity import (
    SEED,
    check_device,
    check_repeatable,
    default_dtype,
    plain_state,
    same_bits,
    well_behaved,
)
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_optimizer"]

_LONG, _SHORT = 7, 6  # steps before and after a checkpoint


def check_optimizer(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the optimizer keeps every rule of docs/plugins.md.

    It moves a small network of convolutions and matrices, of which one bias is frozen and another
    gets no gradient. Raises `UsageError` if the optimizer refuses to be made.
    """
    part = subject_of("optimizer", component, registry)
    _check_interface(part)
    check_repeatable(part.label, "the optimizer", lambda seed: _Training(part).steps(0, 4))
    _check_state(part)
    _check_kinds(part)


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4)
        )
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x) + self.frozen
        return y


class _Training:
    """A network and the optimizer under test, the same at each start."""

    def __init__(self, part: Part, **kind: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.module = _Net().to(**kind)
        self.optimizer: Optimizer = part.create(self.module)
        if not isinstance(self.optimizer, Optimizer):
            found = f"the factory returns {self.optimizer!r}, which is no torch.optim.Optimizer"
            raise WrongInterface(part.label, found)
        self.player = Player(self.module, self.optimizer)

    def steps(self, start: int, n: int) -> list[Tensor]:
        """n steps on batches of their own; every parameter and buffer after them."""
        like = self.module.frozen
        for i in range(start, start + n):
            stream = torch.Generator().manual_seed(i)
            x = torch.randn(5, 1, 4, 4, generator=stream, dtype=torch.float32).to(like)
            self.player.backward((self.module(x) - 1).square().mean())
            self.player.update()
        return [value.detach().clone() for value in self.module.state_dict().values()]


def _check_interface(part: Part) -> None:
    with well_behaved(part.label, "the optimizer"):
        training = _Training(part)
        _check_groups(part, training)
        start = {name: value.clone() for name, value in training.module.state_dict().items()}
        end = dict(zip(start, training.steps(0, 3), strict=True))
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    if not moved & {name for name in start if name.startswith("net.")}:
        raise WrongInterface(part.label, "its steps move no parameter")
    for name in ("unused", "frozen"):
        if name in moved:
            found = f"moves a parameter that is {name}, and so has no gradient"
            raise LeaksGradient(part.label, found)
    if not all(bool(value.isfinite().all()) for value in end.values()):
        raise NotFinite(part.label, "its first three steps make parameters that are not finite")


def _check_groups(part: Part, training: _Training) -> None:
    held = [id(p) for group in training.optimizer.param_groups for p in group["params"]]
    if len(held) != len(set(held)):
        raise WrongInterface(part.label, "holds a parameter twice")
    trainable = {id(p): name for name, p in training.module.named_parameters() if p.requires_grad}
    if missing := [name for key, name in trainable.items() if key not in held]:
        found = f"does not hold the parameters {', '.join(missing)}, which then never move"
        raise WrongInterface(part.label, found)
    if any(
        not isinstance(g.get("lr"), float | int | Tensor) for g in training.optimizer.param_groups
    ):
        raise WrongInterface(part.label, "has a parameter group without 'lr', which schedules set")


def _check_state(part: Part) -> None:
    with well_behaved(part.label, "the optimizer"):
        whole = _Training(part)
        whole.steps(0, _LONG)
        skeleton, tensors = plain_state(part.label, "its state_dict()", whole.player.state())
        torch.manual_seed(SEED)
        expected = whole.steps(_LONG, _SHORT)
        resumed = _Training(part)
        with crashes_are_faults(part.label, "load_state_dict", LosesState):
            resumed.player.load_state(unflatten(skeleton, tensors))
        torch.manual_seed(SEED)
        found = resumed.steps(_LONG, _SHORT)
    if not same_bits(expected, found):
        told = f"after {_LONG} steps, a checkpoint and {_SHORT} more the parameters differ"
        raise LosesState(part.label, f"{told} from those of a run that was not interrupted")


def _check_kinds(part: Part) -> None:
    label = part.label
    with well_behaved(label, "the optimizer"):
        with crashes_are_faults(label, "the optimizer in float64", AssumesDtype):
            end = _Training(part, dtype=torch.float64).steps(0, 2)
        if any(value.dtype != torch.float64 for value in end):
            raise AssumesDtype(label, "its step changes the type of float64 parameters")
        doing = "the optimizer, with torch's default type float64"
        with default_dtype(torch.float64), crashes_are_faults(label, doing, AssumesDtype):
            _Training(part, dtype=torch.float32).steps(0, 2)
    check_device(label, "the optimizer", lambda device: _Training(part, device=device).steps(0, 2))
