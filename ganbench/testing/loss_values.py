"""A loss's numbers: in other types, on other devices, at other batch sizes and at large logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganbench.plan import Part
from ganbench.testing.duel import COMPANION, Duel
from ganbench.testing.faults import AssumesDtype, DependsOnBatch, NotFinite, crashes_are_faults
from ganbench.testing.purity import SEED, check_device, default_dtype, well_behaved
from ganbench.testing.stages import Loud, Stage

__all__ = ["check_batch_size", "check_kinds", "check_large_logits"]

_N = 8


def check_kinds(part: Part, stage: Stage) -> None:
    """The loss works in float64, whatever torch's default type is, and on other devices."""
    with crashes_are_faults(part.label, "the loss in float64", AssumesDtype):
        _meet(part, stage, dtype=torch.float64)
    with (
        default_dtype(torch.float64),
        crashes_are_faults(part.label, "the loss, with torch's default type float64", AssumesDtype),
    ):
        _meet(part, stage)
    check_device(part.label, "the loss", lambda device: _meet(part, stage, device=device))


def _meet(part: Part, stage: Stage, **kind: Any) -> None:
    """Both players' losses and gradients, and one update of D, in a type or on a device."""
    with torch.random.fork_rng(devices=[]):
        duel = Duel(part, stage, **kind)
        x_real = duel.batch(_N)
        for player in ("d", "g"):
            for name, term in duel.terms(x_real, duel.fakes(_N, player), player).items():
                if name != COMPANION and term.dtype != x_real.dtype:
                    found = f"{player}_loss's term '{name}' is {term.dtype}"
                    raise AssumesDtype(part.label, f"{found} where the inputs are {x_real.dtype}")
        duel.update_d(0)
        duel.update_g(0)


def check_batch_size(part: Part, stage: Stage) -> None:
    """The loss of a batch is the mean of its halves' losses, wherever chance plays no part."""
    with well_behaved(part.label, "the loss"):
        for player in ("d", "g"):
            whole = _totals(part, stage, player, slice(0, _N), SEED)
            again = _totals(part, stage, player, slice(0, _N), SEED + 1)
            for name in whole.keys() & again.keys():
                if not torch.allclose(whole[name], again[name], rtol=1e-9):
                    continue
                halves = [
                    _totals(part, stage, player, half, SEED)[name]
                    for half in (slice(0, _N // 2), slice(_N // 2, _N))
                ]
                mean = (halves[0] + halves[1]) / 2
                if not torch.allclose(whole[name], mean, rtol=1e-6, atol=1e-9):
                    found = (
                        f"{player}_loss's term '{name}' is {whole[name].item():.6g} on {_N} samples"
                    )
                    found += f" and {mean.item():.6g} as the mean of its halves"
                    raise DependsOnBatch(part.label, found)


def _totals(part: Part, stage: Stage, player: str, rows: slice, seed: int) -> dict[str, Tensor]:
    """The terms of some rows of a batch, in float64, of a loss that has seen nothing else."""
    torch.manual_seed(seed)
    duel = Duel(part, stage, dtype=torch.float64)
    x_real, x_fake = duel.batch(_N)[rows], duel.batch(_N, seed=7)[rows]
    if player == "g":
        x_fake.requires_grad_()
    return {name: t.detach() for name, t in duel.terms(x_real, x_fake, player).items()}


def check_large_logits(part: Part, stage: Stage) -> None:
    """Real and fake logits of ±1e4, in all four combinations."""
    loud = replace(stage, make_discriminator=lambda shape: Loud())
    doing = "the loss at logits of ±1e4"
    with well_behaved(part.label, doing):
        duel = Duel(part, loud)
        ones = torch.ones(4, *stage.shape)
        signs = torch.tensor([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
        shape = (4, *[1] * len(stage.shape))
        x_real, x_fake = (sign.view(shape) * ones for sign in signs)
        x_fake.requires_grad_()
        totals = []
        for player in ("d", "g"):
            seen = x_fake.detach() if player == "d" else x_fake
            terms = duel.terms(x_real, seen, player)
            for name, term in terms.items():
                if not bool(term.isfinite()):
                    found = f"{player}_loss's term '{name}' is {term.item()} at logits of ±1e4"
                    raise NotFinite(part.label, found)
            totals.append(torch.stack(list(terms.values())).sum())
        gradients = torch.autograd.grad(
            totals[0] + totals[1], [x_fake, *duel.discriminator.parameters], allow_unused=True
        )
        if any(g is not None and not bool(g.isfinite().all()) for g in gradients):
            raise NotFinite(part.label, "a gradient is not finite at logits of ±1e4")
