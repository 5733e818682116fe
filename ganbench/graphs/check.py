"""Which games are the same to the bit when their steps are recorded and played as a whole, as CUDA
graphs or from a tape, found before a run."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from ganbench.errors import IncompatibleParts
from ganbench.game import Game
from ganbench.graphs.host import changed, leaves, on_host
from ganbench.graphs.rule import WARMUP_STEPS, GraphedRule, Recorder, standing_in
from ganbench.protocols import Rule, Terms

if TYPE_CHECKING:
    from ganbench.spec import RunSpec

__all__ = ["as_a_run_plays", "difference", "graphed", "obstacle", "why_not"]

# More than one that is launched: a batch that was not renewed would show. One may be the recorded.
_COMPARED_STEPS = 3
_WORTHWHILE_STEPS = 200  # from a tape; the trial before the run plays about 20


def graphed(rule: Rule, device: torch.device) -> Rule:
    """The rule with its steps as CUDA graphs, or on a CPU from a tape."""
    return GraphedRule(rule, _recorder(device))


def _recorder(device: torch.device) -> Recorder:
    if device.type == "cpu":
        from ganbench.graphs.tape import TapeRecorder

        return TapeRecorder()
    from ganbench.graphs.cuda import CudaRecorder

    return CudaRecorder(device)


def as_a_run_plays(spec: RunSpec, game: Game, rule: Rule) -> Rule:
    """The rule as a run of `spec` plays it on such a game, of which some steps are played."""
    return graphed(rule, game.device) if why_not(spec, game, rule) is None else rule


def why_not(spec: RunSpec, game: Game, rule: Rule) -> str | None:
    """Why steps of this game are neither CUDA graphs nor, on a CPU, from a tape; None if they are
    to be. Plays some steps.

    Raises `IncompatibleParts` where `cuda_graph` or `tape` is on and that can't be.
    """
    on_cpu = game.device.type == "cpu"
    asked = spec.tape if on_cpu else spec.cuda_graph
    if asked == "off":
        return "switched off"
    if not on_cpu and game.device.type != "cuda":
        return "needs a CUDA device"
    reason = obstacle(spec, game, rule) or (_without_gain(spec, game) if on_cpu else None)
    reason = reason or difference(spec, game, rule, _recorder(game.device))
    if reason is not None and asked == "on":
        name, what = ("tape", "played from a tape") if on_cpu else ("cuda_graph", "one CUDA graph")
        raise IncompatibleParts(
            f"{name} is on, but a step can't be {what}: {reason}. "
            f"Drop --{name.replace('_', '-')}, or take other parts"
        )
    return reason


def _without_gain(spec: RunSpec, game: Game) -> str | None:
    """A reason against a tape that is none against a CUDA graph, or None."""
    if spec.tape == "auto" and spec.steps < _WORTHWHILE_STEPS:
        return f"fewer than {_WORTHWHILE_STEPS} steps do not save what recording them takes"
    if spec.compile:
        return "compile is on, and a tape can't see compiled operations"
    if any(isinstance(one, _ConvNd) for player in game.players for one in player.module.modules()):
        return "convolutions take so long that a tape would save nothing"
    return None


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
    before, start = on_host(game), game.nimg
    game.play(rule)
    batches = (game.nimg - start) // game.feed.batch_size
    if (moved := changed(before, on_host(game))) is not None:
        return moved
    try:
        with standing_in(game, batches), recorder.no_waiting():
            rule(game)
            game.objective.forget()
            game.step += 1
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
        if value != found.get(key):
            return f"recorded steps differ from plain ones in {key}"
    return None


def _played(game: Game, rule: Rule) -> dict[str, Any]:
    """All state and the last terms after some steps, tensors by their hashes."""
    terms: Terms = {}
    for _ in range(WARMUP_STEPS + _COMPARED_STEPS):
        terms = game.play(rule)
    found = {**leaves({"terms": dict(terms)}), **leaves(game.state())}
    return {key: _hash(x) if isinstance(x, Tensor) else x for key, x in found.items()}


def _hash(tensor: Tensor) -> tuple[Any, ...]:
    """Of type, shape and bits, where NaN equals NaN."""
    numbers = tensor.detach().nan_to_num(0.5).cpu().contiguous().view(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, hashlib.sha256(numbers.numpy().data).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
