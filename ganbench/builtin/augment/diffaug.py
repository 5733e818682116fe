"""DiffAugment: differentiable augmentation of reals and fakes, for both players."""

from __future__ import annotations

from torch import Tensor

from ganbench.builtin.augment.images import (
    random_cutout,
    random_shift,
    require_images,
    uniform,
)
from ganbench.builtin.augment.wrapper import Wrapper
from ganbench.errors import UsageError, unknown
from ganbench.protocols import Loss

__all__ = ["diffaug"]


def diffaug(policy: str | list[str] = "color,translation,cutout") -> Loss:
    """DiffAugment: every loss of the sum sees D(T(x)), with T drawn anew for each image.

    policy (a list, or names joined by commas in quotes) applies in its order, u ~ U[0, 1):
    color: brightness x + (u − ½), then saturation mean_c + 2u (x − mean_c) about each pixel's
    mean over channels, then contrast mean + (u + ½)(x − mean) about the image's mean;
    translation: shift by up to 1/8 of each side, 0 beyond the border;
    cutout: a box of half the sides, centred anywhere, set to 0.

    Zhao et al. 2020 (arXiv:2006.10738), eqs. 4-5.
    Implementations differ: augmenting the reals alone, or D's step alone, is what the paper shows
    to fail.
    """
    names = policy.split(",") if isinstance(policy, str) else policy
    steps = [name.strip() for name in names]
    if not steps:
        raise UsageError(f"diffaug's policy is empty: name some of {', '.join(_STEPS)}")
    for name in steps:
        if name not in _STEPS:
            raise unknown("step of diffaug's policy", name, _STEPS)
    return _DiffAugment(steps)


class _DiffAugment(Wrapper):
    def __init__(self, steps: list[str]) -> None:
        self._steps = steps

    def transform(self, x: Tensor) -> Tensor:
        require_images("diffaug", x)
        for step in self._steps:
            x = _STEPS[step](x)
        return x


def _color(x: Tensor) -> Tensor:
    x = x + (uniform(x) - 0.5)
    x = _stretch(x, x.mean(1, keepdim=True), 2 * uniform(x))
    return _stretch(x, x.mean((1, 2, 3), keepdim=True), uniform(x) + 0.5)


def _stretch(x: Tensor, about: Tensor, by: Tensor) -> Tensor:
    return about + by * (x - about)


def _translation(x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    return random_shift(x, (int(height / 8 + 0.5), int(width / 8 + 0.5)), border="zero")


def _cutout(x: Tensor) -> Tensor:
    return random_cutout(x, 0.5)


_STEPS = {"color": _color, "translation": _translation, "cutout": _cutout}
