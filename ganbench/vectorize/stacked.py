"""Networks of several seeds as one, whose parameters are stacked: (S, …) for each of theirs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from ganbench.errors import IncompatibleParts

__all__ = ["Stacked"]


class Stacked(nn.Module):
    """S networks of one architecture: (S, N, …) -> (S, N, …), each its own part."""

    def __init__(self, networks: Sequence[nn.Module], label: str) -> None:
        super().__init__()
        if any(True for _ in networks[0].buffers()):
            raise IncompatibleParts(
                f"{label} keeps statistics or other state beside its parameters "
                f"({next(name for name, _ in networks[0].named_buffers())}), which can't be "
                "vectorised: leave --vectorize out, or take a network without, such as mlp"
            )
        learns = [p.requires_grad for p in networks[0].parameters()]
        stacked, _ = stack_module_state(list(networks))
        self.label = label
        self.names = list(stacked)
        template = copy.deepcopy(networks[0])
        for name, layer in template.named_modules():
            if isinstance(layer, nn.Linear):
                layer.__class__ = _stacked(type(layer))
                weight = f"{name}.weight".lstrip(".")
                if weight in stacked:  # to lie in memory as its gradient will
                    stacked[weight] = stacked[weight].mT.contiguous().mT
            elif getattr(layer, "inplace", False):
                layer.inplace = False  # writing to a view takes copies
        self.all = nn.ParameterList(
            nn.Parameter(one.detach(), requires_grad=needed)
            for one, needed in zip(stacked.values(), learns, strict=True)
        )
        self._hidden = (template,)  # its parameters are not this one's

    def forward(self, x: Tensor) -> Tensor:
        template = self._hidden[0]

        def one(parameters: dict[str, Tensor], x: Tensor) -> Any:
            return functional_call(template, parameters, (x,))

        stacked = dict(zip(self.names, self.all, strict=True))
        try:
            y: Tensor = vmap(one, randomness="error")(stacked, x)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).splitlines()[0]
            raise IncompatibleParts(
                f"{self.label} can't be vectorised ({reason}): leave --vectorize out"
            ) from error
        return y.contiguous()  # noise is drawn in the order of memory

    def differentiable(self, seed: int) -> nn.Module:
        """One seed's network, with parameters that are parts of the stacked ones."""
        return self._with([parameter[seed] for parameter in self.all])

    def shared(self, seed: int) -> nn.Module:
        """One seed's network, whose parameters share their memory with the stacked ones."""
        parts = [p.detach()[seed] for p in self.all]
        return self._with([nn.Parameter(part) for part in parts])

    def _with(self, tensors: Sequence[Tensor]) -> nn.Module:
        template = self._hidden[0]
        network = copy.deepcopy(template, {id(p): p for p in template.parameters()})
        for name, tensor in zip(self.names, tensors, strict=True):
            owner, _, leaf = name.rpartition(".")
            network.get_submodule(owner)._parameters[leaf] = tensor  # type: ignore[assignment]
        return network

    @torch.no_grad()
    def write_to(self, seed: int, network: nn.Module) -> None:
        """Give a network of its own one seed's parameters."""
        for mine, theirs in zip(self.all, network.parameters(), strict=True):
            theirs.copy_(mine[seed])


class _Linear(nn.Linear):
    """nn.Linear as a product and a sum where stacked: torch's own rule also multiplies by 1."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or self.bias is None or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return x @ self.weight.T + self.bias


def _stacked(cls: type[nn.Linear]) -> type[nn.Linear]:
    """`cls` above `_Linear`: a subclass that calls its super's forward calls that one."""
    return _Linear if cls is nn.Linear else type(cls.__name__, (cls, _Linear), {})
