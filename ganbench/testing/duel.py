"""A loss in play: two small players, and the harness's own objective between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganbench.builtin.losses.classic import nonsat
from ganbench.loss_sum import LossSum, combine
from ganbench.objective import Objective
from ganbench.plan import Part
from ganbench.player import Player
from ganbench.protocols import Loss, Terms
from ganbench.testing.stages import Z_DIM, Stage, batch

__all__ = ["COMPANION", "Duel"]

COMPANION = "companion"
_LR = 0.02


class Duel:
    """`loss` added to a plain adversarial loss, so that penalties and augmentations have what
    they act on. Players and batches are the same each time."""

    def __init__(
        self,
        part: Part,
        stage: Stage,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.stage = stage
        self.own: Loss = part.create()
        self.loss: LossSum = combine([(COMPANION, nonsat()), (part.name, self.own)])
        d = stage.discriminator().to(device, dtype)
        g = stage.generator().to(device, dtype)
        self.discriminator = Player(
            d,
            torch.optim.SGD(d.parameters(), lr=_LR),
            after_update=self.loss.after_d_update,
        )
        self.generator = Player(g, torch.optim.SGD(g.parameters(), lr=_LR))
        self.objective = Objective(
            self.generator, self.discriminator, self.loss, torch.device(device), "fp32"
        )
        self._like = torch.empty(0, dtype=dtype, device=device)

    def batch(self, n: int, seed: int = 3) -> Tensor:
        return batch(self.stage, n, seed).to(self._like)

    def latents(self, n: int, seed: int = 5) -> Tensor:
        stream = torch.Generator().manual_seed(seed)
        return torch.randn(n, Z_DIM, generator=stream, dtype=torch.float32).to(self._like)

    def fakes(self, n: int, player: str) -> Tensor:
        """As the harness makes them: without a gradient for D's loss, with one for G's."""
        with torch.set_grad_enabled(player == "g"):
            return self.objective.fake(self.latents(n))

    def update_d(self, seed: int, n: int = 6) -> Terms:
        """One update of D on the batch of that seed."""
        terms = self.objective.d(self.batch(n, seed), self.latents(n, seed), 1.0)
        self.discriminator.update()
        return terms

    def update_g(self, seed: int, n: int = 6) -> Terms:
        terms = self.objective.g(self.batch(n, seed), self.latents(n, seed), 1.0)
        self.generator.update()
        return terms

    def play(self, start: int, rounds: int) -> list[Tensor]:
        """Updates of D, and every third round one of G; all terms, and the players at the end."""
        seen: list[Tensor] = []
        for i in range(start, start + rounds):
            seen += [term.detach().clone() for term in self.update_d(i).values()]
            if i % 3 == 2:
                seen += [term.detach().clone() for term in self.update_g(i).values()]
        return seen + self.discriminator.position() + self.generator.position()

    def state(self) -> dict[str, Any]:
        return {
            "d": self.discriminator.module.state_dict(),
            "g": self.generator.module.state_dict(),
            "loss": self.loss.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.discriminator.module.load_state_dict(state["d"])
        self.generator.module.load_state_dict(state["g"])
        self.loss.load_state_dict(state["loss"])

    def terms(self, x_real: Tensor, x_fake: Tensor, player: str) -> Terms:
        """What a player descends on these batches, at D as it is; frozen, for G's."""
        if player == "d":
            return self.loss.d_loss(self.objective.score, x_real, x_fake)
        with self.discriminator.frozen():
            return self.loss.g_loss(self.objective.score, x_real, x_fake)
