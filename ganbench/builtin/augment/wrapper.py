"""A scorer behind a transformation, and the loss that puts it there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ganbench.protocols import Scorer, Terms

__all__ = ["TransformedScorer", "Wrapper"]

Transform = Callable[[Tensor], Tensor]


class TransformedScorer:
    """D(T(x)). `module` is the network behind it; `transform(x)` is what that network sees."""

    def __init__(self, inner: Scorer, transform: Transform) -> None:
        self.module: Any = getattr(inner, "module", None)
        self._inner = inner
        self._transform = transform

    def __call__(self, x: Tensor) -> Tensor:
        return self._inner(self._transform(x))

    def transform(self, x: Tensor) -> Tensor:
        further: Transform | None = getattr(self._inner, "transform", None)
        seen = self._transform(x)
        return seen if further is None else further(seen)


class Wrapper:
    """A loss without terms of its own, whose `transform` stands before D for all others."""

    def transform(self, x: Tensor) -> Tensor:
        """What D sees of x, of the same shape."""
        raise TypeError(f"{type(self).__name__} must say how it transforms")

    def wrap(self, discriminator: Scorer) -> Scorer:
        return TransformedScorer(discriminator, self.transform)

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}
