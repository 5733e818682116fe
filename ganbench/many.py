"""Several seeds of one spec in one process: trained at once, then each ended as its own run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganbench import devices
from ganbench.execution import WARMUP_STEPS, Run
from ganbench.graphs.check import graphed
from ganbench.interrupts import stop_requests
from ganbench.kept import data_of, extractor_of
from ganbench.plan import Plan
from ganbench.protocols import Data, Snapshot, Tracker
from ganbench.record import RunRecord, Status, Throughput
from ganbench.streams import isolated
from ganbench.training import Training
from ganbench.vectorize.check import refuse_settings, verify, why_no_tape
from ganbench.vectorize.game import VectorGame, build_vector_game
from ganbench.vectorize.stacked import Stacked
from ganbench.vectorize.training import VectorTraining

__all__ = ["failing", "train_many"]

Execute = Callable[..., RunRecord]


@dataclass
class _Trained:
    """What the training of all seeds leaves."""

    plans: Sequence[Plan]
    training: VectorTraining
    gflops_per_step: float
    peak_memory_bytes: int
    elapsed_s: float
    why_no_graph: str | None


@dataclass
class _SeedRun(Run):
    """A run that was trained beside others: what is left is to measure it and to write it."""

    trained: _Trained = field(kw_only=True)
    seed_index: int = field(kw_only=True)

    def _begin(self, data: Data, extractor: nn.Module | None) -> tuple[float, Training, float]:
        every = self.trained.training
        self.why_no_graph = self.trained.why_no_graph
        warmup_steps = every.clock.warmup_steps
        rule = self.plan.rule.create()
        training = self._training(self._build(data), rule, every.steps, warmup_steps)
        i, game = self.seed_index, training.game
        _copy_weights(every.game, i, game)
        game.step, game.nimg = every.game.step, every.game.nimg
        training.history, training.diverged_step = every.histories[i], every.diverged[i]
        training.clock.chunks = every.clock.chunks
        return self.trained.gflops_per_step, training, self.trained.elapsed_s

    def _train(self, training: Training, *callbacks: Any) -> Status:
        return "diverged" if training.diverged_step is not None else "completed"

    def _throughput(self, training: Training, *rest: Any) -> Throughput | None:
        self.peak_memory_bytes = self.trained.peak_memory_bytes  # of training, not of measuring
        return super()._throughput(training, *rest)

    def _environment(self) -> dict[str, Any]:
        seeds = [plan.spec.seed for plan in self.trained.plans]
        return {**super()._environment(), "vectorized_seeds": seeds}


def train_many(plans: Sequence[Plan], trackers: Sequence[Tracker]) -> list[Execute]:
    """Train all plans, which differ in their seeds only; for each, what `execute` is for one run.

    Raises `UsageError` for what can't be vectorised, before the first step, and
    `KeyboardInterrupt` if it is stopped: nothing of it is kept.
    """
    started = time.perf_counter()
    first = plans[0]
    refuse_settings(first)
    spec = first.spec
    device = torch.device(devices.resolve_device(spec.device))
    devices.set_up(device, spec.threads, spec.precision, spec.onednn)
    with isolated():
        data = data_of(first)
        extractor = extractor_of(first, data, device)
        gflops_per_step = Run(first, Path(), Path(), device, ())._rehearse(data, extractor)
        verify(plans, data, device)
        why_no_graph = why_no_tape(plans, data, device)
        game = build_vector_game(plans, data, device)
        warmup_steps = min(WARMUP_STEPS, spec.steps // 10)
        rule = first.rule.create()
        rule = graphed(rule, device) if why_no_graph is None else rule
        training = VectorTraining(game, rule, spec.steps, warmup_steps)
        label = f"{first.run_id} and {len(plans) - 1} more seeds" if plans[1:] else first.run_id
        for tracker in trackers:
            tracker.run_start(spec, label)

        def on_chunk(snapshot: Snapshot) -> None:
            for tracker in trackers:
                tracker.progress(snapshot)

        devices.reset_peak_memory(device)
        with stop_requests() as stop:
            training.run(stop=lambda: bool(stop), on_chunk=on_chunk)
        game.lockstep.close()
        if stop:
            raise KeyboardInterrupt
        elapsed_s = time.perf_counter() - started
        peak_memory = devices.peak_memory_bytes(device)
        trained = _Trained(plans, training, gflops_per_step, peak_memory, elapsed_s, why_no_graph)
    return [partial(_finish, trained, i, device) for i in range(len(plans))]


def failing(error: Exception) -> Execute:
    """An `execute` for a run whose training failed."""

    def execute(*args: Any, **kwargs: Any) -> RunRecord:
        raise error

    return execute


def _finish(
    trained: _Trained,
    i: int,
    device: torch.device,
    plan: Plan,
    folder: Path,
    checkpoints: Path,
    *,
    trackers: Sequence[Tracker] = (),
) -> RunRecord:
    del trackers  # they have seen it train
    with isolated():
        run = _SeedRun(plan, folder, checkpoints, device, (), trained=trained, seed_index=i)
        return run.execute()


def _copy_weights(many: VectorGame, i: int, game: Any) -> None:
    """One seed's networks, and the generator to evaluate where that is another."""
    for theirs, mine in zip(many.players, game.players, strict=True):
        assert isinstance(theirs.module, Stacked)
        theirs.module.write_to(i, mine.module)
    final = many.final_generator
    game._ema = None
    if final is not many.generator.module:
        assert isinstance(final, Stacked)
        game._ema = copy.deepcopy(game.generator.module).requires_grad_(False)
        final.write_to(i, game._ema)
