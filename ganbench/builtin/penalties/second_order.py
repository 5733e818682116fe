"""Second derivatives, and a clear word where a network has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ganbench.errors import IncompatibleParts

__all__ = ["prove_differentiable", "second_order"]


@contextmanager
def second_order(penalty: str, network: str) -> Iterator[None]:
    """Turn autograd's refusal inside the body into one that names the parts."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IncompatibleParts(
            f"penalty '{penalty}' differentiates a gradient, and {network} can't be "
            f"differentiated twice ({reason}): use networks of twice differentiable layers, such "
            "as mlp or dcgan, or a penalty that needs first derivatives only, such as clip or ortho"
        ) from error


def prove_differentiable(
    value: Tensor, inputs: Sequence[Tensor], penalty: str, network: str
) -> None:
    """Differentiate `value`, made of gradients, once for nothing.

    Otherwise the error would come from the backward pass of the whole loss and name no part.
    """
    if value.requires_grad:
        with second_order(penalty, network):
            torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
