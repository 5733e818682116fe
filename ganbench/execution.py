"""execute(plan) -> RunRecord: rehearse, train, evaluate."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganbench import devices
from ganbench.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    save_weights,
    weights_sha256,
)
from ganbench.errors import IncompatibleParts
from ganbench.evaluation import Evaluation
from ganbench.files import write_text
from ganbench.flops import flop_counter
from ganbench.game import Game, build_game
from ganbench.interrupts import stop_requests
from ganbench.plan import Plan
from ganbench.protocols import Data, Snapshot, Tracker
from ganbench.record import Evaluated, RunRecord, Status, Throughput
from ganbench.samples import PICTURES, save_samples
from ganbench.streams import generator as stream
from ganbench.streams import isolated
from ganbench.throughput import throughput_of
from ganbench.training import Training

__all__ = ["execute"]

log = logging.getLogger("ganbench")

_WARMUP_STEPS = 10
_REHEARSED_SAMPLES = 16


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
    devices.set_up(device, plan.spec.threads, plan.spec.precision)
    with isolated():
        return _Run(plan, folder, checkpoints, device, trackers).execute()


@dataclass
class _Run:
    plan: Plan
    folder: Path
    checkpoints: Path
    device: torch.device
    trackers: Sequence[Tracker]

    def execute(self) -> RunRecord:
        started, started_at = time.perf_counter(), datetime.now(timezone.utc)
        spec = self.plan.spec
        data: Data = self.plan.data.create(spec.data_root)
        needs_extractor = spec.metrics and data.is_images
        extractor = self.plan.extractor.create().to(self.device) if needs_extractor else None
        gflops_per_step = self._rehearse(data, extractor)
        game = build_game(self.plan, data, self.device)
        training = Training(
            game, self.plan.rule.create(), spec.steps, min(_WARMUP_STEPS, spec.steps // 10)
        )
        elapsed_before = self._resume(training)
        for tracker in self.trackers:
            tracker.run_start(spec, self.plan.run_id)

        def elapsed_s() -> float:
            return elapsed_before + time.perf_counter() - started

        devices.reset_peak_memory(self.device)
        status = self._train(training, elapsed_s)
        peak_memory_bytes = devices.peak_memory_bytes(self.device)
        self._write_history(training)
        evaluated = None
        if status == "completed":
            if spec.checkpoint_every:
                self._save(training, elapsed_s())
            save_weights(self.folder / "generator.safetensors", game.final_generator)
            save_weights(self.folder / "discriminator.safetensors", game.discriminator.module)
            z = self._evaluation_latents(max(spec.n_samples, PICTURES))
            save_samples(self.folder / "samples.png", game.final_generator, z, data)
            try:
                evaluated = self._evaluate(game, data, extractor, z[: spec.n_samples])
            except KeyboardInterrupt:
                status = "interrupted"
        if status == "interrupted":
            self._save(training, elapsed_s())
        return RunRecord(
            run_id=self.plan.run_id,
            spec=spec.model_copy(update={"device": str(self.device)}),
            spec_sha256=self.plan.spec_sha256,
            status=status,
            steps_done=training.step,
            nimg=training.nimg,
            diverged_step=training.diverged_step,
            weights_sha256=_weights_sha256(game) if status == "completed" else None,
            throughput=self._throughput(training, gflops_per_step, peak_memory_bytes),
            evaluated=evaluated,
            components={
                key: [part.identity() for part in parts] for key, parts in self.plan.parts().items()
            },
            environment=devices.describe(self.device),
            started_at=started_at.isoformat(timespec="seconds"),
            elapsed_s=round(elapsed_s(), 3),
        )

    def _rehearse(self, data: Data, extractor: nn.Module | None) -> float:
        """Play one small evaluation and one step on a game of its own; return the step's GFLOPs."""
        with isolated():
            game = build_game(self.plan, data, self.device)
            self._check_shapes(game, data)
            n = min(_REHEARSED_SAMPLES, len(data))
            few = Data(data.x[:n], None, data.facts)
            self._evaluate(game, few, extractor, self._evaluation_latents(n))
            rule = self.plan.rule.create()
            with flop_counter() as counter:
                game.play(rule)
        return float(counter.get_total_flops() / 1e9)

    def _check_shapes(self, game: Game, data: Data) -> None:
        z = self._evaluation_latents(2).to(self.device)
        with torch.no_grad():
            x_fake = game.generator.module(z)
            logits = game.discriminator.module(x_fake)
        if tuple(x_fake.shape) != (2, *data.shape):
            raise IncompatibleParts(
                f"{self.plan.generator.label} makes examples of shape {tuple(x_fake.shape[1:])}, "
                f"but {self.plan.data.label} has {data.shape}"
            )
        if tuple(logits.shape) != (2,):
            raise IncompatibleParts(
                f"{self.plan.discriminator.label} gives scores of shape {tuple(logits.shape)} for "
                "2 examples, but logits have shape (2,): flatten them to one number an example"
            )

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

    def _train(self, training: Training, elapsed_s: Any) -> Status:
        def on_chunk(snapshot: Snapshot) -> None:
            for tracker in self.trackers:
                tracker.progress(snapshot)

        with stop_requests() as stop:
            training.run(
                stop=lambda: bool(stop),
                on_chunk=on_chunk,
                checkpoint_every=self.plan.spec.checkpoint_every,
                on_checkpoint=lambda: self._save(training, elapsed_s()),
            )
        if training.diverged_step is not None:
            return "diverged"
        return "interrupted" if stop else "completed"

    def _evaluation_latents(self, n: int) -> torch.Tensor:
        """The same latents whatever was trained: (n, z_dim), a prefix of any longer draw."""
        spec = self.plan.spec
        return torch.randn(n, spec.z_dim, generator=stream(spec.seed, "evaluation"))

    def _evaluate(
        self, game: Game, data: Data, extractor: nn.Module | None, z: torch.Tensor
    ) -> Evaluated | None:
        if not self.plan.metrics:
            return None
        started = time.perf_counter()
        evaluation = Evaluation(
            game.final_generator,
            data.x,
            z=z,
            extractor=extractor,
            device=self.device,
            data_label=self.plan.data.name,
            discriminator=game.discriminator.module,
            facts=data.facts,
        )
        values: dict[str, float] = {}
        for part in self.plan.metrics:
            values |= part.create()(evaluation)
        return Evaluated(
            extractor=getattr(extractor, "name", None),
            extractor_sha256=getattr(extractor, "sha256", None),
            preprocessing=getattr(extractor, "preprocessing", None),
            n_real=evaluation.n_real,
            n_fake=evaluation.n_fake,
            values=values,
            elapsed_s=round(time.perf_counter() - started, 3),
        )

    def _write_history(self, training: Training) -> None:
        write_text(self.folder / "history.csv", training.history.to_csv())

    def _throughput(
        self, training: Training, gflops_per_step: float, peak_memory_bytes: int
    ) -> Throughput | None:
        chunks = training.clock.chunks
        if not chunks:
            return None
        threads = torch.get_num_threads()
        return throughput_of(
            chunks,
            images_per_step=training.game.nimg / training.game.step,
            warmup_steps=training.clock.warmup_steps,
            gflops_per_step=gflops_per_step,
            matmul_gflops_per_s=devices.matmul_gflops_per_s(
                self.device, self.plan.spec.precision, threads
            ),
            peak_memory_bytes=peak_memory_bytes,
        )


def _weights_sha256(game: Game) -> str:
    return weights_sha256(
        {
            "generator": game.generator.module,
            "discriminator": game.discriminator.module,
            "final_generator": game.final_generator,
        }
    )
