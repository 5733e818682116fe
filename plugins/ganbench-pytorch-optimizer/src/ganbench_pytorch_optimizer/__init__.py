"""Every optimizer of the package pytorch-optimizer, by its lower-case name, and two schedules.

The names are read from that package's source, so that listing them imports neither it nor torch.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from ganbench import hookimpl

# These are torch's own classes, which ganbench registers itself.
_TORCH_S_OWN = {"Adam", "AdamW", "LBFGS", "NAdam", "RMSprop", "SGD"}
# Names that ganbench has too; a second one would make the bare name ambiguous for everybody.
_TAKEN = {"adadelta", "adafactor", "adamax", "asgd", "lookahead", "muon", "radam"}
# What pytorch-optimizer exports beside its optimizers.
_NO_OPTIMIZERS = {"DynamicLossScaler", "SafeFP16Optimizer"}


def class_names() -> list[str]:
    """The optimizer classes in `pytorch_optimizer.optimizer.__all__`."""
    package = find_spec("pytorch_optimizer")
    if package is None or not package.submodule_search_locations:
        return []
    source = Path(package.submodule_search_locations[0]) / "optimizer" / "__init__.py"
    exported = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return sorted({name for name in exported if name[0].isupper()} - _TORCH_S_OWN - _NO_OPTIMIZERS)


def name_of(cls: str) -> str:
    """AdaBelief -> adabelief; Muon -> po-muon, because `muon` is ganbench's."""
    name = cls.lower()
    return f"po-{name}" if name in _TAKEN else name


@hookimpl
def ganbench_optimizers():
    return {name_of(cls): f"{__name__}.optimizers:{cls}" for cls in class_names()}


@hookimpl
def ganbench_schedules():
    return {
        "rex": f"{__name__}.schedules:rex",
        "warmup-stable-decay": f"{__name__}.schedules:warmup_stable_decay",
    }
