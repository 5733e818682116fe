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


@functools.cache
def from_torch(name: str) -> Any:
    """optimizer(module, **options) from torch.optim's class of that name: its options, its
    defaults, and `fused=True` where the class has it."""
    import torch

    cls = getattr(torch.optim, name)
    signature = inspect.signature(cls)
    own = {p.name: p for p in signature.parameters.values() if p.name != "params"}
    if "fused" in own:
        own["fused"] = own["fused"].replace(default=True)

    def factory(module: torch.nn.Module, **options: Any) -> torch.optim.Optimizer:
        if "fused" in own:
            options.setdefault("fused", not options.get("foreach"))
        return cls(module.parameters(), **options)  # type: ignore[no-any-return]

    module = inspect.Parameter("module", inspect.Parameter.POSITIONAL_ONLY)
    options = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values()]
    factory.__signature__ = inspect.Signature([module, *options])  # type: ignore[attr-defined]
    factory.__annotations__ = {p.name: p.annotation for p in own.values()}
    factory.__doc__ = f"torch.optim.{name}, with its own options and defaults.\n\n{cls.__doc__}"
    factory.__name__ = factory.__qualname__ = name
    return factory


def __getattr__(attribute: str) -> Any:
    """torch.optim.{attribute}, with its own options and defaults."""
    if attribute.startswith("_") or attribute not in torch_optimizer_names():
        raise AttributeError(f"module '{__name__}' has no attribute '{attribute}'")
    return from_torch(attribute)
