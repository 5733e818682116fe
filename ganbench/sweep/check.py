"""Every run of a sweep is checked before the first begins, and all mistakes are told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.launch import launch
from ganbench.plan import Plan, make_plan
from ganbench.registry import Registry
from ganbench.spec import RunSpec

__all__ = ["Mistakes", "PlannedRun", "combination_of", "plan_runs"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run that can start. `settings` make the same plan anywhere: they leave nothing to the
    machine."""

    plan: Plan
    settings: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        return self.plan.run_id

    @property
    def combination(self) -> str:
        """What the run has in common with those of other seeds and lengths."""
        return combination_of(self.plan.spec)


def combination_of(spec: RunSpec) -> str:
    """The same text for runs that differ in seed, length or paths alone."""
    return spec.model_dump_json(
        exclude={"seed", "steps", "checkpoint_every", "data_root", "extractor_weights"}
    )


class Mistakes:
    """What is wrong, with which runs, and how to leave out what does not fit together."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Mapping[str, Any]]] = {}
        self._incompatible: set[str] = set()

    def add(self, settings: Mapping[str, Any], error: UsageError) -> None:
        self._runs.setdefault(str(error), []).append(settings)
        if isinstance(error, IncompatibleParts):
            self._incompatible.add(str(error))

    def __bool__(self) -> bool:
        return bool(self._runs)

    def raise_if_any(self, everything: Sequence[Mapping[str, Any]]) -> None:
        """Raise a `UsageError` that tells them all. `everything`: the settings of every run."""
        if not self._runs:
            return
        n = len({id(one) for runs in self._runs.values() for one in runs})
        lines = [f"{n} of the {len(everything)} runs can't be; nothing was run"]
        for message, runs in list(self._runs.items())[:_SHOWN]:
            common = _common(runs, everything)
            shown = " ".join(f"{key}={_quote(value)}" for key, value in common.items())
            lines.append(f"  {message}")
            lines.append(f"    in {len(runs)} run(s){': ' if shown else ''}{shown}")
            if message in self._incompatible and common and len(runs) < len(everything):
                lines.append(f"    to leave them out: --exclude {_shell_quote(common)}")
        if len(self._runs) > _SHOWN:
            lines.append(f"  and {len(self._runs) - _SHOWN} other mistakes")
        raise UsageError("\n".join(lines))


def plan_runs(everything: Sequence[Mapping[str, Any]], registry: Registry) -> list[PlannedRun]:
    """A plan for each run, one that is listed twice once; all of one seed before those of the
    next, so that a sweep that is cut short has few seeds of everything.

    What a run's bits depend on is settled here, so that it is the same on every backend: CPU
    threads are 1 unless given, and `auto` is the device of this machine. Raises `UsageError` that
    tells every mistake.
    """
    _refuse_torchrun()
    mistakes = Mistakes()
    runs: dict[str, PlannedRun] = {}
    for settings in everything:
        try:
            planned = _plan(settings, registry)
        except UsageError as error:
            mistakes.add(settings, error)
            continue
        runs.setdefault(planned.run_id, planned)
    mistakes.raise_if_any(everything)
    return sorted(runs.values(), key=lambda run: run.plan.spec.seed)


def _plan(settings: Mapping[str, Any], registry: Registry) -> PlannedRun:
    from ganbench.devices import resolve_device

    spec = RunSpec(**{"threads": 1, **settings})
    if spec.vectorize:
        raise UsageError(
            "vectorize is true, but a sweep trains each run by itself: leave it out, or for each "
            "combination give ganbench run … --seeds 0..4 --vectorize --out DIR"
        )
    settled: dict[str, Any] = spec.model_dump(mode="json", exclude_unset=True)
    settled["device"] = resolve_device(spec.device)
    for key in ("data_root", "extractor_weights"):
        path: Path | None = getattr(spec, key)
        if path is not None:
            settled[key] = str(path.absolute())
    return PlannedRun(make_plan(RunSpec(**settled), registry), settled)


def _refuse_torchrun() -> None:
    size = launch().size
    if size > 1:
        raise UsageError(
            f"torchrun started {size} processes of this sweep, which each would run all of it: "
            "start it without torchrun. One run on several GPUs is "
            f"torchrun --nproc-per-node={size} -m ganbench run …"
        )


def _common(
    runs: Sequence[Mapping[str, Any]], everything: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The settings in which these runs agree and not all do."""
    keys = dict.fromkeys(key for one in everything for key in one)
    return {
        key: runs[0].get(key)
        for key in keys
        if _n_values(runs, key) == 1 and _n_values(everything, key) > 1 and key in runs[0]
    }


def _n_values(runs: Iterable[Mapping[str, Any]], key: str) -> int:
    return len({repr(one.get(key)) for one in runs})


def _quote(value: Any) -> str:
    text = str(value)
    return f"'{text}'" if " " in text else text


def _shell_quote(common: Mapping[str, Any]) -> str:
    import shlex

    text = " ".join(f"{key}={str(value).replace(' ', '')}" for key, value in common.items())
    return shlex.quote(text)
