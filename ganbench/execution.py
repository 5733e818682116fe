"""execute(plan) -> RunRecord: rehearse, train, evaluate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganbench import devices
from ganbench.checkpoint import load_checkpoint, save_checkpoint, save_weights, weights_sha256
from ganbench.errors import GanbenchError
from ganbench.fast import ways_of
from ganbench.files import write_text
from ganbench.game import Game, build_game
from ganbench.graphs.check import graphed
from ganbench.interrupts import stop_requests
from ganbench.kept import data_of, extractor_of
from ganbench.load import OtherLoad
from ganbench.measure import evaluation_latents, measure
from ganbench.plan import Plan
from ganbench.protocols import Data, Snapshot, Tracker
from ganbench.record import Evaluated, EvaluatedAt, RunRecord, Status, Throughput
from ganbench.rehearsal import rehearse
from ganbench.samples import PICTURES, save_samples
from ganbench.streams import isolated
from ganbench.throughput import throughput_of
from ganbench.training import Training, to_csv

__all__ = ["WARMUP_STEPS", "Run", "execute"]

log = logging.getLogger("ganbench")

WARMUP_STEPS = 10


def execute(
    plan: Plan, folder: Path, checkpoints: Path, *, trackers: Sequence[Tracker] = ()
) -> RunRecord:
    """Run `plan`, or go on from the checkpoint in `checkpoints`. Pictures, weights and history
    land in `folder`; the record is returned.

    A first step and a first evaluation are rehearsed on a copy, so that parts that do not fit
    raise `UsageError` before anything is written. Training that stops being finite ends as
    `diverged`; Ctrl-C or SIGTERM as `interrupted`, with a checkpoint.
    """
    device = torch.device(devices.resolve_device(plan.spec.device))
    devices.set_up(device, plan.spec.threads, plan.spec.precision, plan.spec.onednn)
    with isolated():
        return Run(plan, folder, checkpoints, device, trackers).execute()


@dataclass
class Run:
    """One run, whose steps a team of several processes takes in its own way."""

    plan: Plan
    folder: Path
    checkpoints: Path
    device: torch.device
    trackers: Sequence[Tracker]
    peak_memory_bytes: int = 0
    why_no_graph: str | None = "steps are not its own"

    def execute(self) -> RunRecord:
        started, started_at = time.perf_counter(), datetime.now(timezone.utc)
        spec = self.plan.spec
        data = data_of(self.plan)
        extractor = extractor_of(self.plan, data, self.device)
        gflops_per_step, training, elapsed_before = self._begin(data, extractor)
        game = training.game
        for tracker in self.trackers:
            tracker.run_start(spec, self.plan.run_id)

        def elapsed_s() -> float:
            return elapsed_before + time.perf_counter() - started

        devices.reset_peak_memory(self.device)
        z = evaluation_latents(self.plan, max(spec.n_samples, PICTURES))
        z_measured = z[: spec.n_samples]
        load = OtherLoad.begin()
        status = self._train(
            training,
            elapsed_s,
            lambda: self._evaluate_midway(training, data, extractor, z_measured),
        )
        timing_valid = load.is_negligible() if elapsed_before == 0 else None
        self.peak_memory_bytes = max(self.peak_memory_bytes, devices.peak_memory_bytes(self.device))
        evaluated = None
        if status == "completed":
            if spec.checkpoint_every:
                self._save(training, elapsed_s())
            save_weights(self.folder / "generator.safetensors", game.final_generator)
            save_weights(self.folder / "discriminator.safetensors", game.discriminator.module)
            save_samples(self.folder / "samples.png", game.final_generator, z, data)
            try:
                evaluated = self._measure(game, data, extractor, z_measured)
            except KeyboardInterrupt:
                status = "interrupted"
            if evaluated and spec.eval_every:
                training.note_evaluation(evaluated.values)
        if status == "interrupted":
            self._save(training, elapsed_s())
        self._write_history(training)
        return RunRecord(
            run_id=self.plan.run_id,
            spec=spec.model_copy(update={"device": str(self.device)}),
            spec_sha256=self.plan.spec_sha256,
            status=status,
            steps_done=training.step,
            nimg=training.nimg,
            diverged_step=training.diverged_step,
            weights_sha256=weights_sha256(game.networks) if status == "completed" else None,
            throughput=self._throughput(training, gflops_per_step, timing_valid),
            evaluated=evaluated,
            evaluations=tuple(map(EvaluatedAt.model_validate, training.evaluations)),
            components={
                key: [part.identity() for part in parts] for key, parts in self.plan.parts().items()
            },
            environment=self._environment() | ways_of(spec, game, self.why_no_graph),
            started_at=started_at.isoformat(timespec="seconds"),
            elapsed_s=round(elapsed_s(), 3),
        )

    def _begin(self, data: Data, extractor: nn.Module | None) -> tuple[float, Training, float]:
        """The GFLOPs of a step, the training where it begins, and the seconds already spent."""
        spec = self.plan.spec
        gflops_per_step = self._rehearse(data, extractor)
        self._matmul_gflops_per_s()
        warmup_steps = min(WARMUP_STEPS, spec.steps // 10)
        rule = self.plan.rule.create()
        rule = graphed(rule, self.device) if self.why_no_graph is None else rule
        training = self._training(self._build(data), rule, spec.steps, warmup_steps)
        return gflops_per_step, training, self._resume(training)

    def _build(self, data: Data) -> Game:
        return build_game(self.plan, data, self.device)

    def _training(self, *args: Any) -> Training:
        return Training(*args)

    def _environment(self) -> dict[str, Any]:
        return devices.describe(self.device)

    def _rehearse(self, data: Data, extractor: nn.Module | None) -> float:
        """The GFLOPs of a step. Raises `UsageError` for parts that do not fit together."""
        found = rehearse(self.plan, self._build, self._measure, data, extractor)
        self.why_no_graph = found.why_no_graph
        return found.gflops_per_step

    def _measure(self, *args: Any) -> Evaluated | None:
        return measure(self.plan, *args)

    def _resume(self, training: Training) -> float:
        saved = load_checkpoint(self.checkpoints)
        if saved is None or saved["spec_sha256"] != self.plan.spec_sha256:
            return 0.0
        training.load_state(saved["training"])
        log.info("going on from step %d", training.game.step)
        return float(saved["elapsed_s"])

    def _save(self, training: Training, elapsed_s: float) -> None:
        tree = {
            "spec_sha256": self.plan.spec_sha256,
            "training": training.state(),
            "elapsed_s": elapsed_s,
        }
        save_checkpoint(self.checkpoints, training.game.step, tree)

    def _train(
        self, training: Training, elapsed_s: Callable[[], float], evaluate: Callable[[], None]
    ) -> Status:
        def on_chunk(snapshot: Snapshot) -> None:
            for tracker in self.trackers:
                tracker.progress(snapshot)

        with closing(training.game), stop_requests() as stop:
            training.run(
                stop=lambda: bool(stop),
                on_chunk=on_chunk,
                checkpoint_every=self.plan.spec.checkpoint_every,
                on_checkpoint=lambda: self._save(training, elapsed_s()),
                evaluate_every=self.plan.spec.eval_every if self.plan.metrics else 0,
                on_evaluate=evaluate,
            )
        if training.diverged_step is not None:
            return "diverged"
        return "interrupted" if stop or training.step < training.steps else "completed"

    def _evaluate_midway(
        self, training: Training, data: Data, extractor: nn.Module | None, z: torch.Tensor
    ) -> None:
        """A row of the metrics as they are now. Weights that are not finite, or draw what can't be
        measured, leave a row without values."""
        self.peak_memory_bytes = max(self.peak_memory_bytes, devices.peak_memory_bytes(self.device))
        values: dict[str, float] = {}
        try:
            if training.finite() and (
                evaluated := self._measure(training.game, data, extractor, z)
            ):
                values = evaluated.values
        except GanbenchError as error:
            log.warning("step %d can't be evaluated: %s", training.game.step, error)
        training.note_evaluation(values)
        devices.reset_peak_memory(self.device)

    def _write_history(self, training: Training) -> None:
        write_text(self.folder / "history.csv", training.history.to_csv())
        if training.evaluations:
            write_text(self.folder / "evaluations.csv", to_csv(training.evaluations))

    def _throughput(
        self, training: Training, gflops_per_step: float, timing_valid: bool | None
    ) -> Throughput | None:
        chunks = training.clock.chunks
        if not chunks:
            return None
        return throughput_of(
            chunks,
            images_per_step=training.game.nimg / training.game.step,
            warmup_steps=training.clock.warmup_steps,
            gflops_per_step=gflops_per_step,
            matmul_gflops_per_s=self._matmul_gflops_per_s(),
            peak_memory_bytes=self.peak_memory_bytes,
            timing_valid=timing_valid,
        )

    def _matmul_gflops_per_s(self) -> float:
        """The best of before and after the training: one may be a slow moment of the machine."""
        threads = torch.get_num_threads()
        return devices.matmul_gflops_per_s(self.device, self.plan.spec.precision, threads)
