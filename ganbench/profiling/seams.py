"""The parts of a step, found where any rule, loss and network passes: no part need know of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.game import Game
from ganbench.player import Player
from ganbench.profiling.ledger import REST, Ledger

__all__ = ["PARTS", "watched"]

D_REAL, D_FAKE = "forward D, real", "forward D, fake"
D_BOTH, D_OTHER = "forward D, real and fake at once", "forward D, other inputs"
FORWARD_G, LOSS, DATA = "forward G", "loss terms", "data"
BACKWARD_IN_LOSS = "backward, inside the loss"

# In the order in which they are shown. `rest`: latents, schedules, averages, Python.
PARTS = [
    *(DATA, FORWARD_G, D_REAL, D_FAKE, D_BOTH, D_OTHER, LOSS),
    *("backward, D", "backward, G", BACKWARD_IN_LOSS, "optimizer, D", "optimizer, G", REST),
]


@contextmanager
def watched(game: Game, ledger: Ledger, *, inside: bool = True) -> Iterator[None]:
    """Inside the body, `ledger` learns which part of a step of `game` is at work; afterwards the
    game is as it was.

    `inside=False` leaves the networks and the loss alone, for code that is compiled with them:
    then D's forward passes and the loss terms belong to the rest.
    """
    examples = _Examples()
    objective, feed = game.objective, game.feed
    with ExitStack() as undo:

        def replace(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
            """Put wrap(owner.name) in its place until the end."""
            own, before = name in vars(owner), getattr(owner, name)
            setattr(owner, name, wrap(before))
            undo.callback(*((setattr, owner, name, before) if own else (delattr, owner, name)))

        def count(part: str) -> Callable[[Any], Any]:
            return functools.partial(_counted, ledger, part)

        replace(feed, "indices", count(DATA))
        replace(feed, "micro_batches", functools.partial(_counted_batches, ledger, examples))
        replace(objective, "fake", functools.partial(_counted_fakes, ledger, examples))
        replace(torch.autograd, "grad", count(BACKWARD_IN_LOSS))
        for player, name in ((game.discriminator, "D"), (game.generator, "G")):
            replace(player, "backward", count(f"backward, {name}"))
            replace(player, "update", count(f"optimizer, {name}"))
        if inside:
            replace(objective, "loss", functools.partial(_CountedLoss, ledger))
            _count_calls(game.discriminator, ledger, examples.part_of, undo)
            _count_calls(game.generator, ledger, lambda args: FORWARD_G, undo)
        yield


class _Examples:
    """The real and generated examples of the moment, by which D's inputs are told apart."""

    real: Tensor | None = None
    fake: Tensor | None = None

    def part_of(self, args: Any) -> str:
        x = args[0] if args and isinstance(args[0], Tensor) else None
        if x is None or self.real is None:
            return D_OTHER
        if _same_memory(x, self.real):
            return D_REAL
        if self.fake is None:
            return D_OTHER
        if _same_memory(x, self.fake):
            return D_FAKE
        return D_BOTH if len(x) == len(self.real) + len(self.fake) else D_OTHER


def _same_memory(a: Tensor, b: Tensor) -> bool:
    """Views, detached or not, are the same examples. Tensors that torch.func wraps have no memory
    to compare."""
    try:
        return a.data_ptr() == b.data_ptr() and a.shape == b.shape
    except RuntimeError:
        return False


def _counted(ledger: Ledger, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        with ledger.part(part):
            return function(*args, **options)

    return call


def _counted_fakes(
    ledger: Ledger, examples: _Examples, fake: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    def call(z: Tensor) -> Tensor:
        with ledger.part(FORWARD_G):
            examples.fake = fake(z)
        return examples.fake

    return call


def _counted_batches(
    ledger: Ledger, examples: _Examples, micro_batches: Callable[..., Iterator[Tensor]]
) -> Callable[..., Iterator[Tensor]]:
    """Counts what happens until a batch is there, not what its user then does."""

    def call(*args: Any) -> Iterator[Tensor]:
        batches = iter(micro_batches(*args))
        while True:
            with ledger.part(DATA):
                examples.real = next(batches, None)
            if examples.real is None:
                return
            yield examples.real

    return call


class _CountedLoss:
    """A loss whose two functions are counted and whose state is the loss's own."""

    def __init__(self, ledger: Ledger, loss: Any) -> None:
        self._loss = loss
        self.d_loss = _counted(ledger, LOSS, loss.d_loss)
        self.g_loss = _counted(ledger, LOSS, loss.g_loss)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)


def _count_calls(
    player: Player, ledger: Ledger, part_of: Callable[[Any], str], undo: ExitStack
) -> None:
    """Count calls of the player's network, which hooks see whoever makes them."""
    calls: list[ExitStack] = []

    def before(module: nn.Module, args: Any) -> None:
        call = ExitStack()
        call.enter_context(ledger.part(part_of(args)))
        calls.append(call)

    def after(module: nn.Module, args: Any, output: Any) -> None:
        calls.pop().close()

    module = player.module
    undo.callback(module.register_forward_pre_hook(before, prepend=True).remove)
    undo.callback(module.register_forward_hook(after, always_call=True).remove)
