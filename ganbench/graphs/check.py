"""Which games are the same to the bit when their steps are CUDA graphs, found before a run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path

from ganbench.errors import IncompatibleParts
from ganbench.game import Game
from ganbench.graphs.rule import WARMUP_STEPS, GraphedRule, Recorder, standing_in
from ganbench.protocols import Rule, Terms

if TYPE_CHECKING:
    from ganbench.spec import RunSpec

__all__ = ["as_a_run_plays", "difference", "graphed", "obstacle", "why_not"]

_COMPARED_STEPS = 2  # more than one: a batch that was not renewed would show
# State that a graphed step moves as it should, though it is on the host.
_MOVED = {"latents", "global_cpu", "global_cuda", "step", "nimg", "schedules"}


def graphed(rule: Rule, device: torch.device) -> Rule:
    """The rule with its steps as CUDA graphs."""
    from ganbench.graphs.cuda import CudaRecorder

    return GraphedRule(rule, CudaRecorder(device))


def as_a_run_plays(spec: RunSpec, game: Game, rule: Rule) -> Rule:
    """The rule as a run of `spec` plays it on such a game, of which some steps are played."""
    return graphed(rule, game.device) if why_not(spec, game, rule) is None else rule


def why_not(spec: RunSpec, game: Game, rule: Rule) -> str | None:
    """Why steps of this game are not CUDA graphs; None if they are to be. Plays some steps.

    Raises `IncompatibleParts` where `cuda_graph` is on and that can't be.
    """
    if spec.cuda_graph == "off":
        return "switched off"
    if game.device.type != "cuda":
        return "needs a CUDA device"
    reason = obstacle(spec, game, rule)
    if reason is None:
        from ganbench.graphs.cuda import CudaRecorder

        reason = difference(spec, game, rule, CudaRecorder(game.device))
    if reason is not None and spec.cuda_graph == "on":
        raise IncompatibleParts(
            f"cuda_graph is on, but a step can't be one CUDA graph: {reason}. Drop --cuda-graph, "
            "or take other parts"
        )
    return reason


def obstacle(spec: RunSpec, game: Game, rule: Rule) -> str | None:
    """What is known without playing: a reason against one graph for all steps, or None."""
    if (spec.ranks or 1) > 1:
        return f"{spec.ranks} ranks add up their gradients between a step's operations"
    if spec.precision == "fp16":
        return "precision fp16 reads on the host whether a gradient overflowed"
    if spec.batch_size == "full":
        return "batch_size is full: a second copy of the data would be needed"
    if game.schedules:
        return f"schedule '{spec.schedule}' changes the learning rate, which is part of the graph"
    if not getattr(rule, "same_each_step", False):
        return f"rule '{spec.rule}' does not say that all of its steps are alike (same_each_step)"
    for name, player in (("opt_d", game.discriminator), ("opt_g", game.generator)):
        if player.reads_loss:
            return f"{name} '{getattr(spec, name)}' reads the loss on the host"
    return None


def difference(spec: RunSpec, game: Game, rule: Rule, recorder: Recorder) -> str | None:
    """What sets steps of one graph apart from plain ones, found by playing both; None if nothing
    does: then all state and all terms are equal, bit for bit."""
    for _ in range(WARMUP_STEPS):
        game.play(rule)
    before, start = _on_host(game), game.nimg
    game.play(rule)
    batches = (game.nimg - start) // game.feed.batch_size
    if (changed := _changed(before, _on_host(game))) is not None:
        return changed
    try:
        with standing_in(game, batches), recorder.no_waiting():
            rule(game)
            game.objective.forget()
    except RuntimeError as error:
        return f"a step waits for the device ({_first_line(error)})"
    saved = copy.deepcopy(game.state())
    expected = _played(game, rule)
    game.load_state(saved)
    try:
        found = _played(game, GraphedRule(rule, recorder))
    except RuntimeError as error:
        return f"a step can't be recorded ({_first_line(error)})"
    for key, value in expected.items():
        if not _same(value, found.get(key)):
            return f"steps of the graph differ from plain ones in {key}"
    return None


def _played(game: Game, rule: Rule) -> dict[str, Any]:
    """All state and the last terms after some steps, copied."""
    terms: Terms = {}
    for _ in range(WARMUP_STEPS + _COMPARED_STEPS):
        terms = game.play(rule)
    leaves = {**_leaves({"terms": dict(terms)}), **_leaves(game.state())}
    return {key: x.clone() if isinstance(x, Tensor) else x for key, x in leaves.items()}


def _on_host(game: Game) -> dict[str, Any]:
    """The state that is not on the device, but for the counts that a graphed step moves itself."""
    state = {key: part for key, part in game.state().items() if key not in _MOVED}
    return {
        key: leaf.tolist() if isinstance(leaf, Tensor) else leaf
        for key, leaf in _leaves(state).items()
        if not isinstance(leaf, Tensor) or leaf.device.type != game.device.type
    }


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    for key in sorted({*before, *after}):
        if key not in before or key not in after:
            return f"{key} is there in some steps only"
        if before[key] != after[key]:
            return f"{key} is on the host and changes from step to step"
    return None


def _leaves(tree: Any) -> dict[str, Any]:
    """By path: generator/module/0.weight."""
    return {"/".join(map(_key, path)): leaf for path, leaf in tree_flatten_with_path(tree)[0]}


def _key(entry: Any) -> str:
    return str(getattr(entry, "key", getattr(entry, "idx", entry)))


def _same(one: Any, other: Any) -> bool:
    """Equal bits, where NaN equals NaN."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return bool(one == other)
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and torch.equal(one.nan_to_num(0.5), other.nan_to_num(0.5))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
