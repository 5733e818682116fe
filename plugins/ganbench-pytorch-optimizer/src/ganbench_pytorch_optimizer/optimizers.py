"""From a class of pytorch-optimizer to a factory that ganbench can call."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytorch_optimizer
import torch
from pytorch_optimizer.base.exception import NegativeLRError, NegativeStepError
from pytorch_optimizer.optimizer.muon.utils import prepare_muon_parameters
from torch import nn
from torch.optim import Optimizer

from ganbench.grammar import parse_component
from ganbench.plan import make_part
from ganbench.registry import default_registry
from ganbench_pytorch_optimizer import class_names
from ganbench_pytorch_optimizer.refused import REASONS
from ganbench_pytorch_optimizer.state import storable

__all__ = ["factory_of"]

_AROUND_ANOTHER = {"Lookahead", "Magma", "OrthoGrad", "ScheduleFreeWrapper", "TRAC"}
_MUONS = {"AdaGO", "AdaMuon", "Muon", "MuonClip", "NorMuon"}
_WITHOUT_RATE = {"A2Grad", "AliG"}
# They would draw from numpy's or Python's random state, which no seed of a run reaches.
_FIXED = {"Kron": {"balance_prob": 0.0}, "SaRA": {"lambda_rank": 0.0}}

Make = Callable[..., Optimizer]


def __getattr__(attribute: str) -> Make:
    """pytorch-optimizer's {attribute}, with its own options and defaults."""
    if attribute.startswith("_") or attribute not in class_names():
        raise AttributeError(f"module '{__name__}' has no attribute '{attribute}'")
    return factory_of(attribute)


@functools.cache
def factory_of(name: str) -> Make:
    """optimizer(module, **options) for the class of that name. Its options are the class's own;
    those around another optimizer have `base`, written as on the command line."""
    cls = getattr(pytorch_optimizer, name)
    make, fixed = _maker(name, cls), _FIXED.get(name, {})

    def factory(module: nn.Module, **options: Any) -> Optimizer:
        try:
            optimizer = make(module, **fixed, **options)
        except (NegativeLRError, NegativeStepError) as error:  # not ValueErrors over there
            raise ValueError(error) from error
        if hasattr(optimizer, "train"):  # schedule-free ones step in this mode only
            optimizer.train()
        return optimizer

    factory.__signature__ = _signature(name, cls)  # type: ignore[attr-defined]
    factory.__doc__ = (
        f"pytorch-optimizer's {name}, with its own options and defaults.\n\n{cls.__doc__}"
    )
    factory.__name__ = factory.__qualname__ = name
    if name in _WITHOUT_RATE:  # there is nothing for a schedule to set
        factory.run_requires = {"schedule": "constant"}  # type: ignore[attr-defined]
    return factory


def _maker(name: str, cls: Any) -> Make:
    if name in REASONS:
        return functools.partial(_refuse, REASONS[name])
    if name in _MUONS:
        return functools.partial(_muon, name, cls)
    cls = storable(cls)
    if name in _AROUND_ANOTHER:
        return lambda module, base="adam", **options: cls(_created(base, module), **options)
    if name == "AdamMini":  # it groups the parameters by their names
        return lambda module, **options: cls(module, **options)
    if name == "AliG":
        cls = _given_the_loss(cls)
    return lambda module, **options: cls(module.parameters(), **options)


def _refuse(reason: str, module: nn.Module) -> Optimizer:
    raise ValueError(reason)


def _muon(name: str, cls: Any, module: nn.Module, **options: Any) -> Optimizer:
    """Orthogonal updates for the weights of linear and convolutional layers, AdamW for the rest."""
    defaults = inspect.signature(cls).parameters
    for option in ("lr", "weight_decay"):
        options.setdefault(option, defaults[option].default)
    return prepare_muon_parameters(module, name, **options)


def _created(text: str, module: nn.Module) -> Optimizer:
    part = make_part(default_registry(), "optimizer", parse_component(text))
    optimizer: Optimizer = part.create(module)
    return optimizer


def _given_the_loss(cls: Any) -> Any:
    """A player passes its loss to a `step` that requires a closure."""

    class GivenTheLoss(cls):  # type: ignore[misc]
        def step(self, closure: Callable[[], Any]) -> Any:
            return super().step(closure)

    return GivenTheLoss


def _signature(name: str, cls: Any) -> inspect.Signature:
    module = inspect.Parameter("module", inspect.Parameter.POSITIONAL_ONLY)
    if name in REASONS:
        return inspect.Signature([module])
    _, *options = inspect.signature(cls).parameters.values()
    kept = [
        p.replace(kind=p.KEYWORD_ONLY, default=_plain(p.default))
        for p in options
        if p.kind is not p.VAR_KEYWORD
        and p.name not in _FIXED.get(name, {})
        and not isinstance(p.default, torch.dtype | FunctionType)  # TOML can't write these
    ]
    if name in _AROUND_ANOTHER:
        base = inspect.Parameter("base", module.KEYWORD_ONLY, default="adam", annotation=str)
        kept.insert(0, base)
    return inspect.Signature([module, *kept])


def _plain(default: Any) -> Any:
    return int(default) if isinstance(default, enum.IntEnum) else default
