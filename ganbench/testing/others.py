"""What schedules, extractors, trackers and commands must do, whoever wrote them."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ganbench.checkpoint import unflatten
from ganbench.commands import as_command
from ganbench.errors import UsageError
from ganbench.plan import Part, make_plan
from ganbench.protocols import Tracker
from ganbench.record import RunRecord
from ganbench.registry import Registry, default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store
from ganbench.testing.faults import (
    AssumesDtype,
    ChangesInputs,
    Crash,
    DependsOnBatch,
    HiddenRandomness,
    LosesState,
    NotDeterministic,
    NotFinite,
    WrongInterface,
    WrongShape,
    crashes_are_faults,
)
from ganbench.testing.purity import leaves_alone, plain_state, same_bits, well_behaved
from ganbench.testing.subject import Component, subject_of

__all__ = ["check_command", "check_extractor", "check_schedule", "check_tracker"]

_STEPS = 12


def check_schedule(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the schedule keeps every rule of docs/plugins.md."""
    part = subject_of("schedule", component, registry)
    with well_behaved(part.label, "the schedule"):
        optimizer, schedule = _scheduled(part)
        if schedule is None:
            return
        if not isinstance(schedule, LRScheduler):
            found = f"the factory returns {schedule!r}, neither a torch LRScheduler nor None"
            raise WrongInterface(part.label, found)
        rates = _rates(optimizer, schedule, _STEPS)
        if not all(0 <= rate < float("inf") for rate in rates):
            raise NotFinite(part.label, f"sets the learning rates {rates}")
        first_optimizer, first = _scheduled(part)
        _rates(first_optimizer, first, 5)
        state = {"schedule": first.state_dict(), "optimizer": first_optimizer.state_dict()}
        skeleton, tensors = plain_state(part.label, "its state_dict()", state)
        second_optimizer, second = _scheduled(part)
        saved = unflatten(skeleton, tensors)
        with crashes_are_faults(part.label, "load_state_dict", LosesState):
            second_optimizer.load_state_dict(saved["optimizer"])
            second.load_state_dict(saved["schedule"])
        resumed = _rates(second_optimizer, second, _STEPS - 5)
    if resumed != rates[5:]:
        raise LosesState(part.label, f"goes on from a checkpoint with {resumed}, not {rates[5:]}")


def _scheduled(part: Part) -> tuple[torch.optim.Optimizer, Any]:
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    return optimizer, part.create(optimizer, _STEPS)


def _rates(optimizer: torch.optim.Optimizer, schedule: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def check_extractor(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the extractor keeps every rule of docs/plugins.md.

    Raises `UsageError` if its weights can't be had.
    """
    part = subject_of("extractor", component, registry)
    label = part.label
    with crashes_are_faults(label, "the extractor"):
        extractor = part.create()
    if not isinstance(extractor, nn.Module):
        raise WrongInterface(label, f"the factory returns {extractor!r}, not a torch.nn.Module")
    for name in ("name", "sha256", "preprocessing"):
        if not isinstance(getattr(extractor, name, None), str):
            found = f"has no text `{name}`, which a table prints beside each distance"
            raise WrongInterface(label, found)
    stream = torch.Generator().manual_seed(3)
    with well_behaved(label, "the extractor"), torch.inference_mode():
        extractor.eval()
        for channels in (1, 3):
            images = torch.randint(0, 256, (3, channels, 28, 28), generator=stream)
            images = images.to(torch.uint8)
            state = torch.get_rng_state()
            with leaves_alone(label, "the extractor", images=images):
                features, again = extractor(images), extractor(images)
            if not torch.equal(torch.get_rng_state(), state):
                raise HiddenRandomness(label, "draws random numbers")
            if features.ndim != 2 or len(features) != 3:
                found = f"gives features of shape {tuple(features.shape)} for 3 images"
                raise WrongShape(label, f"{found}, not (3, d)")
            if features.dtype != torch.float32:
                raise AssumesDtype(label, f"gives features of type {features.dtype}, not float32")
            if not bool(features.isfinite().all()):
                raise NotFinite(label, "gives features that are not finite")
            if not same_bits([features], [again]):
                raise NotDeterministic(label, "gives two results for the same images")
            if not torch.allclose(features[:1], extractor(images[:1]), rtol=1e-3, atol=1e-4):
                raise DependsOnBatch(label, "sees an image otherwise alone than in a batch")


def check_tracker(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless the tracker keeps every rule of docs/plugins.md.

    It watches a run of a few steps in a temporary folder, which must end with the same bits as
    one that nobody watches. Raises `UsageError` if the tracker refuses to be made.
    """
    part = subject_of("tracker", component, registry)
    label = part.label
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        with _temporary_folder() as folder:
            alone = _run(folder / "alone")
            with well_behaved(label, "the tracker"):
                tracker: Tracker = part.create()
                for method in ("run_start", "progress", "run_end"):
                    if not callable(getattr(tracker, method, None)):
                        raise WrongInterface(label, f"has no method {method}")
                watched = _run(folder / "watched", tracker)
    finally:
        torch.use_deterministic_algorithms(deterministic)
    if watched.status != "completed":
        raise Crash(label, f"a run that it watches ends as {watched.status}: {watched.error}")
    if watched.weights_sha256 != alone.weights_sha256:
        raise ChangesInputs(label, "a run that it watches ends with other weights")


def _run(out: Path, *trackers: Tracker) -> RunRecord:
    spec = RunSpec(
        generator="mlp:hidden=[8]",
        discriminator="mlp:hidden=[8]",
        data="gaussian:n=64",
        loss="nonsat+instance-noise",  # draws from the global state that a tracker must not move
        metrics=(),
        steps=3,
        batch_size=8,
        z_dim=3,
        device="cpu",
        threads=torch.get_num_threads(),
    )
    plan = make_plan(spec, default_registry())
    return run_in_store(plan, out, trackers=trackers).record


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is the working folder too: trackers write where they stand."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def check_command(component: Component, *, registry: Registry | None = None) -> None:
    """Raise a `ConformanceFailure` unless typer makes a command of it that answers --help."""
    part = subject_of("command", component, registry)
    told = io.StringIO()
    try:
        command = as_command(part.registered.factory, part.name)
    except UsageError as error:
        raise WrongInterface(part.label, str(error)) from error
    with crashes_are_faults(part.label, "--help"), redirect_stdout(told):
        command.main(["--help"], prog_name=part.name, standalone_mode=False)
    if part.name not in told.getvalue():
        raise WrongInterface(part.label, "prints no help for --help")
