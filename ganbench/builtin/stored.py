"""Data of the user's own: an array file, or a folder of pictures. Neither need fit in memory."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganbench.errors import UsageError
from ganbench.feature_cache import cache_folder
from ganbench.files import write_atomically
from ganbench.protocols import Data

__all__ = ["folder", "npy"]

log = logging.getLogger("ganbench")

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_AT_ONCE = 1000  # pictures whose work is under way, however many there are


def npy(root: Path | None, file: str) -> Data:
    """The examples of one .npy file, read as they are used: it need not fit in memory.

    uint8 images (N, C, H, W), or (N, H, W) for one channel; or float32 points (N, d). `file` is in
    `--data-root`, if that is given. A run is known by the file's name, not by its content: give
    other data another name.
    """
    path = _in_root(root, file)
    try:
        x = _mapped(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"data file '{path}' can't be read as a .npy array: {error}") from None
    if x.dtype == torch.uint8 and x.ndim == 3:
        x = x[:, None]
    images, points = x.dtype == torch.uint8 and x.ndim == 4, x.dtype == torch.float32
    if not len(x) or not (images or (points and x.ndim == 2)):
        raise UsageError(
            f"data file '{path}' holds {x.dtype} of shape {tuple(x.shape)}, but must hold uint8 "
            "images (N, C, H, W) or (N, H, W), or float32 points (N, d)"
        )
    return Data(x, None, {"n": len(x), "file": file}, lazy=True)


def folder(
    root: Path | None,
    path: str,
    size: Annotated[int, Field(ge=4)] = 64,
    colour: Literal["rgb", "grey"] = "rgb",
) -> Data:
    """The pictures in a folder and its subfolders, as squares of `size` pixels.

    Each is cropped to its central square and resized (Lanczos). That is done once: the result is
    kept as an array file in ganbench's cache, which is read as it is used, so that the pictures
    need not fit in memory. With subfolders, the first on the way to a picture is its label.
    `path` is in `--data-root`, if that is given; slashes need quotes: folder:path="/data/faces".
    A run is known by the path, not by what is in the pictures. Formats: png, jpeg, webp, bmp.
    """
    place = _in_root(root, path)
    if not place.is_dir():
        raise UsageError(f"data folder '{place}' is not a folder: name one that holds pictures")
    pictures = sorted(p for p in place.rglob("*") if p.suffix.lower() in _ENDINGS)
    if not pictures:
        raise UsageError(
            f"data folder '{place}' holds no pictures: looked for {', '.join(sorted(_ENDINGS))}"
        )
    facts = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in pictures]
    key = hashlib.sha256(json.dumps([facts, size, colour]).encode()).hexdigest()[:32]
    kept = cache_folder().parent / "pictures" / f"{key}.npy"
    if not kept.is_file():
        log.info("reading %d pictures of %s, once for all runs", len(pictures), place)
        write_atomically(kept, lambda temporary: _write(temporary, pictures, size, colour))
    about = {"n": len(pictures), "folder": path, "size": size, "colour": colour}
    return Data(_mapped(kept), _labels(place, pictures), about, lazy=True)


def _in_root(root: Path | None, name: str) -> Path:
    return (root or Path()) / Path(name).expanduser()


def _mapped(path: Path) -> Tensor:
    """Mapped into memory; what is written to it stays in this process."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def _labels(place: Path, pictures: Sequence[Path]) -> Tensor | None:
    """The number of each picture's first subfolder; None if they are not all in one."""
    ways = [picture.relative_to(place).parts for picture in pictures]
    if any(len(way) == 1 for way in ways):
        return None
    names = sorted({way[0] for way in ways})
    return torch.tensor([names.index(way[0]) for way in ways])


def _write(path: Path, pictures: Sequence[Path], size: int, colour: str) -> None:
    shape = (len(pictures), 3 if colour == "rgb" else 1, size, size)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)

    def put(i: int) -> None:
        array[i] = _square(pictures[i], size, colour)

    with ThreadPoolExecutor() as threads:
        for start in range(0, len(pictures), _AT_ONCE):
            some = range(start, min(start + _AT_ONCE, len(pictures)))
            list(threads.map(put, some))
    array.flush()


def _square(path: Path, size: int, colour: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(C, size, size) of the picture's central square."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            whole = ImageOps.exif_transpose(picture).convert("RGB" if colour == "rgb" else "L")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"picture '{path}' can't be read ({error}): repair it, or take it out of the folder"
        ) from None
    square = ImageOps.fit(whole, (size, size), Image.Resampling.LANCZOS)
    values = np.asarray(square, dtype=np.uint8)
    return values.transpose(2, 0, 1) if colour == "rgb" else values[None]
