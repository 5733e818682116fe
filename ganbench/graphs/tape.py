"""What records a step on a CPU: a tape of its operations, to be run again as they are.

For a small network that leaves out what takes as long as the operations themselves: modules,
autograd, autocast, and new memory for each result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_leaves, tree_map

from ganbench.graphs.memory import Reused
from ganbench.graphs.rule import Recording

__all__ = ["NoWaiting", "TapeRecorder", "Waits", "also_on_tape"]

# What needs a number on the host, or has a shape that depends on numbers.
_WAITING = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select"}
_WAITING |= {"unique_consecutive", "_unique2", "_unique", "bincount"}
_EMPTY = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_COPIES = {"clone", "_to_copy"}
_FIXED_BY_OUT = {"dtype", "layout", "device", "pin_memory"}

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Waits(RuntimeError):
    """An operation for which the host would wait."""


class NoWaiting(TorchDispatchMode):
    """Raises `Waits` for an operation whose result the host must wait for, but on the
    tensors `free`, which are on the host beside a GPU too."""

    def __init__(self, free: tuple[Tensor, ...] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._free = {tensor.data_ptr() for tensor in free}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _WAITING and args[0].data_ptr() not in self._free:
            raise Waits(f"{name} waits for the device")
        if name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]):
            raise Waits("indexing by a mask waits for the device")
        return func(*args, **(kwargs or {}))


class TapeRecorder:
    """Records a step while it is played."""

    plays_while_recording = True

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def no_waiting(self) -> AbstractContextManager[Any]:
        return NoWaiting()

    def record(self, step: Callable[[], Tensor], generator: torch.Generator) -> Recording:
        notes = _Notes()
        with notes:
            result = step()
        return Recording(notes.tape(result).play, result)


@dataclass(frozen=True)
class Tape:
    """Operations with what they were given, in the order in which they are played."""

    calls: Sequence[Call]

    @torch.no_grad()
    def play(self) -> None:
        for function, args, kwargs in self.calls:
            function(*args, **kwargs)


def also_on_tape(call: Callable[[], None]) -> None:
    """Call it, and again each time that a tape which is being recorded is played: for what is not
    an operation on tensors."""
    call()
    for mode in _get_current_dispatch_mode_stack():
        if isinstance(mode, _Notes):
            mode.calls.append((call, (), {}))


class _Notes(NoWaiting):
    """Notes each operation with its results, which it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._empty: list[Any] = []  # held, so that nothing else comes to lie at its address
        self._born: dict[int, int] = {}  # address of memory that is new in the step: first call

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if func.namespace != "profiler":
            self._note(func, *tree_map(_shown, (args, kwargs, out)))
        return out

    def _note(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        if any(x.is_conj() or x.is_neg() for x in _tensors((args, kwargs, out))):
            raise RuntimeError(f"{func} looks at numbers with another sign than in memory")
        given = {_address(x) for x in _tensors((args, kwargs))}
        new = [x for x in _tensors(out) if _address(x) not in given]
        for tensor in new:
            self._born.setdefault(_address(tensor), len(self.calls))
        name = func.overloadpacket.__name__
        if name in _EMPTY:
            self._empty.append(out)
        elif new:
            self.calls.append(_writing(func, name, args, kwargs, out))
        elif func._schema.is_mutable:
            self.calls.append((func, args, kwargs))
        # Else it is a view of what there is.

    def tape(self, result: Tensor) -> Tape:
        """The operations in memory that is as small as if each of their results were freed after
        its last use. `result` stays where it is."""
        memory = Reused()
        self._born.pop(_address(result), None)
        for i, call in enumerate(self.calls):
            for tensor in _tensors(call[1:]):
                if _address(tensor) in self._born:
                    memory.use(tensor, self._born[_address(tensor)], i)
        moved = memory.moved()
        return Tape(
            [
                (function, *tree_map(lambda x: moved(x) if isinstance(x, Tensor) else x, given))
                for function, *given in self.calls
            ]
        )


def _writing(func: Any, name: str, args: Any, kwargs: Any, out: Any) -> Call:
    """A call that leaves the operation's results in the memory of `out`."""
    if name in _COPIES:
        return torch.ops.aten.copy_.default, (out, args[0]), {}
    writer = _writer(func)
    outs = list(out) if len(func._schema.returns) > 1 else [out]
    if writer is None or not all(isinstance(x, Tensor) for x in tree_leaves(outs)):
        return _copied, (func, args, kwargs, out), {}
    overload, taken, names = writer
    kept = {name: value for name, value in kwargs.items() if name in taken}
    return overload, args, {**kept, **dict(zip(names, outs, strict=True))}


def _copied(func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """For operations that cannot be told where to write."""
    for place, value in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
        if isinstance(place, Tensor):
            place.copy_(value)


@cache
def _writer(func: Any) -> tuple[Any, set[str], list[str]] | None:
    """The overload of an operation that writes its results into given tensors, and the names of its
    arguments and of these tensors."""
    types = {one.name: str(one.type) for one in func._schema.arguments}
    for name in func.overloadpacket.overloads():
        overload = getattr(func.overloadpacket, name)
        arguments = overload._schema.arguments
        outs = [one.name for one in arguments if one.is_out]
        rest = {one.name: str(one.type) for one in arguments if not one.is_out}
        same = rest.items() <= types.items() and types.keys() - rest.keys() <= _FIXED_BY_OUT
        if same and outs and len(outs) == len(func._schema.returns):
            return overload, set(rest), outs
    return None


def _shown(x: Any) -> Any:
    """The tensor by another name: autograd takes a gradient that it alone knows as it is, and
    copies another."""
    return x.detach() if isinstance(x, Tensor) else x


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (x for x in tree_leaves(tree) if isinstance(x, Tensor))


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
