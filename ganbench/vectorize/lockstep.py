"""Losses of several seeds in lockstep: each runs as it is, and where all ask for the same costly
thing, a network's output or a gradient, they get it from one computation for all.

A seed's loss runs in a thread of its own, for a thread has its own gradient and autocast modes;
one thread at a time, with that seed's random state. So a loss needs to know nothing of this, may
keep state, and may look at its values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode_stack,
)

from ganbench.errors import IncompatibleParts
from ganbench.graphs.tape import also_on_tape

__all__ = ["Lockstep", "gradients", "random_state"]

Job = Callable[[], Any]
Serve = Callable[[str, list[Any]], list[Any]]


class _Parted(Exception):
    """The seeds do different things; this one is told to give up."""


class _Gradients(TorchFunctionMode):
    """Ask for `torch.autograd.grad` together."""

    def __init__(self, ask: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self._ask = ask

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.autograd.grad:
            return self._ask("gradient", (args, dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


class _Seed:
    """One seed's thread: it has the floor from `go` until it asks, ends or fails."""

    def __init__(self) -> None:
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        self._given: Any = None
        self._said: tuple[str, Any] = ("", None)
        self.modes: Sequence[TorchDispatchMode] = ()
        threading.Thread(target=self._live, daemon=True).start()

    def go(self, given: Any) -> tuple[str, Any]:
        """Hand over a job or an answer; what the seed says next: what it asks, `done`, `failed`."""
        self._given = given
        self._mine.release()
        self._others.acquire()
        said, self._said = self._said, ("", None)
        return said

    def ask(self, what: str, about: Any) -> Any:
        """Called by the job: an answer from outside."""
        self._say(what, about)
        self._mine.acquire()
        if isinstance(self._given, BaseException):
            raise self._given
        return self._given

    def _say(self, what: str, about: Any) -> None:
        self._said = (what, about)
        self._others.release()

    def _live(self) -> None:
        while True:
            self._mine.acquire()
            job, self._given = self._given, None
            if job is None:
                return
            try:
                with _all(self.modes), _Gradients(self.ask):
                    said = ("done", job())
            except BaseException as error:
                said = ("failed", error)
            del job
            self._say(*said)


class Lockstep:
    """Runs one job a seed. `states` are the seeds' global random states, which move with them."""

    def __init__(self, states: Sequence[Tensor], device: torch.device) -> None:
        self.states = list(states)
        self._device = device
        self._seeds = [_Seed() for _ in states]

    def run(self, jobs: Sequence[Job], serve: Serve) -> list[Any]:
        """What each job returns. `serve(what, one request a seed)` answers what they ask for.

        Raises `IncompatibleParts` if they do not ask for the same.
        """
        given: list[Any] = list(jobs)
        for seed in self._seeds:  # what watches operations here shall see those of the threads
            seed.modes = _get_current_dispatch_mode_stack()
        while True:
            said = [self._go(i, one) for i, one in enumerate(given)]
            whats = {what for what, _ in said}
            if whats == {"done"}:
                return [result for _, result in said]
            failure = next((about for what, about in said if what == "failed"), None)
            if failure is None and len(whats) > 1:
                failure = IncompatibleParts(
                    "the loss takes another path for one seed than for another, which can't be "
                    "vectorised: leave --vectorize out"
                )
            if failure is None:
                try:
                    (what,) = whats
                    given = serve(what, [about for _, about in said])
                    continue
                except Exception as error:
                    failure = error
            self._give_up(said)
            raise failure

    def ask(self, seed: int, what: str, about: Any) -> Any:
        """For jobs: what `serve` answers this seed."""
        return self._seeds[seed].ask(what, about)

    def close(self) -> None:
        for seed in self._seeds:
            seed._given = None
            seed._mine.release()

    def _go(self, i: int, given: Any) -> tuple[str, Any]:
        also_on_tape(lambda: _set_random_state(self._device, self.states[i]))
        said = self._seeds[i].go(given)
        also_on_tape(lambda: self._keep_random_state(i))
        return said

    def _keep_random_state(self, i: int) -> None:
        self.states[i] = random_state(self._device)

    def _give_up(self, said: Sequence[tuple[str, Any]]) -> None:
        for seed, (what, _) in zip(self._seeds, said, strict=True):
            while what not in ("done", "failed"):
                what, _ = seed.go(_Parted())


def gradients(asked: list[Any]) -> list[Any]:
    """What the seeds ask of `torch.autograd.grad`, of one backward pass: none needs another."""
    (_, options), seeds = asked[0], len(asked)
    outputs = [_listed(args[0]) for args, _ in asked]
    inputs = [_listed(args[1]) for args, _ in asked]
    incoming = [kwargs.get("grad_outputs") for _, kwargs in asked]
    if incoming[0] is None:
        weights = None
    else:
        weights = [one for each in incoming for one in _listed(each)]
    options = {**options, "grad_outputs": weights}
    found = torch.autograd.grad(
        [one for each in outputs for one in each],
        [one for each in inputs for one in each],
        **options,
    )
    size = len(found) // seeds
    return [tuple(found[i * size : (i + 1) * size]) for i in range(seeds)]


def _listed(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


@contextmanager
def _all(modes: Sequence[TorchDispatchMode]) -> Iterator[None]:
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


def random_state(device: torch.device) -> Tensor:
    """The global random state that losses draw from on this device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
