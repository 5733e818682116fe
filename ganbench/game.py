"""The game: two players, what they descend, and every piece of state that outlives a step."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganbench.errors import IncompatibleParts
from ganbench.feed import Feed
from ganbench.protocols import Data, Loss, Rule, Terms
from ganbench.streams import generator, isolated, seed_of

__all__ = ["Game", "Player"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Player:
    """A network and its optimizer."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, fp16: bool) -> None:
        self.module = module
        self.optimizer = optimizer
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.last_loss = torch.zeros(())
        device = self.parameters[0].device.type if self.parameters else "cpu"
        self.scaler = torch.amp.GradScaler(device) if fp16 else None
        closure = inspect.signature(optimizer.step).parameters.get("closure")
        self._needs_closure = closure is not None and closure.default is closure.empty

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss` to `.grad`."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """One optimizer step on the gradients at hand, which are then dropped."""
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self._needs_closure:
            self.optimizer.step(lambda: self.last_loss)  # type: ignore[arg-type,return-value]
        else:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No gradient work for this player's parameters inside the body."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)

    def state(self) -> dict[str, Any]:
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])


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
    ) -> None:
        self.generator = generator_
        self.discriminator = discriminator
        self.loss = loss
        self.feed = feed
        self.z_dim = z_dim
        self.device = device
        self.step = 0
        self.nimg = 0
        self.memory: dict[str, Any] = {}
        self._latents = generator(seed, "latents", device=device)
        self._autocast_dtype = _AUTOCAST.get(precision)
        self._ema: nn.Module | None = None
        if ema_halflife_kimg > 0:
            self._ema = copy.deepcopy(generator_.module).requires_grad_(False)
            self._average = get_ema_multi_avg_fn(
                0.5 ** (feed.batch_size / (1000 * ema_halflife_kimg))
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
        return self._gradient(batch, self._backward_d)

    def g_gradient(self, batch: Tensor) -> Terms:
        """Fill G's `.grad` with ∇_G of its loss on `batch` and as many fresh fakes."""
        return self._gradient(batch, self._backward_g)

    def gradients(self, batch: Tensor) -> Terms:
        """Fill both players' `.grad` at the present point, on the same batch and latents."""
        return self._gradient(batch, self._backward_both)

    def joint_gradient(self, batch: Tensor) -> Terms:
        """Fill both players' `.grad` with the gradient of the sum of both losses."""
        return self._gradient(batch, self._backward_joint)

    # --- one step, and what stays after it --------------------------------------------------

    def play(self, rule: Rule) -> Terms:
        """One step by `rule`."""
        terms = rule(self)
        self.step += 1
        if self._ema is not None:
            latest = list(self.generator.module.parameters())
            with torch.no_grad():
                self._average(list(self._ema.parameters()), latest, None)
        return terms

    @property
    def final_generator(self) -> nn.Module:
        """The generator to evaluate: the averaged one where averaging is on."""
        if self._ema is None:
            return self.generator.module
        for buffer, latest in zip(
            self._ema.buffers(), self.generator.module.buffers(), strict=True
        ):
            buffer.copy_(latest)
        return self._ema

    def state(self) -> dict[str, Any]:
        """Everything a continuation needs, as a tree of tensors and plain values."""
        on_cuda = self.device.type == "cuda"
        return {
            "generator": self.generator.state(),
            "discriminator": self.discriminator.state(),
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
        if self._ema is not None:
            self._ema.load_state_dict(state["ema"])
        self._latents.set_state(state["latents"].cpu())
        torch.set_rng_state(state["global_cpu"].cpu())
        if state["global_cuda"] is not None:
            torch.cuda.set_rng_state(state["global_cuda"].cpu(), self.device)
        self.memory = dict(state["memory"])
        self.step = state["step"]
        self.nimg = state["nimg"]

    # --- gradients --------------------------------------------------------------------------

    def _gradient(self, batch: Tensor, backward: Any) -> Terms:
        """Accumulate over micro-batches, each weighted by its share of the batch."""
        n = len(batch)
        totals: dict[str, Tensor] = {}
        for x_real in self.feed.micro_batches(batch):
            share = len(x_real) / n
            z = torch.randn(
                len(x_real), self.z_dim, device=self.device, generator=self._latents
            )
            for name, term in backward(x_real, z, share).items():
                part = term.detach().float()
                part = part if share == 1 else part * share
                totals[name] = totals[name] + part if name in totals else part
        return totals

    def _backward_d(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        with self._autocast(), torch.no_grad():
            x_fake = self._fake(z)
        return self._descend_d(x_real, x_fake, share)

    def _backward_g(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        with self._autocast():
            x_fake = self._fake(z)
        return self._descend_g(x_real, x_fake, share)

    def _backward_both(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        with self._autocast():
            x_fake = self._fake(z)
        d_terms = self._descend_d(x_real, x_fake.detach(), share)
        return {**d_terms, **self._descend_g(x_real, x_fake, share)}

    def _backward_joint(self, x_real: Tensor, z: Tensor, share: float) -> Terms:
        with self._autocast():
            x_fake = self._fake(z)
            d_terms = self.loss.d_loss(self._score, x_real, x_fake)
            g_terms = self.loss.g_loss(self._score, x_real, x_fake)
            total = _total({**_named("d", d_terms), **_named("g", g_terms)}, "players")
        self.generator.backward(total if share == 1 else total * share)
        return {**_named("d", d_terms), **_named("g", g_terms)}

    def _descend_d(self, x_real: Tensor, x_fake: Tensor, share: float) -> Terms:
        with self._autocast():
            terms = self.loss.d_loss(self._score, x_real, x_fake)
            total = _total(terms, "discriminator")
        self._backward(self.discriminator, total, share)
        return _named("d", terms)

    def _descend_g(self, x_real: Tensor, x_fake: Tensor, share: float) -> Terms:
        with self.discriminator.frozen():
            with self._autocast():
                terms = self.loss.g_loss(self._score, x_real, x_fake)
                total = _total(terms, "generator")
            self._backward(self.generator, total, share)
        return _named("g", terms)

    @staticmethod
    def _backward(player: Player, total: Tensor, share: float) -> None:
        player.last_loss = total.detach()
        player.backward(total if share == 1 else total * share)

    def _fake(self, z: Tensor) -> Tensor:
        return self.generator.module(z).float()  # type: ignore[no-any-return]

    def _score(self, x: Tensor) -> Tensor:
        return self.discriminator.module(x).float()  # type: ignore[no-any-return]

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self._autocast_dtype)


def _named(player: str, terms: Terms) -> dict[str, Tensor]:
    return {f"{player}_{name}": term for name, term in terms.items()}


def _total(terms: Terms, player: str) -> Tensor:
    if not terms:
        raise IncompatibleParts(
            f"the loss gives the {player} nothing to descend: "
            "add an adversarial loss to it, such as nonsat+l1"
        )
    first, *rest = terms.values()
    for term in rest:
        first = first + term
    return first


def build_game(plan: Any, data: Data, device: torch.device) -> Game:
    """The game that a plan describes, at step 0. Call it inside `streams.isolated()`."""
    from ganbench.loss_sum import combine

    spec = plan.spec
    with isolated(seed_of(spec.seed, "init_g")):
        g = plan.generator.create(spec.z_dim, data.shape).to(device).train()
    with isolated(seed_of(spec.seed, "init_d")):
        d = plan.discriminator.create(data.shape).to(device).train()
    fp16 = spec.precision == "fp16"
    return Game(
        Player(g, plan.opt_g.create(g), fp16),
        Player(d, plan.opt_d.create(d), fp16),
        combine([(part.name, part.create()) for part in plan.loss]),
        Feed(data, spec.batch_size, spec.micro_batch_size, spec.seed, device),
        z_dim=spec.z_dim,
        seed=spec.seed,
        device=device,
        precision=spec.precision,
        ema_halflife_kimg=spec.ema_halflife_kimg,
    )
