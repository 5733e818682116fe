"""What would make a step faster: other settings played beside the given ones, block by block."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ganbench import devices
from ganbench.errors import GanbenchError
from ganbench.fast import check_took_effect
from ganbench.graphs.check import as_a_run_plays
from ganbench.plan import Plan, make_plan
from ganbench.registry import Registry
from ganbench.spec import FAST_PATH, RunSpec

__all__ = ["Bench", "Trial", "hint_of", "run_trials"]

_BLOCK_S = 0.12
_PAIRS = 7
_FEWEST_PAIRS = 3
_WORTH_TELLING = 1.03
_TO_COMPILE_S = 60


@dataclass(frozen=True)
class Trial:
    """One change of settings. `gain`: images per second, changed over given: the median of `pairs`
    pairs of blocks, and its quartiles. None where it could not be played, for the `reason`."""

    change: dict[str, Any]
    flags: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    reason: str | None = None


class Bench:
    """A game of some settings that can be played a block at a time."""

    def __init__(self, plan: Plan, device: torch.device, build: Callable[[Plan], Any]) -> None:
        self._spec, self._device = plan.spec, device
        self._set_up()
        self.game = build(plan)
        self._rule = as_a_run_plays(plan.spec, self.game, plan.rule.create())
        self.play(1)  # allocations, choices of kernels
        check_took_effect(self._spec, self.game.objective.used)

    def play(self, steps: int) -> float:
        """Images per second of a block of steps."""
        self._set_up()
        nimg = self.game.nimg
        devices.synchronize(self._device)
        started = time.perf_counter()
        for _ in range(steps):
            self.game.play(self._rule)
        devices.synchronize(self._device)
        rate: float = (self.game.nimg - nimg) / (time.perf_counter() - started)
        return rate

    def steps_in(self, seconds: float) -> int:
        images_per_step: float = self.game.nimg / self.game.step
        return max(1, round(seconds * self.play(1) / images_per_step))

    def _set_up(self) -> None:
        spec = self._spec
        devices.set_up(self._device, spec.threads, spec.precision, spec.onednn)


def changes(
    spec: RunSpec, device: torch.device, seconds: float = math.inf
) -> Iterator[dict[str, Any]]:
    """Settings that may be faster here; compile, which takes long to try, if there is time."""
    if spec.precision == "fp32":
        yield from [{"precision": "tf32"}] if device.type == "cuda" else []
        yield {"precision": "bf16"}
    cores, threads = devices.usable_cores(), spec.threads or devices.usable_cores()
    if device.type == "cpu" and cores > 1:
        yield {"threads": cores if threads != cores else cores // 2}
    for name in FAST_PATH:
        if not getattr(spec, name) and (name != "compile" or seconds >= _TO_COMPILE_S):
            yield {name: True}
    if spec.batch_size != "full" and spec.micro_batch_size is None:
        yield {"batch_size": 2 * spec.batch_size}


def run_trials(
    plan: Plan,
    registry: Registry,
    device: torch.device,
    build: Callable[[Plan], Any],
    seconds: float,
) -> list[Trial]:
    """Try each change for its share of `seconds`. What can't be played is a trial with a reason."""
    given = Bench(plan, device, build)
    wanted = list(changes(plan.spec, device, seconds))
    deadline = time.perf_counter() + seconds
    trials = []
    for i, change in enumerate(wanted):
        share_s = (deadline - time.perf_counter()) / (len(wanted) - i)
        trials.append(_try(change, given, plan, registry, device, build, share_s))
    return trials


def _try(
    change: dict[str, Any],
    given: Bench,
    plan: Plan,
    registry: Registry,
    device: torch.device,
    build: Callable[[Plan], Any],
    seconds: float,
) -> Trial:
    flags = " ".join(_flag(name, value) for name, value in change.items())
    end = time.perf_counter() + seconds
    try:
        settings = {name: getattr(plan.spec, name) for name in plan.spec.model_fields_set}
        changed = Bench(make_plan(RunSpec(**settings | change), registry), device, build)
    except (GanbenchError, RuntimeError) as error:
        return Trial(change, flags, reason=str(error).strip().splitlines()[0])
    steps = (given.steps_in(_BLOCK_S), changed.steps_in(_BLOCK_S))
    gains: list[float] = []
    while len(gains) < _FEWEST_PAIRS or (len(gains) < _PAIRS and time.perf_counter() < end):
        gains.append(_gain(given, changed, steps, swap=len(gains) % 2 == 1))
    low, gain, high = np.percentile(gains, [25, 50, 75])
    return Trial(change, flags, float(gain), float(low), float(high), len(gains))


def _gain(given: Bench, changed: Bench, steps: tuple[int, int], *, swap: bool) -> float:
    """Every other pair is played the other way round, so that a drift cancels."""
    if swap:
        rate = changed.play(steps[1])
        return rate / given.play(steps[0])
    rate = given.play(steps[0])
    return changed.play(steps[1]) / rate


def _flag(name: str, value: Any) -> str:
    name = f"--{name.replace('_', '-')}"
    return name if value is True else f"{name} {value}"


def hint_of(trials: list[Trial]) -> str:
    """The change that gained most, if its lower quartile is a gain too; in one line."""
    played = [trial for trial in trials if trial.gain is not None]
    better = [trial for trial in played if (trial.low or 0) > _WORTH_TELLING]
    if not better:
        tried = ", ".join(trial.flags for trial in played) or "nothing"
        return f"none of what was tried is faster here (tried: {tried})"
    best = max(better, key=lambda trial: trial.gain or 0)
    return (
        f"{best.flags} makes {best.gain:.2f} times as many images per second here "
        f"(tried: {best.pairs} pairs of blocks, quartiles {best.low:.2f} to {best.high:.2f})"
    )
