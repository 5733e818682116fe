"""Steps of a game under pytest-benchmark."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from ganbench import devices
from ganbench.errors import GanbenchError
from ganbench.game import build_game
from ganbench.graphs.check import as_a_run_plays
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

__all__ = ["settings_restored", "time_case"]

_WARMUP_STEPS = 10
_ROUND_S = 0.15
_WARMUP_ROUNDS = 2


def time_case(benchmark: Any, settings: Mapping[str, Any], rounds: int) -> None:
    """Time `rounds` chunks of about 0.15 s with the fixture `benchmark`, after a warm-up.

    `benchmark.extra_info["ganbench"]` gets the spec, the environment, the steps of a round, the
    median CPU time of a step and the peak memory. Raises `UsageError` for settings that can't run,
    and `GanbenchError` for a game that diverges: its speed would mean nothing.
    """
    plan = make_plan(RunSpec(**{"device": "cpu", "threads": 1, **settings}), default_registry())
    device = torch.device(plan.spec.device)
    devices.set_up(device, plan.spec.threads, plan.spec.precision, plan.spec.onednn)
    with isolated():
        game = build_game(plan, plan.data.create(plan.spec.data_root), device)
        rule = as_a_run_plays(plan.spec, game, plan.rule.create())
        cpu_ms: list[float] = []

        def play(steps: int) -> float:
            """Seconds of wall time; notes the CPU time of a step."""
            devices.synchronize(device)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(steps):
                terms.update(game.play(rule))
            devices.synchronize(device)
            cpu_ms.append(1e3 * (time.process_time() - cpu) / steps)
            return time.perf_counter() - wall

        terms: dict[str, Any] = {}
        play(_WARMUP_STEPS // 2)
        per_step_s = play(_WARMUP_STEPS // 2) / (_WARMUP_STEPS // 2)
        steps = max(1, round(_ROUND_S / per_step_s))
        devices.reset_peak_memory(device)
        cpu_ms.clear()
        benchmark.pedantic(play, args=(steps,), rounds=rounds, warmup_rounds=_WARMUP_ROUNDS)
        diverged = [name for name, term in terms.items() if not math.isfinite(float(term))]
    if diverged:
        raise GanbenchError(f"the game diverged ({', '.join(diverged)}): its speed means nothing")
    benchmark.extra_info["ganbench"] = {
        "spec": plan.spec.model_dump(mode="json"),
        "environment": devices.describe(device),
        "steps_per_round": steps,
        "images_per_step": game.nimg / game.step,
        "cpu_ms_per_step": median(cpu_ms[-rounds:]),
        "peak_memory_mb": devices.peak_memory_bytes(device) / 1e6,
    }


@contextmanager
def settings_restored() -> Iterator[None]:
    """Put torch's global settings back, for the tests that come after in the same process."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    cudnn = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = cudnn
