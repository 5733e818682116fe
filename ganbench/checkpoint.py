"""A tree of state as safetensors plus JSON, whole or absent. Nothing is pickled.

`checkpoint.json` is the commit point: it is renamed into place last and names the safetensors
file it belongs to, so a process killed at any moment leaves the old pair or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ganbench.files import write_atomically, write_text

__all__ = [
    "flatten",
    "load_checkpoint",
    "save_checkpoint",
    "save_weights",
    "unflatten",
    "weights_sha256",
]

_POINTER = "checkpoint.json"


def flatten(tree: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """Move a tree's tensors into `tensors` and return the rest as JSON.

    Trees are nested dicts (of str or int keys), lists and tuples of tensors and plain values.
    """
    match tree:
        case Tensor() if tree.is_contiguous():
            tensors[path] = tree.detach().cpu().clone()
            return {"tensor": path}
        case Tensor():  # kept as it lies in memory: products of other layouts round differently
            order = sorted(range(tree.ndim), key=tree.stride, reverse=True)
            tensors[path] = tree.detach().permute(order).cpu().contiguous().clone()
            return {"permuted": [path, order]}
        case Mapping():
            items = [[k, flatten(v, tensors, f"{path}/{k}")] for k, v in tree.items()]
            if any(not isinstance(key, str | int) for key in tree):
                raise TypeError(f"state at '{path or '/'}' has keys that are not text or numbers")
            return {"dict": items}
        case list() | tuple():
            items = [flatten(value, tensors, f"{path}/{i}") for i, value in enumerate(tree)]
            return {"tuple" if isinstance(tree, tuple) else "list": items}
        case None | bool() | int() | float() | str():
            return {"value": tree}
    raise TypeError(
        f"state at '{path}' is a {type(tree).__name__}, which a checkpoint can't hold: "
        "use tensors, numbers, text, lists and dicts"
    )


def unflatten(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten`."""
    ((kind, content),) = node.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "permuted":
            path, order = content
            return tensors[path].permute([order.index(dim) for dim in range(len(order))])
        case "dict":
            return {key: unflatten(value, tensors) for key, value in content}
        case "list":
            return [unflatten(value, tensors) for value in content]
        case "tuple":
            return tuple(unflatten(value, tensors) for value in content)
        case _:
            return content


def save_checkpoint(folder: Path, step: int, tree: Any) -> None:
    """Write the state at `step`, then drop the one before it."""
    tensors: dict[str, Tensor] = {}
    skeleton = flatten(tree, tensors)
    name = f"checkpoint-{step:09d}.safetensors"
    write_atomically(folder / name, lambda temporary: temporary.write_bytes(save(tensors)))
    write_text(folder / _POINTER, json.dumps({"step": step, "file": name, "tree": skeleton}))
    with contextlib.suppress(FileNotFoundError):  # another process at the run has ended just now
        for old in folder.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> Any | None:
    """The tree last saved in `folder`, or None if there is none that can be read."""
    try:
        pointer = json.loads((folder / _POINTER).read_text(encoding="utf-8"))
        tensors = load_file(folder / pointer["file"])
        return unflatten(pointer["tree"], tensors)
    except (OSError, ValueError, KeyError, SafetensorError):
        return None


def save_weights(path: Path, module: nn.Module) -> None:
    """A module's parameters and buffers as safetensors, under their own names."""
    tensors: dict[str, Tensor] = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in module.state_dict().items()
    }
    write_atomically(path, lambda temporary: temporary.write_bytes(save(tensors)))


def weights_sha256(modules: Mapping[str, nn.Module]) -> str:
    """A hash of every parameter and buffer: name, type, shape and bits."""
    digest = hashlib.sha256()
    for label, module in sorted(modules.items()):
        for name, tensor in sorted(module.state_dict().items()):
            tensor = tensor.detach().cpu().contiguous()
            digest.update(f"{label}.{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
