"""Image data sets."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import UsageError
from ganbench.protocols import Data

__all__ = ["digits", "fashion_mnist", "fashion_mnist_10k"]

_SHIPPED_FOLDER = Path(__file__).parent / "data" / "fashion-mnist-10k"
_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_CITATION = "Xiao, Rasul & Vollgraf 2017 (arXiv:1708.07747)"


def fashion_mnist_10k(root: Path | None) -> Data:
    """The 10,000 test images of Fashion-MNIST, 1×28×28, shipped with ganbench.

    MIT licence, Zalando SE. Xiao, Rasul & Vollgraf 2017 (arXiv:1708.07747).
    """
    del root  # the images come with the package
    return _from_idx(_SHIPPED_FOLDER, "t10k", "test")


def fashion_mnist(root: Path | None) -> Data:
    """The 60,000 training images of Fashion-MNIST, 1×28×28.

    From `--data-root` (its own, FashionMNIST/raw or fashion-mnist folder), Debian's package
    dataset-fashion-mnist, or else torchvision's download. Xiao et al. 2017 (arXiv:1708.07747).
    """
    if root is not None and not root.is_dir():
        raise UsageError(
            f"data_root is '{root}', which is not a folder: name one that holds the four idx.gz "
            "files, or leave it out to have them downloaded"
        )
    place = _place_of_training_images(root)
    return _from_idx(place, "train", "train") if place else _downloaded(root or _default_root())


def digits(root: Path | None) -> Data:
    """scikit-learn's 1,797 handwritten digits, 8×8 scaled to 1×32×32 by repetition.

    Needs the extra: pip install 'ganbench[digits]'. Alpaydin & Kaynak 1998 (UCI).
    """
    del root
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            "data 'digits' comes with scikit-learn, which is not installed: "
            "pip install 'ganbench[digits]'"
        ) from None
    bunch = load_digits()
    small = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))[:, None]
    x = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    return Data(x.contiguous(), labels, {"n": len(x), "source": "scikit-learn load_digits"})


def _place_of_training_images(root: Path | None) -> Path | None:
    places = [root, root / "FashionMNIST" / "raw", root / "fashion-mnist"] if root else []
    for place in [*places, _DEBIAN_FOLDER]:
        if (place / "train-images-idx3-ubyte.gz").is_file():
            return place
    return None


def _files_of_training_images(root: Path | None) -> list[Path] | None:
    """None if torchvision finds them, for what it reads is its own affair."""
    place = _place_of_training_images(root)
    return _idx_files(place, "train") if place else None


def _idx_files(folder: Path, prefix: str) -> list[Path]:
    return [folder / f"{prefix}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1")]


def _from_idx(folder: Path, prefix: str, split: str) -> Data:
    images, labels = map(_read_idx, _idx_files(folder, prefix))
    x, labels = images[:, None], labels.to(torch.int64)
    return Data(x, labels, {"n": len(x), "split": split, "source": _CITATION})


def _read_idx(file: Path) -> Tensor:
    """An IDX file of unsigned bytes: a big-endian header of type, rank and sizes, then the data."""
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError) as error:
        raise UsageError(f"data file '{file}' can't be read: {error}") from None
    if content[:3] != b"\0\0\x08":
        raise UsageError(f"data file '{file}' is not an IDX file of unsigned bytes")
    rank = content[3]
    sizes = np.frombuffer(content, ">i4", rank, 4).tolist()
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if values.size != np.prod(sizes):
        raise UsageError(f"data file '{file}' is cut short: {values.size} values for {sizes}")
    return torch.from_numpy(values.reshape(sizes).copy())


def _default_root() -> Path:
    from platformdirs import user_cache_path

    chosen = os.environ.get("GANBENCH_DATA_ROOT")
    return Path(chosen) if chosen else user_cache_path("ganbench") / "data"


def _downloaded(root: Path) -> Data:
    from torchvision.datasets import FashionMNIST

    try:
        dataset: Any = FashionMNIST(root, train=True, download=True)
    except (RuntimeError, OSError) as error:
        raise UsageError(
            "data 'fashion-mnist' is not here and can't be downloaded "
            f"({' '.join(str(error).split())}). Give --data-root FOLDER with its idx.gz files, "
            "install Debian's package dataset-fashion-mnist, or use --data fashion-mnist-10k, "
            "which comes with ganbench"
        ) from None
    return Data(
        dataset.data[:, None].contiguous(),
        dataset.targets.to(torch.int64),
        {"n": len(dataset.data), "split": "train", "source": _CITATION},
    )


# By which a process may keep them from one run to the next: see ganbench/kept.py.
fashion_mnist_10k.files_read = lambda root: _idx_files(_SHIPPED_FOLDER, "t10k")  # type: ignore[attr-defined]
fashion_mnist.files_read = _files_of_training_images  # type: ignore[attr-defined]
digits.files_read = lambda root: []  # type: ignore[attr-defined]
