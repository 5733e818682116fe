"""profile(plan) -> Profile: a step's parts in time and FLOPs, memory, and what would be faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, record_function

from ganbench import devices
from ganbench.errors import GanbenchError
from ganbench.flops import flop_counter
from ganbench.game import Game, build_game
from ganbench.plan import Plan
from ganbench.profiling.ledger import Ledger
from ganbench.profiling.seams import PARTS, watched
from ganbench.profiling.trials import Trial, hint_of, run_trials
from ganbench.profiling.whole import seconds_as_a_whole
from ganbench.protocols import Rule
from ganbench.registry import Registry
from ganbench.streams import isolated

__all__ = ["Part", "Profile", "profile"]

_WARMUP_STEPS = 3
_WATCHED_S = 2.0
_MOST_STEPS = 100
_TRACED_STEPS = 3


@dataclass(frozen=True)
class Part:
    """A part of a step: medians over steps are not additive, so these are means."""

    name: str
    ms: float
    share: float
    gflops: float
    fraction_of_peak: float


@dataclass(frozen=True)
class Profile:
    """`ms_per_step` is the sum of the parts'; `unwatched_ms_per_step` that of steps between them
    which nobody watched. Where a run plays steps as a whole, from a tape or as a CUDA graph,
    `whole_ms_per_step` is what one takes. `cores_busy` is CPU time over wall time."""

    spec: dict[str, Any]
    device: str
    threads: int
    steps: int
    ms_per_step: float
    unwatched_ms_per_step: float
    whole_ms_per_step: float | None
    images_per_s: float
    cores_busy: float
    device_busy: float | None
    gflops_per_step: float
    matmul_gflops_per_s: float
    fraction_of_peak: float
    memory_mb: dict[str, float]
    parts: tuple[Part, ...]
    trials: tuple[Trial, ...]
    hint: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def profile(
    plan: Plan, registry: Registry, *, trials_s: float = 8.0, trace: Path | None = None
) -> Profile:
    """Play some steps of `plan` and watch them; then try other settings for `trials_s` seconds.

    `trace` gets a Chrome trace of three steps. Nothing is trained that stays. Raises
    `GanbenchError` if a step can't be played.
    """
    device = torch.device(devices.resolve_device(plan.spec.device))
    devices.set_up(device, plan.spec.threads, plan.spec.precision, plan.spec.onednn)
    data = plan.data.create(plan.spec.data_root)

    def build(some: Plan) -> Game:
        return build_game(some, data, device)

    with isolated():
        game, rule = build(plan), plan.rule.create()
        devices.reset_peak_memory(device)
        try:
            for _ in range(_WARMUP_STEPS):
                game.play(rule)
        except RuntimeError as error:
            raise GanbenchError(f"a step of this run fails: {error}") from error
        inside = not plan.spec.compile
        seconds, unwatched_s, cpu_s = _watch_time(game, rule, device, inside)
        gflops = _watch_flops(game, rule, inside)
        device_busy = _trace(game, rule, device, trace, inside)
        memory = _memory(game, device)
        whole_s = seconds_as_a_whole(plan, game, device, len(unwatched_s))
        peak = devices.matmul_gflops_per_s(device, plan.spec.precision, torch.get_num_threads())
        trials = run_trials(plan, registry, device, build, trials_s) if trials_s > 0 else []
        devices.set_up(device, plan.spec.threads, plan.spec.precision, plan.spec.onednn)
    steps = len(unwatched_s)
    step_s, total_s = float(np.median(unwatched_s)), sum(seconds.values())
    total_gflops = sum(gflops.values())
    return Profile(
        spec=plan.spec.model_dump(mode="json"),
        device=str(device),
        threads=torch.get_num_threads(),
        steps=steps,
        ms_per_step=1e3 * total_s / steps,
        unwatched_ms_per_step=1e3 * step_s,
        whole_ms_per_step=None if whole_s is None else 1e3 * whole_s,
        images_per_s=game.nimg / game.step / step_s,
        cores_busy=cpu_s / sum(unwatched_s),
        device_busy=device_busy,
        gflops_per_step=total_gflops,
        matmul_gflops_per_s=peak,
        fraction_of_peak=total_gflops / step_s / peak,
        memory_mb=memory,
        parts=_parts(seconds, gflops, steps, peak),
        trials=tuple(trials),
        hint=hint_of(trials) if trials else None,
    )


def _watch_time(
    game: Game, rule: Rule, device: torch.device, inside: bool
) -> tuple[dict[str, float], list[float], float]:
    """Seconds by part, summed over watched steps; those of as many unwatched steps, each played
    next to a watched one; and the latter's CPU seconds."""

    def meter() -> float:
        devices.synchronize(device)
        return time.perf_counter()

    ledger = Ledger(meter)
    unwatched_s: list[float] = []
    cpu_s, end = 0.0, time.perf_counter() + _WATCHED_S
    while not unwatched_s or (len(unwatched_s) < _MOST_STEPS and time.perf_counter() < end):
        with watched(game, ledger, inside=inside):
            ledger.open()
            game.play(rule)
            ledger.close()
        started, cpu_started = meter(), time.process_time()
        game.play(rule)
        unwatched_s.append(meter() - started)
        cpu_s += time.process_time() - cpu_started
    return ledger.gained, unwatched_s, cpu_s


