"""A recorder of steps that stands in for a CUDA graph on a CPU, with a graph's rules: nothing is
done while it records, and operations are run again on the memory that they had, with the numbers
that Python gave them."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ganbench.graphs.rule import Recording
from ganbench.graphs.tape import NoWaiting


class Tape(NoWaiting):
    def __init__(self):
        super().__init__()
        self.calls = []
        self._overwritten = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self._overwritten += [(x, x.detach().clone()) for x in _written(func, args, kwargs)]
        out = super().__torch_dispatch__(func, types, args, kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    @torch.no_grad()
    def rewind(self):
        """Put back what the recording itself wrote: a graph that is recorded does nothing yet."""
        for tensor, value in reversed(self._overwritten):
            tensor.detach().copy_(value)
        self._overwritten.clear()

    @torch.no_grad()
    def play(self):
        for func, args, kwargs, out in self.calls:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and not _share_memory(old, new):
                    old.detach().copy_(new)


def _written(func, args, kwargs):
    """The tensors that an operation writes into, by its schema; batch norm's does not tell."""
    if "batch_norm" in func.overloadpacket.__name__ and "backward" not in str(func):
        yield from (x for x in args[3:5] if isinstance(x, Tensor))
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[i] if i < len(args) else kwargs.get(argument.name)
            yield from (x for x in tree_leaves(given) if isinstance(x, Tensor))


def _share_memory(one, other):
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


class GraphStandIn:
    plays_while_recording = False

    def aside(self):
        return nullcontext()

    @contextmanager
    def no_waiting(self):
        with NoWaiting():
            yield

    def record(self, step, generator):
        tape, drawn, drawn_globally = Tape(), generator.get_state(), torch.get_rng_state()
        with tape:
            result = step()
        tape.rewind()
        generator.set_state(drawn)
        torch.set_rng_state(drawn_globally)
        return Recording(tape.play, result)
