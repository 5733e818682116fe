"""What every generator and discriminator must do, whoever wrote it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganbench.checkpoint import unflatten
from ganbench.errors import UsageError
from ganbench.plan import Part
from ganbench.registry import Registry
from ganbench.testing.faults import (
    AssumesDtype,
    Crash,
    DependsOnBatch,
    HiddenRandomness,
    LeaksGradient,
    LosesState,
    NotDeterministic,
    NotFinite,
    WrongInterface,
    WrongShape,
    crashes_are_faults,
)
from ganbench.testing.purity import (
    SEED,
    check_device,
    check_repeatable,
    default_dtype,
    leaves_alone,
    plain_state,
    same_bits,
    well_behaved,
)
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_discriminator", "check_generator"]

SHAPES = ((1, 28, 28), (3, 32, 32), (2,))
_N, _Z_DIM = 4, 12


def check_generator(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the generator keeps every rule of docs/plugins.md.

    It is made for images 1×28×28 and 3×32×32 and for points; it may refuse some of them.
    """
    part = subject_of("generator", component, registry)
    across_batch = bool(getattr(part.registered.factory, "across_batch", False))

    def trial(shape: tuple[int, ...]) -> _Trial:
        return _Trial(part, (_Z_DIM, shape), (_Z_DIM,), shape, across_batch)

    _check_on_some_shape(part, trial)


