"""Which image shapes an architecture can make."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LARGEST", "SIDES", "image_shape", "stages"]

LARGEST = 256
SIDES = sorted(base << k for base in range(4, 8) for k in range(1, 7) if base << k <= LARGEST)


def image_shape(network: str, shape: Sequence[int]) -> tuple[int, int]:
    """(channels, side) of a square image. Raises ValueError for other shapes."""
    written = "×".join(map(str, shape))
    if len(shape) != 3:
        raise ValueError(
            f"{network} works on images (channels, height, width), but the data's shape is "
            f"{written or 'a scalar'}; mlp works on any shape"
        )
    channels, height, width = shape
    if height != width or height not in SIDES:
        near = sorted(sorted(SIDES, key=lambda side: abs(side - (height + width) / 2))[:2])
        raise ValueError(
            f"{network} works on square images whose side is 4, 5, 6 or 7 doubled at least once, "
            f"at most {LARGEST}, but the data's are {written}; the nearest sides are {near[0]} "
            f"and {near[1]}; mlp works on any shape"
        )
    return channels, height


def stages(side: int, smallest: int = 4) -> tuple[int, int]:
    """(base, k) with side = base · 2^k and base from `smallest` to 2·smallest − 1.

    28 -> (7, 2), 64 -> (4, 4); with smallest=6: 64 -> (8, 3).
    """
    k = max(0, (side // smallest).bit_length() - 1)
    return side >> k, k
