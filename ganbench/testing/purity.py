"""Same seed, same bits; and nothing moved that is not the component's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganbench.checkpoint import flatten
from ganbench.streams import isolated
from ganbench.testing.faults import (
    AssumesDevice,
    ChangesInputs,
    ChangesSettings,
    HiddenRandomness,
    LosesState,
    NotDeterministic,
    crashes_are_faults,
)

__all__ = [
    "SEED",
    "check_device",
    "check_repeatable",
    "default_dtype",
    "leaves_alone",
    "plain_state",
    "same_bits",
    "well_behaved",
]

SEED = 20_240_229


@contextmanager
def well_behaved(label: str, doing: str, seed: int | None = SEED) -> Iterator[None]:
    """Run the body from a torch seed; it must leave other random states and settings alone."""
    python_state = random.getstate()
    try:
        with isolated(seed):
            settings, numpy_state = _settings(), _numpy_state()
            with crashes_are_faults(label, doing):
                yield
            if random.getstate() != python_state:
                raise HiddenRandomness(label, f"{doing} draws from Python's module `random`")
            if _numpy_state() != numpy_state:
                raise HiddenRandomness(label, f"{doing} draws from NumPy's global random state")
            for name, value in _settings().items():
                if value != settings[name]:
                    found = f"{doing} changes torch's {name} from {settings[name]} to {value}"
                    raise ChangesSettings(label, found)
    finally:
        random.setstate(python_state)


def check_repeatable(label: str, doing: str, run: Callable[[int], Sequence[Tensor]]) -> None:
    """`run(seed)` must give the same bits from the same seed, and must not set a seed itself."""
    results, states = [], []
    for seed in (SEED, SEED, SEED + 1):
        with well_behaved(label, doing, seed):
            results.append(run(seed))
            states.append(torch.get_rng_state())
    if not same_bits(results[0], results[1]):
        found = f"{doing} from the same torch seed gave two results ({_gap(*results[:2])})"
        raise NotDeterministic(label, found)
    if torch.equal(states[0], states[2]):
        raise HiddenRandomness(label, f"{doing} sets torch's global seed")


def check_device(label: str, doing: str, run: Callable[[torch.device], Any]) -> None:
    """`run` on torch's device `meta`, which has shapes and no values, and on a GPU if there is one.

    On `meta` only a mix of devices counts: what reads a value can't run there at all.
    """
    try:
        with isolated(SEED), _OneDevice():  # type: ignore[no-untyped-call]
            run(torch.device("meta"))
    except _MixedDevices as error:
        raise AssumesDevice(label, f"{doing} {error}") from None
    except Exception as error:
        if "expected all tensors to be on the same device" in str(error).lower():
            raise AssumesDevice(label, f"{doing} mixes devices: {error}") from error
    if torch.cuda.is_available():
        with crashes_are_faults(label, f"{doing} on a GPU", AssumesDevice), isolated(SEED):
            run(torch.device("cuda"))


class _MixedDevices(RuntimeError):
    """An operation of tensors on two devices."""


class _OneDevice(TorchDispatchMode):
    """Refuses operations of tensors on two devices, as a GPU does and `meta` does not.

    Numbers (0-dimensional tensors on the CPU), copies, and indices may come from elsewhere.
    """

    _MAY_MIX = ("_to_copy", "copy_", "index", "index_put", "index_put_", "_index_put_impl_")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        devices = {x.device.type for x in tensors if x.ndim or x.device.type != "cpu"}
        name = func.overloadpacket.__name__
        if len(devices) > 1 and name not in self._MAY_MIX:
            raise _MixedDevices(f"takes tensors of two devices to torch's {name}")
        return func(*args, **kwargs)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """torch's default type inside the body."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def leaves_alone(label: str, doing: str, **tensors: Tensor) -> Iterator[None]:
    """The body must not write into these."""
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    yield
    for name, tensor in tensors.items():
        if not same_bits([tensor], [before[name]]):
            raise ChangesInputs(label, f"{doing} writes into {name}")


def plain_state(label: str, what: str, tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """State as a checkpoint holds it: its skeleton and its tensors, copied."""
    tensors: dict[str, Tensor] = {}
    try:
        return flatten(tree, tensors), tensors
    except TypeError as error:
        raise LosesState(label, f"{what} can't be saved: {error}") from error


def same_bits(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Equal shapes, types and values, where NaN equals NaN."""
    return len(one) == len(other) and all(
        a.shape == b.shape
        and a.dtype == b.dtype
        and torch.equal(a.detach().nan_to_num(nan=0.5), b.detach().nan_to_num(nan=0.5))
        for a, b in zip(one, other, strict=True)
    )


def _gap(one: Sequence[Tensor], other: Sequence[Tensor]) -> str:
    if [a.shape for a in one] != [b.shape for b in other] or not all(a.numel() for a in one):
        return "of different kinds"
    pairs = zip(one, other, strict=True)
    gaps = [float((a.detach().double() - b.detach().double()).abs().max()) for a, b in pairs]
    return f"largest difference {max(gaps):.3g}"


def _settings() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "gradient mode": torch.is_grad_enabled(),
        "number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
    }


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return name, np.asarray(keys).tobytes(), *rest
