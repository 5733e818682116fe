"""Before a run: one step and one small evaluation on a game of its own, so that parts that do not
fit together are refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from torch import nn

from ganbench.compiling import compile_step
from ganbench.fast import check_took_effect, rehearse_compiled
from ganbench.fit import check_batches, check_shapes
from ganbench.flops import flop_counter
from ganbench.game import Game
from ganbench.graphs.check import why_not
from ganbench.measure import evaluation_latents
from ganbench.plan import Plan
from ganbench.protocols import Data
from ganbench.streams import isolated

__all__ = ["Rehearsal", "rehearse"]

_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal found: the operations of a step, and why steps can't be recorded."""

    gflops_per_step: float
    why_no_graph: str | None


_found: dict[Any, tuple[Rehearsal, list[Any]]] = {}


def rehearse(
    plan: Plan,
    build: Callable[[Data], Game],
    evaluate: Callable[[Game, Data, nn.Module | None, Any], object],
    data: Data,
    extractor: nn.Module | None,
) -> Rehearsal:
    """Play one small evaluation and one step. What was found is kept for runs that differ in their
    seed only, which a process that makes many runs, as a sweep's worker does, need not rehearse.

    Raises `UsageError` for parts that do not fit together.
    """
    targets = [part.registered.target for parts in plan.parts().values() for part in parts]
    spec = plan.spec.model_copy(update={"seed": 0})
    alike = (spec, len(data), data.shape, *map(id, targets))
    if alike in _found:
        return _found[alike][0]
    with isolated(), closing(build(data)) as game:
        rule = plan.rule.create()
        check_batches(plan, rule, data)
        check_shapes(plan, game, data)
        n = min(_SAMPLES, len(data))
        few = Data(data.x[:n], None, data.facts)
        evaluate(game, few, extractor, evaluation_latents(plan, n))
        compile_step(game, on=False)  # a counter sees no compiled operation
        with flop_counter() as counter:
            game.play(rule)
        check_took_effect(plan.spec, game.objective.used)
        if plan.spec.compile:
            rehearse_compiled(plan.spec, game, rule)
        together = "steps are not its own" if plan.spec.vectorize else None
        why_no_graph = together or why_not(plan.spec, game, rule)
        found = Rehearsal(counter.get_total_flops() / 1e9, why_no_graph)
    _found[alike] = found, targets  # kept with it, so that no other target has their ids
    return found
