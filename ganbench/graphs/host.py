"""What a step changes on the host, where one that was recorded changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path

if TYPE_CHECKING:
    from ganbench.game import Game

__all__ = ["changed", "leaves", "on_host"]

# State that a recorded step moves as it should, though it is on the host.
_MOVED = {"latents", "global_cpu", "global_cuda", "step", "nimg", "schedules"}
_OF_TORCH = {"state", "param_groups", "defaults"}  # of an optimizer: part of its state, or constant
_PLAIN = (bool, int, float, str, type(None))
_NOT_LOOKED_INTO = (Tensor, type, ModuleType)


def on_host(game: Game) -> dict[str, Any]:
    """State that is not on the device, by its path, and the numbers among the attributes of losses,
    optimizers and networks, which may count steps without saying so in their state."""
    state = {key: part for key, part in game.state().items() if key not in _MOVED}
    found = {
        key: leaf.tolist() if isinstance(leaf, Tensor) else leaf
        for key, leaf in leaves(state).items()
        if not isinstance(leaf, Tensor) or leaf.device.type != game.device.type
    }
    seen: set[int] = set()
    for player in game.players:
        found |= _attributes(player.optimizer, type(player.optimizer).__name__, seen)
        for name, module in player.module.named_modules():
            found |= _attributes(module, f"{type(module).__name__} {name}", seen)
    return found | _attributes(game.loss, "loss", seen)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    for key in {**before, **after}:
        if key not in before or key not in after:
            return f"{key} is there in some steps only"
        if before[key] != after[key]:
            return f"{key} is on the host and changes from step to step"
    return None


def leaves(tree: Any) -> dict[str, Any]:
    """By path: generator/module/0.weight."""
    return {"/".join(map(_key, path)): leaf for path, leaf in tree_flatten_with_path(tree)[0]}


def _key(entry: Any) -> str:
    return str(getattr(entry, "key", getattr(entry, "idx", entry)))


def _attributes(owner: Any, path: str, seen: set[int], depth: int = 5) -> dict[str, Any]:
    """Numbers and texts that an object keeps, and those of the objects that it keeps."""
    found: dict[str, Any] = {}
    if id(owner) in seen or depth == 0 or isinstance(owner, _NOT_LOOKED_INTO):
        return found
    seen.add(id(owner))
    for name, value in _parts(owner):
        if isinstance(value, _PLAIN):
            found[f"{path}.{name}"] = value
        else:
            found |= _attributes(value, f"{path}.{name}", seen, depth - 1)
    return found


def _parts(owner: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(owner, dict):
        yield from ((name, value) for name, value in owner.items() if isinstance(name, str))
    elif isinstance(owner, list | tuple):
        yield from ((str(i), value) for i, value in enumerate(owner))
    elif isinstance(owner, MethodType):
        yield "__self__", owner.__self__
    elif isinstance(owner, FunctionType):
        cells = zip(owner.__code__.co_freevars, owner.__closure__ or (), strict=True)
        yield from ((name, _content(cell)) for name, cell in cells)
    else:
        of_torch = _OF_TORCH if isinstance(owner, torch.optim.Optimizer) else set()
        kept = getattr(owner, "__dict__", {})
        yield from ((name, value) for name, value in kept.items() if name not in of_torch)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None
