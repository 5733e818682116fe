"""A penalty of D: a term of its loss, applied at every update or lazily."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from ganbench.protocols import Scorer, Terms

__all__ = ["Every", "Penalty", "Weight"]

Every = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


class Penalty:
    """`value(discriminator, x_real, x_fake)`, a scalar that D descends.

    With `every` = k it is applied at the first of every k updates of D, times k, so that the
    mean over updates is that of the penalty applied each time (StyleGAN2's lazy regularisation,
    Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """

    def __init__(
        self, name: str, value: Callable[[Scorer, Tensor, Tensor], Tensor], every: int = 1
    ) -> None:
        self._name = name
        self._value = value
        self._every = every
        self._updates = 0

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        if self._updates % self._every:
            return {}
        value = self._value(discriminator, x_real, x_fake)
        return {self._name: value if self._every == 1 else value * self._every}

    def g_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        return {}

    def after_d_update(self, module: nn.Module) -> None:
        self._updates = (self._updates + 1) % self._every  # the same where all steps are alike

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._updates = int(state["updates"])
