"""The game: two players, what they descend, and every piece of state that outlives a step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from ganbench.compiling import compile_step
from ganbench.fast import fast_path, placed
from ganbench.feed import Feed
from ganbench.loss_sum import combine
from ganbench.objective import Objective
from ganbench.player import Player
from ganbench.prefetch import feed_for
from ganbench.protocols import Data, Loss, Rule, Scorer, Terms
from ganbench.streams import generator, isolated, seed_of

__all__ = ["Game", "build_game"]


class Game:
    """Players, loss, data and random streams. Rules drive it; `play` makes one step.

    `memory` is a rule's own state that must outlive a step: a tree of tensors and plain values.
    """

    def __init__(
        self,
        generator_: Player,
        discriminator: Player,
        loss: Loss,
        feed: Feed,
        *,
        z_dim: int,
        seed: int,
        device: torch.device,
        precision: str = "fp32",
        ema_halflife_kimg: float = 0.0,
        schedules: tuple[LRScheduler, ...] = (),
        fast: Mapping[str, bool] | None = None,
    ) -> None:
        self.generator = generator_
        self.discriminator = discriminator
        self.loss = loss
        self.objective = Objective(generator_, discriminator, loss, device, precision, **fast or {})
        self.feed = feed
        self.z_dim = z_dim
        self.device = device
        self.step = 0
        self.nimg = 0
        self.memory: dict[str, Any] = {}
        self.schedules = schedules
        self._latents = generator(seed, "latents", device=device)
        self._ema: nn.Module | None = None
        if ema_halflife_kimg > 0:
            self._ema = copy.deepcopy(generator_.module).requires_grad_(False)
            self._average = (
                get_swa_multi_avg_fn()
                if math.isinf(ema_halflife_kimg)
                else get_ema_multi_avg_fn(0.5 ** (feed.batch_size / (1000 * ema_halflife_kimg)))
            )
        torch.manual_seed(seed_of(seed, "penalties"))

    # --- what a rule uses -------------------------------------------------------------------

    def draw(self) -> Tensor:
        """Draw the next batch of real examples, as indices."""
        indices = self.feed.indices(self.nimg)
        self.nimg += len(indices)
        return indices

    def d_gradient(self, batch: Tensor) -> Terms:
        """Fill D's `.grad` with ∇_D of its loss on `batch` and as many fresh fakes."""
        return self._gradient(batch, self.objective.d)

    def g_gradient(
        self, batch: Tensor, against: Callable[[Tensor, Tensor], Scorer] | None = None
    ) -> Terms:
        """Fill G's `.grad` with ∇_G of its loss on `batch` and as many fresh fakes.

        `against(x_real, x_fake)` gives the scorer to play against, instead of D as it is.
        """
        return self._gradient(
            batch, lambda x_real, z, share: self.objective.g(x_real, z, share, against)
        )

    def gradients(self, batch: Tensor) -> Terms:
        """Fill both players' `.grad` at the present point, on the same batch and latents."""
        return self._gradient(batch, self.objective.both)

    def joint_gradient(self, batch: Tensor) -> Terms:
        """Fill both players' `.grad` with the gradient of the sum of both losses."""
        return self._gradient(batch, self.objective.joint)

    @property
    def players(self) -> tuple[Player, Player]:
        """D and G, in the order in which they move."""
        return self.discriminator, self.generator

    @contextmanager
    def latents_kept(self) -> Iterator[None]:
        """The latents drawn in the body are drawn again after it."""
        state = self._latents.get_state()
        yield
        self._latents.set_state(state)

    @contextmanager
    def loss_unchanged(self) -> Iterator[None]:
        """Take back what the body does to the loss's own state, such as its counts of updates."""
        state = _state_of(self.loss)
        yield
        if state is not None:
            self.loss.load_state_dict(state)  # type: ignore[attr-defined]

    # --- one step, and what stays after it --------------------------------------------------

    def play(self, rule: Rule) -> Terms:
        """One step by `rule`."""
        terms = rule(self)
        self.objective.forget()
        for schedule in self.schedules:
            schedule.step()
        if self._ema is not None:
            latest = list(self.generator.module.parameters())
            with torch.no_grad():
                self._average(list(self._ema.parameters()), latest, torch.tensor(self.step + 1))
        self.step += 1
        return terms

    def close(self) -> None:
        """End what the game has besides memory: no more steps are played."""
        self.feed.close()

    @property
    def final_generator(self) -> nn.Module:
        """The generator to evaluate: the averaged one where averaging is on, here or in G's
        optimizer."""
        if self._ema is None:
            return self.generator.averaged()
        for buffer, latest in zip(
            self._ema.buffers(), self.generator.module.buffers(), strict=True
        ):
            buffer.copy_(latest)
        return self._ema

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What a run makes."""
        return {
            "generator": self.generator.module,
            "discriminator": self.discriminator.module,
            "final_generator": self.final_generator,
        }

    def state(self) -> dict[str, Any]:
        """Everything a continuation needs, as a tree of tensors and plain values."""
        on_cuda = self.device.type == "cuda"
        return {
            "generator": self.generator.state(),
            "discriminator": self.discriminator.state(),
            "loss": _state_of(self.loss),
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "ema": self._ema.state_dict() if self._ema is not None else None,
            "latents": self._latents.get_state(),
            "global_cpu": torch.get_rng_state(),
            "global_cuda": torch.cuda.get_rng_state(self.device) if on_cuda else None,
            "memory": self.memory,
            "step": self.step,
            "nimg": self.nimg,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.generator.load_state(state["generator"])
        self.discriminator.load_state(state["discriminator"])
        if state["loss"] is not None:
            self.loss.load_state_dict(state["loss"])  # type: ignore[attr-defined]
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
        if self._ema is not None:
            self._ema.load_state_dict(state["ema"])
        self._latents.set_state(state["latents"].cpu())
        torch.set_rng_state(state["global_cpu"].cpu())
        if state["global_cuda"] is not None:
            torch.cuda.set_rng_state(state["global_cuda"].cpu(), self.device)
        self.memory = dict(state["memory"])
        self.step = state["step"]
        self.nimg = state["nimg"]

    def _gradient(
        self, batch: Tensor, add_gradient: Callable[[Tensor, Tensor, float], Terms]
    ) -> Terms:
        """Accumulate over micro-batches, each weighted by its share of the batch."""
        n = len(batch)
        totals: dict[str, Tensor] = {}
        for x_real in self.feed.micro_batches(batch):
            share = len(x_real) / n
            z = torch.randn(len(x_real), self.z_dim, device=self.device, generator=self._latents)
            for name, term in add_gradient(x_real, z, share).items():
                part = term.detach().float()
                part = part if share == 1 else part * share
                totals[name] = totals[name] + part if name in totals else part
        return totals


def _state_of(loss: Loss) -> Any:
    state_dict = getattr(loss, "state_dict", None)
    return state_dict() if state_dict is not None else None


def build_game(
    plan: Any, data: Data, device: torch.device, make: Callable[..., Game] = Game
) -> Game:
    """The game that a plan describes, at step 0. Call it inside `streams.isolated()`. Raises
    `UsageError` for settings of the fast path that do not fit the parts."""
    spec = plan.spec
    with isolated(seed_of(spec.seed, "init_g")):
        g = placed(plan.generator.create(spec.z_dim, data.shape), spec, device)
    with isolated(seed_of(spec.seed, "init_d")):
        d = placed(plan.discriminator.create(data.shape), spec, device)
    loss = combine([(part.name, part.create()) for part in plan.loss])
    fp16 = spec.precision == "fp16"
    players = (
        Player(g, plan.opt_g.create(g), fp16=fp16),
        Player(d, plan.opt_d.create(d), fp16=fp16, after_update=loss.after_d_update),
    )
    schedules = [plan.schedule.create(one.optimizer, spec.steps) for one in players]
    game = make(
        *players,
        loss,
        feed_for(spec, data, device),
        z_dim=spec.z_dim,
        seed=spec.seed,
        device=device,
        precision=spec.precision,
        ema_halflife_kimg=spec.ema_halflife_kimg,
        schedules=tuple(one for one in schedules if one is not None),
        fast=fast_path(spec, d, data.shape, device),
    )
    if spec.compile:
        compile_step(game)
    return game
