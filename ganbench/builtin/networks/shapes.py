"""Which image shapes an architecture can make."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LARGEST", "image_shape", "stages"]

LARGEST = 256
_BASES = range(4, 8)
SIZES = sorted(base << k for base in _BASES for k in range(1, 7) if base << k <= LARGEST)


def image_shape(network: str, shape: Sequence[int]) -> tuple[int, int]:
    """(channels, side) of a square image. Raises ValueError for other shapes."""
    if len(shape) != 3:
        written = "×".join(map(str, shape)) or "a scalar"
        raise ValueError(
            f"{network} makes and reads images (channels, height, width), "
            f"but the data's shape is {written}; mlp works with any shape"
        )
    channels, height, width = shape
    if height != width or height not in SIZES:
        near = sorted(SIZES, key=lambda size: abs(size - (height + width) / 2))[:2]
        raise ValueError(
            f"{network} needs square images whose side is 4, 5, 6 or 7 doubled at least once, "
            f"at most {LARGEST}, but the data's are {channels}×{height}×{width}; "
            f"the nearest sides are {min(near)} and {max(near)}; mlp works with any shape"
        )
    return channels, height


def stages(side: int) -> tuple[int, int]:
    """(base, k) with side = base · 2^k and base 4 to 7: 28 -> (7, 2), 64 -> (4, 4)."""
    k = (side // 4).bit_length() - 1
    return side >> k, k
