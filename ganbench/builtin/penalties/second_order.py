"""Second derivatives, and a clear word where a network has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ganbench.errors import IncompatibleParts

__all__ = ["gradients", "prove_differentiable", "second_order"]


def gradients(value: Tensor, by: Sequence[Tensor], *, provable: bool) -> tuple[Tensor | None, ...]:
    """∇ of the sum of `value`, itself differentiable; None for what it does not depend on.

    provable: let it depend on the incoming gradient. A function that can be differentiated once
    only counts as a constant otherwise, and its part of the second derivative is lost in silence.
    """
    incoming = torch.ones_like(value).requires_grad_(provable)
    return torch.autograd.grad(value, by, incoming, create_graph=True, allow_unused=True)


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


def prove_differentiable(value: Tensor, penalty: str, network: str) -> None:
    """Differentiate `value`, made of gradients, once for nothing, by everything it depends on.

    Otherwise the error would come from the backward pass of the whole loss and name no part, or,
    where only some inputs are asked for, not at all.
    """
    if not value.requires_grad:
        return
    leaves = _leaves(value)
    gradients = [leaf.grad for leaf in leaves]
    try:
        with second_order(penalty, network):
            torch.autograd.backward(value, retain_graph=True)
    finally:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient


def _leaves(value: Tensor) -> list[Tensor]:
    """The tensors that a backward pass from `value` adds gradients to."""
    found, seen, waiting = [], set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting.extend(following for following, _ in node.next_functions)
    return found
