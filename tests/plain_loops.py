"""The update rules once more, as loops in plain PyTorch: modules, torch.optim, `backward`.

Nothing of the harness is used but its start (modules, data order, latents) and the loss's terms.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.streams import generator as stream

SMALL_MLP = {
    "data": "fashion-mnist-10k",
    "generator": "mlp:hidden=[16,16]",
    "discriminator": "mlp:hidden=[16,16]",
    "batch_size": 8,
    "z_dim": 5,
    "seed": 3,
}
"""A game whose steps take a millisecond, for tests of how steps are made."""

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class PlainScorer:
    """D for the losses: a function with the network behind it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


class PlainTraining:
    """A game's start, played on without the harness."""

    def __init__(self, game: Any, make_optimizer: MakeOptimizer, seed: int) -> None:
        self.g, self.d = game.generator.module, game.discriminator.module
        self.loss = game.loss
        self.of_g, self.of_d = list(self.g.parameters()), list(self.d.parameters())
        self.opt_g, self.opt_d = make_optimizer(self.of_g), make_optimizer(self.of_d)
        self.images = game.feed._x
        self.batch_size, self.z_dim = game.feed.batch_size, game.z_dim
        self.order = torch.randperm(len(self.images), generator=stream(seed, "data", 0))
        self.latents = stream(seed, "latents")
        self.shown = self.step = 0
        self.past: list[list[Tensor]] | None = None
        self.slow: list[Tensor] | None = None

    # --- the pieces ---------------------------------------------------------------------------

    def real(self) -> Tensor:
        picked = self.order[self.shown : self.shown + self.batch_size]
        self.shown += self.batch_size
        return self.images[picked].float() / 127.5 - 1

    def fake(self) -> Tensor:
        return self.g(torch.randn(self.batch_size, self.z_dim, generator=self.latents))

    def totals(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        score = PlainScorer(self.d)
        d_total = sum(self.loss.d_loss(score, real, fake).values())
        return d_total, sum(self.loss.g_loss(score, real, fake).values())

    def d_gradients(self, real: Tensor) -> list[Tensor]:
        if self.loss.players_penalty is not None:
            return self.penalised(real)[0]
        fake = self.fake().detach()
        total = sum(self.loss.d_loss(PlainScorer(self.d), real, fake).values())
        return gradients(total, self.of_d)

    def g_gradients(self, real: Tensor, score: Callable[..., Any] | None = None) -> list[Tensor]:
        if self.loss.players_penalty is not None and score is None:
            return self.penalised(real)[1]
        fake = self.fake()
        against = PlainScorer(self.d) if score is None else score(real, fake)
        return gradients(sum(self.loss.g_loss(against, real, fake).values()), self.of_g)

    def both(self, real: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        if self.loss.players_penalty is not None:
            return self.penalised(real)
        fake, score = self.fake(), PlainScorer(self.d)
        d_total = sum(self.loss.d_loss(score, real, fake.detach()).values())
        of_d = gradients(d_total, self.of_d)
        g_total = sum(self.loss.g_loss(score, real, fake).values())
        return of_d, gradients(g_total, self.of_g)

    def penalised(self, real: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        d_total, g_total = self.totals(real, self.fake())
        penalty = self.loss.players_penalty(d_total, g_total, self.of_d, self.of_g)
        of_d = gradients(d_total + penalty, self.of_d, retain_graph=True)
        return of_d, gradients(g_total + penalty, self.of_g)

    def move_d(self, of_d: list[Tensor]) -> None:
        move(self.opt_d, self.of_d, of_d)
        self.loss.after_d_update(self.d)

    def move_g(self, of_g: list[Tensor]) -> None:
        move(self.opt_g, self.of_g, of_g)

    def move_both(self, both: tuple[list[Tensor], list[Tensor]]) -> None:
        self.move_d(both[0])
        self.move_g(both[1])

    def look_ahead(self, both: tuple[list[Tensor], list[Tensor]]) -> None:
        counts = copy.deepcopy(self.loss.state_dict())
        self.move_both(both)
        self.loss.load_state_dict(counts)

    def parameters(self) -> list[Tensor]:
        return [*self.of_d, *self.of_g]

    # --- the rules ----------------------------------------------------------------------------

    def alternating(self) -> None:
        real = self.real()
        self.move_d(self.d_gradients(real))
        self.move_g(self.g_gradients(real))

    def simultaneous(self) -> None:
        self.move_both(self.both(self.real()))

    def extragradient(self) -> None:
        start = copied(self.parameters())
        self.look_ahead(self.both(self.real()))
        ahead = self.both(self.real())
        put_back(self.parameters(), start)
        self.move_both(ahead)

    def extragradient_past(self) -> None:
        start = copied(self.parameters())
        if self.past is not None:
            self.look_ahead(self.past)
        self.past = self.both(self.real())
        put_back(self.parameters(), start)
        self.move_both(self.past)

    def lookahead_minimax(self) -> None:
        if self.slow is None:
            self.slow = copied(self.parameters())
        self.alternating()
        if (self.step + 1) % 5 == 0:
            self.slow = [
                torch.lerp(slow, p.detach(), 0.5)
                for slow, p in zip(self.slow, self.parameters(), strict=True)
            ]
            put_back(self.parameters(), self.slow)

    def joint(self) -> None:
        d_total, g_total = self.totals(self.real(), self.fake())
        both = gradients(d_total + g_total, self.parameters())
        self.move_both((both[: len(self.of_d)], both[len(self.of_d) :]))

    def unrolled(self) -> None:
        real = self.real()
        self.move_d(self.d_gradients(real))
        self.move_g(self.g_gradients(real, self.unrolled_score))

    def unrolled_score(self, real: Tensor, fake: Tensor, k: int = 5) -> PlainScorer:
        """D after five updates of its own optimizer, in which `backward` can go back."""
        moving = [p.detach().clone().requires_grad_().clone() for p in self.of_d]
        optimizer = differentiable(self.opt_d, self.of_d, moving)
        for _ in range(k):
            now = [p.clone() for p in moving]
            score = self.at(now)
            total = sum(self.loss.d_loss(score, real, fake).values())
            of_d = torch.autograd.grad(
                total, now, create_graph=True, allow_unused=True, materialize_grads=True
            )
            for p, gradient in zip(moving, of_d, strict=True):
                p.grad = gradient
            optimizer.step()
        return self.at(moving)

    def at(self, tensors: list[Tensor]) -> PlainScorer:
        """D with these tensors for parameters, for losses that read the network too."""
        place = {id(own): other for own, other in zip(self.of_d, tensors, strict=True)}
        return PlainScorer(copy.deepcopy(self.d, place))


def gradients(total: Tensor, of: list[nn.Parameter], **how: bool) -> list[Tensor]:
    return list(torch.autograd.grad(total, of, allow_unused=True, materialize_grads=True, **how))


def move(optimizer: torch.optim.Optimizer, of: list[nn.Parameter], by: list[Tensor]) -> None:
    for p, gradient in zip(of, by, strict=True):
        p.grad = gradient.clone()
    optimizer.step()
    optimizer.zero_grad()


def copied(of: list[Tensor]) -> list[Tensor]:
    return [p.detach().clone() for p in of]


@torch.no_grad()
def put_back(of: list[Tensor], values: list[Tensor]) -> None:
    for p, value in zip(of, values, strict=True):
        p.copy_(value)


def differentiable(
    optimizer: torch.optim.Optimizer, old: list[nn.Parameter], new: list[Tensor]
) -> torch.optim.Optimizer:
    """The same SGD or Adam over other tensors, with the same moments."""
    if isinstance(optimizer, torch.optim.SGD):
        return torch.optim.SGD(new, lr=optimizer.defaults["lr"], differentiable=True)
    told = {name: optimizer.defaults[name] for name in ("lr", "betas")}
    twin = torch.optim.Adam(new, **told, differentiable=True)
    for p, q in zip(old, new, strict=True):
        state = copy.deepcopy(optimizer.state[p])
        squares = state["exp_avg_sq"]  # √ has no derivative at 0
        twin.state[q] = {**state, "exp_avg_sq": squares.where(squares != 0, 1e-30)}
    return twin
