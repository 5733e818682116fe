"""Every optimizer class of torch.optim, by its lower-case name, without a line for each."""

from __future__ import annotations

import ast
import functools
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["from_torch", "torch_optimizer_names"]


def torch_optimizer_names() -> list[str]:
    """The classes that `torch/optim/__init__.py` exports, read from its source: no import."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return []
    source = Path(spec.submodule_search_locations[0]) / "optim" / "__init__.py"
    names = {
        alias.asname or alias.name
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return sorted(name for name in names if name[0].isupper() and name != "Optimizer")


def from_torch(name: str) -> Any:
    """optimizer(module, **options) from torch.optim's class of that name, its options and its
    defaults; `fused=True` unless told otherwise, where the class has it."""
    import torch

    cls = getattr(torch.optim, name)

    @functools.wraps(cls.__init__, updated=())
    def factory(module: torch.nn.Module, **options: Any) -> torch.optim.Optimizer:
        return cls(module.parameters(), **options)

    signature = inspect.signature(cls)
    parameters = [p for p in signature.parameters.values() if p.name != "params"]
    module = inspect.Parameter("module", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    factory.__signature__ = signature.replace(parameters=[module, *parameters])  # type: ignore[attr-defined]
    factory.__doc__ = cls.__doc__
    factory.__name__ = factory.__qualname__ = name
    del factory.__wrapped__
    return factory


def __getattr__(name: str) -> Any:
    """An optimizer of torch.optim, with its own options."""
    if name.startswith("_") or name not in torch_optimizer_names():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return functools.lru_cache(maxsize=None)(from_torch)(name)
