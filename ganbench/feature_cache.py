"""What was extracted from real images, kept between runs.

Entries are found by content alone: a key is a hash of everything that the numbers depend on.
The cache saves time and nothing else: a folder that cannot be written, or an entry that cannot
be read or fails its checksum, costs a recomputation and never an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ganbench.files import write_atomically

__all__ = ["cache_folder", "key_of", "load", "save", "sha256_of"]

log = logging.getLogger("ganbench")


def cache_folder() -> Path:
    """`$GANBENCH_CACHE_DIR`, else the user's cache folder for ganbench."""
    return Path(os.environ.get("GANBENCH_CACHE_DIR") or user_cache_dir("ganbench")) / "features"


def sha256_of(tensor: Tensor) -> str:
    """Of the tensor's bytes, in row order."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().data).hexdigest()


def key_of(facts: Mapping[str, Any]) -> str:
    """The entry's name: a hash of `facts`, which must be JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def load(key: str) -> dict[str, Tensor] | None:
    """The tensors saved under `key`, or None where there are none to trust."""
    path = cache_folder() / f"{key}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            checksums = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        log.info("cached features %s are unreadable and will be made again: %s", path, error)
        return None
    if checksums != {name: sha256_of(tensor) for name, tensor in tensors.items()}:
        log.info("cached features %s are damaged and will be made again", path)
        return None
    return tensors


def save(key: str, tensors: Mapping[str, Tensor]) -> None:
    """Keep `tensors` under `key`, if the folder lets us."""
    path = cache_folder() / f"{key}.safetensors"
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksums = {name: sha256_of(tensor) for name, tensor in whole.items()}
    try:
        write_atomically(path, lambda temporary: save_file(whole, temporary, checksums))
    except (OSError, SafetensorError) as error:
        log.info("features are not cached in %s: %s", path.parent, error)
