"""Adaptive discriminator augmentation: as much as keeps D from overfitting, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganbench.builtin.augment.ada_pipeline import blit, color, geometric, recolor
from ganbench.builtin.augment.images import require_images
from ganbench.builtin.augment.resample import SMALLEST, warp
from ganbench.builtin.augment.wrapper import TransformedScorer, Wrapper
from ganbench.errors import IncompatibleParts
from ganbench.protocols import Loss, Scorer, Terms

__all__ = ["ada"]


def ada(
    target: Annotated[float, Field(ge=-1, le=1)] = 0.6,
    kimg: Annotated[float, Field(gt=0)] = 500.0,
    interval: Annotated[int, Field(ge=1)] = 4,
    pipe: Literal["b", "bg", "bgc"] = "bgc",
    p: Annotated[float, Field(ge=0, le=1)] = 0.0,
) -> Loss:
    """ADA: every loss of the sum sees D(T_p(x)), and p follows how D overfits.

    Each transformation happens with probability p, for each image alone. Every `interval` updates
    of D, with r = E[sign D(x_real)] over the reals it saw since,
    p ← max(0, p + sign(r − target) · images seen / (1000 kimg)), so that p can rise from 0 to 1
    in `kimg` thousand images. p is its start.
    pipe: b = pixel blitting (flip, 90° turns, integer shift), g = general geometry (scale,
    rotation, stretch, fractional shift), c = colour (brightness, contrast, luma flip, hue,
    saturation). Write it last in the sum (after instance-noise).

    Karras et al. 2020 (arXiv:2006.06676), section 3, eq. 1 (r_t), and appendix B.
    Implementations differ: the authors pad by as much as the batch needs, which waits for the
    device; here the image is mirrored without end. On CUDA the geometry's gradient is not
    bit-reproducible, as torch's grid_sample is not.
    """
    return _Ada(target, kimg, interval, pipe, p)


class _Ada(Wrapper):
    def __init__(self, target: float, kimg: float, interval: int, pipe: str, p: float) -> None:
        self._target = target
        self._kimg = kimg
        self._interval = interval
        self._pipe = pipe
        self._p = torch.tensor(p)
        self._signs = torch.zeros(())
        self._seen = 0
        self._updates = 0
        self._watched: _Watched | None = None
        self._x_real: Tensor | None = None

    def transform(self, x: Tensor) -> Tensor:
        require_images("ada", x, SMALLEST)
        self._p, self._signs = self._p.to(x.device), self._signs.to(x.device)
        inverse = blit(x, self._p)
        if "g" in self._pipe:
            inverse = inverse @ geometric(x, self._p)
        x = warp(x, inverse)
        return recolor(x, color(x, self._p)) if "c" in self._pipe else x

    def wrap(self, discriminator: Scorer) -> Scorer:
        self._count_real_logits()
        self._watched = _Watched(discriminator, self)
        return self._watched

    def d_loss(self, discriminator: Scorer, x_real: Tensor, x_fake: Tensor) -> Terms:
        self._x_real = x_real
        return {}

    def after_d_update(self, module: nn.Module) -> None:
        self._count_real_logits()
        self._updates += 1
        if self._updates % self._interval or not self._seen:
            return
        direction = (self._signs / self._seen - self._target).sign()
        self._p = (self._p + direction * (self._seen / (1000 * self._kimg))).clamp(min=0)
        self._signs, self._seen = torch.zeros_like(self._signs), 0

    def state_dict(self) -> dict[str, Any]:
        return {"p": self._p, "signs": self._signs, "seen": self._seen, "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._p, self._signs = state["p"], state["signs"]
        self._seen, self._updates = int(state["seen"]), int(state["updates"])

    def _count_real_logits(self) -> None:
        """Add up the signs of the logits that the losses of D's last batch computed for reals.

        Neither player has to score anything once more.
        """
        x_real, watched = self._x_real, self._watched
        self._x_real = self._watched = None
        if x_real is None or watched is None:
            return
        logits = next((logits for x, logits in watched.calls if x is x_real), None)
        if logits is None:
            raise IncompatibleParts(
                "'ada' adapts to D's logits of real images, and no other loss of this sum scores "
                "them as they are: add a loss of logits such as nonsat, and write ada last"
            )
        self._signs = self._signs + logits.sign().sum()
        self._seen += len(x_real)


class _Watched(TransformedScorer):
    """Keeps what was scored and how, until the next batch."""

    def __init__(self, inner: Scorer, loss: _Ada) -> None:
        super().__init__(inner, loss.transform)
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor) -> Tensor:
        logits = super().__call__(x)
        if not x.requires_grad:
            self.calls.append((x, logits.detach()))
        return logits
