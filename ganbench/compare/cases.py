"""Which runs belong together: a case is all settings but the seed; its runs pair by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganbench.compare.runs import Run

__all__ = ["Case", "Cases", "cases_of"]


@dataclass(frozen=True)
class Case:
    """One case on both sides: a run for each seed."""

    name: str
    base: Mapping[int, Run]
    head: Mapping[int, Run]

    @property
    def seeds(self) -> list[int]:
        """Those that both sides have."""
        return sorted(self.base.keys() & self.head.keys())


@dataclass(frozen=True)
class Cases:
    """The cases of both sides, and notes about what has no counterpart."""

    both: Sequence[Case]
    notes: Sequence[str]


def cases_of(base: Sequence[Run], head: Sequence[Run]) -> Cases:
    """Match the runs of two sides. If one is a table, cases are told apart by a table's columns."""
    from_table = any(run.case == run.columns for run in (*base, *head))
    sides = [_grouped(side, from_table) for side in (base, head)]
    settings = {
        **{k: s for k, (s, _) in sides[1].items()},
        **{k: s for k, (s, _) in sides[0].items()},
    }
    names = _names(settings)
    notes, both = [], []
    for key, name in names.items():
        groups = [side[key][1] if key in side else [] for side in sides]
        missing = [word for word, group in zip(("base", "head"), groups, strict=True) if not group]
        if missing:
            notes.append(f"{name} is not in {missing[0]}: not compared.")
            continue
        runs = [_by_seed(group) for group in groups]
        case = Case(name, *(latest for latest, _ in runs))
        both.append(case)
        for word, (_, again) in zip(("base", "head"), runs, strict=True):
            if again:
                notes.append(
                    f"{name}: {word} has several runs of seed {_list(again)}; the latest is used."
                )
        for word, mine, other in (("base", case.base, case.head), ("head", case.head, case.base)):
            alone = sorted(mine.keys() - other.keys())
            if alone:
                notes.append(f"{name}: seed {_list(alone)} is in {word} only: not compared.")
    return Cases(both, notes)


def _grouped(
    side: Sequence[Run], by_columns: bool
) -> dict[str, tuple[Mapping[str, Any], list[Run]]]:
    groups: dict[str, tuple[Mapping[str, Any], list[Run]]] = {}
    for run in side:
        settings = run.columns if by_columns else run.case
        key = json.dumps(settings, sort_keys=True, default=str)
        groups.setdefault(key, (settings, []))[1].append(run)
    return groups


def _by_seed(runs: Sequence[Run]) -> tuple[dict[int, Run], list[int]]:
    """The latest run of each seed, and the seeds that have several."""
    latest: dict[int, Run] = {}
    again = set()
    for run in sorted(runs, key=lambda run: run.started_at):
        again |= {run.seed} & latest.keys()
        latest[run.seed] = run
    return latest, sorted(again)


def _names(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A readable name for each case; settings that alone tell two apart are added to it."""
    short = {key: _short(one) for key, one in settings.items()}
    names = {}
    for key, one in settings.items():
        twins = [settings[other] for other in settings if short[other] == short[key]]
        differing = [k for k in one if any(str(twin.get(k)) != str(one[k]) for twin in twins)]
        extra = ",".join(f"{k}={one[k]}" for k in differing)
        names[key] = f"{short[key]}[{extra}]" if extra else short[key]
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _short(settings: Mapping[str, Any]) -> str:
    g, d = settings["generator"], settings["discriminator"]
    opts = (settings["opt_g"], settings["opt_d"])
    words = [
        g if g == d else f"{g}~{d}",
        settings["loss"],
        opts[0] if opts[0] == opts[1] else "~".join(opts),
        *([settings["rule"]] if not str(settings["rule"]).startswith("alternating") else []),
        settings["data"],
    ]
    return "-".join(map(str, words))


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