def _watch_flops(game: Game, rule: Rule, inside: bool) -> dict[str, float]:
    """GFLOPs by part of one step."""
    with flop_counter() as counter:
        ledger = Ledger(lambda: counter.get_total_flops() / 1e9)
        with watched(game, ledger, inside=inside):
            ledger.open()
            game.play(rule)
            ledger.close()
    return ledger.gained


def _trace(
    game: Game, rule: Rule, device: torch.device, file: Path | None, inside: bool
) -> float | None:
    """Write the trace, if one is wanted. Returns the share of the time in which a GPU had work."""
    on_cuda = device.type == "cuda"
    if file is None and not on_cuda:
        return None
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    ledger = Ledger(time.perf_counter, around=_range)
    with torch.profiler.profile(activities=activities) as profiler:
        started = time.perf_counter()
        for _ in range(_TRACED_STEPS):
            with watched(game, ledger, inside=inside), _range("step"):
                ledger.open()
                game.play(rule)
                ledger.close()
        devices.synchronize(device)
        elapsed_s = time.perf_counter() - started
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(file))
        except (OSError, RuntimeError) as error:
            raise GanbenchError(f"the trace can't be written to '{file}': {error}") from error
    if not on_cuda:
        return None
    busy_us = sum(event.self_device_time_total for event in profiler.key_averages())
    return float(busy_us / 1e6 / elapsed_s)


def _range(name: str) -> AbstractContextManager[object]:
    return record_function(name)


def _memory(game: Game, device: torch.device) -> dict[str, float]:
    """Megabytes: the peak since the first step, and what is held between steps."""
    players = {"D": game.discriminator, "G": game.generator}
    held = {
        "peak": devices.peak_memory_bytes(device),
        **{f"parameters, {name}": _bytes(one.module.state_dict()) for name, one in players.items()},
        **{f"optimizer, {name}": _bytes(one.optimizer.state) for name, one in players.items()},
    }
    return {name: size / 1e6 for name, size in held.items()}


def _bytes(tree: Any) -> int:
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    inner: Sequence[Any] = ()
    if hasattr(tree, "values"):
        inner = list(tree.values())
    elif isinstance(tree, list | tuple):
        inner = tree
    return sum(map(_bytes, inner))


def _parts(
    seconds: dict[str, float], gflops: dict[str, float], steps: int, peak: float
) -> tuple[Part, ...]:
    total_s = sum(seconds.values())
    known = {name: i for i, name in enumerate(PARTS)}
    rate: Callable[[str], float] = lambda name: gflops.get(name, 0.0) * steps / seconds[name]  # noqa: E731
    return tuple(
        Part(
            name,
            ms=1e3 * seconds[name] / steps,
            share=seconds[name] / total_s,
            gflops=gflops.get(name, 0.0),
            fraction_of_peak=rate(name) / peak,
        )
        for name in sorted(seconds, key=lambda name: known[name])
    )