def check_discriminator(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the discriminator keeps every rule of docs/plugins.md.

    It is made for images 1×28×28 and 3×32×32 and for points; it may refuse some of them. One
    whose logits depend on the rest of the batch even in eval mode declares it by an attribute of
    its factory: `across_batch = True`.
    """
    part = subject_of("discriminator", component, registry)
    across_batch = bool(getattr(part.registered.factory, "across_batch", False))

    def trial(shape: tuple[int, ...]) -> _Trial:
        return _Trial(part, (shape,), shape, (), across_batch)

    _check_on_some_shape(part, trial)


def _check_on_some_shape(part: Part, trial: Callable[[tuple[int, ...]], _Trial]) -> None:
    refusals = []
    for shape in SHAPES:
        one = trial(shape)
        try:
            with well_behaved(part.label, "the network"):
                one.make()
        except UsageError as error:
            refusals.append(str(error))
            continue
        one.check()
    if len(refusals) == len(SHAPES):
        raise Crash(part.label, f"refuses every shape of data: {'; '.join(refusals)}")


@dataclass(frozen=True)
class _Trial:
    """A network made for one shape, from x of shape (N, *given) to (N, *wanted)."""

    part: Part
    arguments: tuple[object, ...]
    given: tuple[int, ...]
    wanted: tuple[int, ...]
    across_batch: bool

    def make(self) -> nn.Module:
        module = self.part.create(*self.arguments)
        if not isinstance(module, nn.Module):
            found = f"the factory returns {type(module).__name__}, not a torch.nn.Module"
            raise WrongInterface(self.part.label, found)
        return module

    def check(self) -> None:
        with well_behaved(self.part.label, "the network"):
            self._check_output()
            self._check_eval()
            self._check_state()
        check_repeatable(self.part.label, "the network", self._train)
        self._check_kinds()

    def x(self, n: int = _N, seed: int = 3) -> Tensor:
        stream = torch.Generator().manual_seed(seed)
        x = torch.randn(n, *self.given, generator=stream, dtype=torch.float32)
        return x if len(self.given) == 1 else x.tanh()

    def _check_output(self) -> None:
        label, module, x = self.part.label, self.make(), self.x()
        x.requires_grad_()
        with leaves_alone(label, "its forward pass", x=x):
            y = module(x)
        if not isinstance(y, Tensor) or tuple(y.shape) != (_N, *self.wanted):
            shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            found = f"gives {shape} for an input of shape {tuple(x.shape)}"
            raise WrongShape(label, f"{found}, not {(_N, *self.wanted)}")
        if y.dtype != x.dtype:
            raise AssumesDtype(label, f"gives {y.dtype} for {x.dtype}")
        if not bool(y.isfinite().all()):
            raise NotFinite(label, "gives values that are not finite, fresh from its factory")
        if len(self.wanted) == 3 and float(y.detach().abs().max()) > 1:
            found = f"draws pixels up to {float(y.detach().abs().max()):.3g}"
            raise WrongInterface(label, f"{found}, beyond the images' range [−1, 1]")
        y.square().sum().backward()
        if not any(p.grad is not None and bool(p.grad.any()) for p in module.parameters()):
            raise LeaksGradient(label, "its output has no gradient for any of its parameters")
        if not self.wanted and (x.grad is None or not bool(x.grad.any())):
            found = "its logits have no gradient for its input: no generator can learn from it"
            raise LeaksGradient(label, found)

    @torch.no_grad()
    def _check_eval(self) -> None:
        """As it is evaluated: nothing random, nothing kept, each example for itself."""
        label, module = self.part.label, self.make().eval()
        before = [value.clone() for value in module.state_dict().values()]
        state = torch.get_rng_state()
        first, second = module(self.x()), module(self.x())
        if not torch.equal(torch.get_rng_state(), state):
            raise HiddenRandomness(label, "draws random numbers in eval mode")
        if not same_bits([first], [second]):
            raise NotDeterministic(label, "gives two results for one input in eval mode")
        if not same_bits(before, list(module.state_dict().values())):
            raise LosesState(label, "changes its state in eval mode")
        if not self.across_batch:
            alone = module(self.x()[:1])
            if not torch.allclose(first[:1], alone, rtol=1e-3, atol=1e-4):
                found = "gives an example another result alone than in a batch, in eval mode"
                raise DependsOnBatch(label, found)

    def _check_state(self) -> None:
        """Its state_dict is all it is: another instance with that state computes the same."""
        label, trained = self.part.label, self.make()
        _descend(trained, self.x(), 2)
        skeleton, tensors = plain_state(label, "its state_dict()", trained.state_dict())
        torch.manual_seed(SEED)
        other = self.part.create(*self.arguments)
        with crashes_are_faults(label, "load_state_dict", LosesState):
            other.load_state_dict(unflatten(skeleton, tensors))
        with crashes_are_faults(label, "copy.deepcopy, which makes the averaged generator"):
            averaged = copy.deepcopy(trained)
        for name, one in (("state_dict", other), ("deepcopy", averaged)):
            results = []
            for network in (trained, one):
                torch.manual_seed(SEED)
                results.append(copy.deepcopy(network)(self.x(seed=9)).detach())
            if not same_bits(results[:1], results[1:]):
                found = f"a second network with its {name} gives other results"
                raise LosesState(label, f"{found}: something it computes with is no buffer")

    def _train(self, seed: int) -> list[Tensor]:
        module = self.make()
        outputs = _descend(module, self.x(), 2)
        return outputs + [value.detach().clone() for value in module.state_dict().values()]

    def _check_kinds(self) -> None:
        label = self.part.label

        def on(device: torch.device) -> None:
            _descend(self.make().to(device), self.x().to(device), 1)

        with well_behaved(label, "the network"):
            for doing, made_in in (("", torch.float32), (", made as float64", torch.float64)):
                with (
                    crashes_are_faults(label, f"the network in float64{doing}", AssumesDtype),
                    default_dtype(made_in),
                ):
                    y = self.make().double()(self.x().double())
                    if y.dtype != torch.float64:
                        raise AssumesDtype(label, f"gives {y.dtype} in float64{doing}")
        check_device(label, "the network", on)


def _descend(module: nn.Module, x: Tensor, steps: int) -> list[Tensor]:
    """Outputs of a few steps of gradient descent in training mode."""
    module.train()
    parameters = [p for p in module.parameters() if p.requires_grad]
    outputs = []
    for _ in range(steps):
        y = module(x)
        outputs.append(y.detach().clone())
        gradients = torch.autograd.grad(y.square().mean(), parameters, allow_unused=True)
        with torch.no_grad():
            for p, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    p.sub_(gradient, alpha=1e-3)
    return outputs
