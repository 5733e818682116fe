"""The game of several seeds: rules drive it as they drive one seed's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.errors import IncompatibleParts
from ganbench.game import Game, build_game
from ganbench.plan import Plan
from ganbench.player import Player
from ganbench.protocols import Data, Scorer, Terms
from ganbench.scorers import at_least_float32
from ganbench.streams import isolated
from ganbench.vectorize.feed import SeedsFeed
from ganbench.vectorize.lockstep import Lockstep, gradients, random_state
from ganbench.vectorize.stacked import Stacked

__all__ = ["VectorGame", "build_vector_game"]


class _Losses:
    """The seeds' losses, each with the state that it would have alone."""

    players_penalty = None

    def __init__(self, losses: Sequence[Any]) -> None:
        self.each = list(losses)

    def state_dict(self) -> dict[str, Any]:
        return {str(i): loss.state_dict() for i, loss in enumerate(self.each)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for i, loss in enumerate(self.each):
            loss.load_state_dict(state[str(i)])

    def after_d_update(self, module: nn.Module) -> None:
        assert isinstance(module, Stacked)
        for i, loss in enumerate(self.each):
            if loss.has_after_d_update:
                loss.after_d_update(module.shared(i))


class _SeedScorer:
    """D as one seed's loss sees it: (N, …) -> (N,)."""

    def __init__(self, game: VectorGame, seed: int) -> None:
        self._game = game
        self._seed = seed

    def __call__(self, x: Tensor) -> Tensor:
        about = (x, torch.is_grad_enabled())
        logits: Tensor = self._game.lockstep.ask(self._seed, "score", about)
        return at_least_float32(logits)

    @property
    def module(self) -> nn.Module:
        stacked = self._game.discriminator.module
        assert isinstance(stacked, Stacked)
        return stacked.differentiable(self._seed)


class VectorGame(Game):
    """S games at once. Batches are (S, n) indices; terms are (S,), one number a seed."""

    def __init__(self, games: Sequence[Game], players: tuple[Player, Player], **settings: Any):
        losses = _Losses([game.loss for game in games])
        feed = SeedsFeed([game.feed for game in games])
        super().__init__(*players, losses, feed, **settings)  # type: ignore[arg-type]
        self.losses = losses
        self.seeds = len(games)
        self._streams = [game._latents for game in games]
        states = [game.memory.pop("_random_state") for game in games]
        self.lockstep = Lockstep(states, self.device)
        self._given_out: tuple[tuple[Sequence[Tensor], Tensor], ...] = ()

    def draw(self) -> Tensor:
        indices = self.feed.indices(self.nimg)
        self.nimg += indices.shape[1]
        return indices

    def d_gradient(self, batch: Tensor) -> Terms:
        return self._many(batch, self._d)

    def g_gradient(
        self, batch: Tensor, against: Callable[[Tensor, Tensor], Scorer] | None = None
    ) -> Terms:
        if against is not None:
            raise IncompatibleParts(
                "a rule that plays G against another D than D as it is, such as unrolled, can't "
                "be vectorised: leave --vectorize out"
            )
        return self._many(batch, lambda x, z, share: self._g(x, self._fake(z), share))

    def gradients(self, batch: Tensor) -> Terms:
        def both(x_real: Tensor, z: Tensor, share: float) -> Terms:
            x_fake = self._fake(z)
            return {**self._d(x_real, x_fake, share, made=True), **self._g(x_real, x_fake, share)}

        return self._many(batch, both)

    def joint_gradient(self, batch: Tensor) -> Terms:
        raise IncompatibleParts("rule 'joint' can't be vectorised: leave --vectorize out")

    def state(self) -> dict[str, Any]:
        streams = [stream.get_state() for stream in self._streams]
        return {**super().state(), "streams": streams, "random": list(self.lockstep.states)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.lockstep.states = list(state["random"])
        for stream, saved in zip(self._streams, state["streams"], strict=True):
            stream.set_state(saved)

    def _many(self, batch: Tensor, add: Callable[[Tensor, Tensor, float], Terms]) -> Terms:
        """Accumulate over micro-batches, each weighted by its share of the batch."""
        totals: dict[str, Tensor] = {}
        for x_real in self.feed.micro_batches(batch):
            m = x_real.shape[1]
            share = m / batch.shape[1]
            z = torch.stack([self._latents_of(stream, m) for stream in self._streams])
            for name, term in add(x_real, z, share).items():
                part = term.detach().float() * share
                totals[name] = totals[name] + part if name in totals else part
        return totals

    def _latents_of(self, stream: torch.Generator, n: int) -> Tensor:
        return torch.randn(n, self.z_dim, device=self.device, generator=stream)

    def _fake(self, z: Tensor) -> Tensor:
        with self.objective._autocast():
            return at_least_float32(self.generator.module(z))

    def _d(self, x_real: Tensor, z: Tensor, share: float, made: bool = False) -> Terms:
        if made:
            x_fake = z.detach()
        else:
            with torch.no_grad():
                x_fake = self._fake(z)
        return self._descend(self.discriminator, "d", x_real, x_fake, share)

    def _g(self, x_real: Tensor, x_fake: Tensor, share: float) -> Terms:
        with self.discriminator.frozen():
            return self._descend(self.generator, "g", x_real, x_fake, share)

    def _descend(
        self, player: Player, letter: str, x_real: Tensor, x_fake: Tensor, share: float
    ) -> Terms:
        reals, fakes = x_real.unbind(0), x_fake.unbind(0)
        self._given_out = (reals, x_real), (fakes, x_fake)

        def job(seed: int) -> Callable[[], dict[str, Tensor]]:
            loss = self.losses.each[seed]
            value = loss.d_loss if letter == "d" else loss.g_loss

            def run() -> dict[str, Tensor]:
                with self.objective._autocast():
                    return dict(value(_SeedScorer(self, seed), reals[seed], fakes[seed]))

            return run

        found = self.lockstep.run([job(seed) for seed in range(self.seeds)], self._serve)
        self._given_out = ()
        if not found[0]:
            raise IncompatibleParts(
                f"the loss gives the {'discriminator' if letter == 'd' else 'generator'} nothing "
                "to descend: add an adversarial loss to it, such as nonsat+l1"
            )
        terms = {name: torch.stack([one[name] for one in found]) for name in found[0]}
        total = torch.stack(list(terms.values())).sum()
        player.backward(total if share == 1 else total * share)
        return {f"{letter}_{name}": term for name, term in terms.items()}

    def _serve(self, what: str, asked: list[Any]) -> list[Any]:
        if what == "score":
            xs, with_grad = [x for x, _ in asked], asked[0][1]
            with torch.set_grad_enabled(with_grad), self.objective._autocast():
                return list(self.discriminator.module(self._together(xs)).unbind(0))
        return gradients(asked)

    def _together(self, xs: list[Tensor]) -> Tensor:
        """torch.stack, but without a copy of what are the seeds' batches as they were given out."""
        for rows, whole in self._given_out:
            if all(x is row for x, row in zip(xs, rows, strict=True)):
                return whole
        return torch.stack(xs)


def build_vector_game(plans: Sequence[Plan], data: Data, device: torch.device) -> VectorGame:
    """The game of several plans that differ in their seeds. Call it inside `streams.isolated()`."""
    first = plans[0]
    games = []
    resident = Data(data.x.to(device), data.labels, data.facts)
    for plan in plans:
        with isolated():
            game = build_game(plan, resident, device)
            game.memory["_random_state"] = random_state(device)
        if getattr(game.loss, "players_penalty", None) is not None:
            raise IncompatibleParts(
                f"loss '{first.spec.loss}' penalises both players' gradients at once, which can't "
                "be vectorised: leave --vectorize out"
            )
        games.append(game)
    g = Stacked([game.generator.module for game in games], first.generator.label)
    d = Stacked([game.discriminator.module for game in games], first.discriminator.label)
    g_player = Player(g, _optimizer(first, "opt_g", g))
    losses = _Losses([game.loss for game in games])
    d_player = Player(d, _optimizer(first, "opt_d", d), after_update=losses.after_d_update)
    made = [first.schedule.create(p.optimizer, first.spec.steps) for p in (g_player, d_player)]
    return VectorGame(
        games,
        (g_player, d_player),
        z_dim=first.spec.z_dim,
        seed=first.spec.seed,
        device=device,
        precision=first.spec.precision,
        ema_halflife_kimg=first.spec.ema_halflife_kimg,
        schedules=tuple(one for one in made if one is not None),
    )


def _optimizer(plan: Plan, which: str, module: nn.Module) -> torch.optim.Optimizer:
    part = getattr(plan, which)
    try:
        made: torch.optim.Optimizer = part.create(module)
    except Exception as error:
        raise IncompatibleParts(
            f"{part.label} can't step the stacked parameters of several seeds ({error}): leave "
            "--vectorize out, or take an optimizer that treats each number alone, such as adam"
        ) from error
    return made
