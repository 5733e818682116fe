"""Scores by block: every treatment played under the same other settings, seed for seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganbench.errors import UsageError
from ganbench.stats.cells import check_settings, plain
from ganbench.stats.sample import Sample, label

__all__ = ["Blocks", "blocks_of"]


@dataclass(frozen=True)
class Blocks:
    """`scores` (N, k): block i's run of treatment j, lower better, ∞ where it diverged.

    A treatment is a value of the settings compared. A block is a value of all others in which the
    runs differ, the seed among them: data × network × … × seed. Blocks that lack a treatment are
    left out, and `notes` says so. `runs[i][j]` is that run's row of the sample's frame.
    """

    treatments: tuple[str, ...]
    blocks: tuple[str, ...]
    scores: np.ndarray[Any, Any]
    runs: tuple[tuple[int, ...], ...]
    seeds: int
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.blocks)


def blocks_of(sample: Sample, by: Sequence[str]) -> Blocks:
    """The sample as blocks × treatments.

    Raises `UsageError` if there are fewer than two treatments or two whole blocks, or two runs for
    one place.
    """
    check_settings(by)
    if "seed" in by:
        raise UsageError("--by names 'seed', over which runs are compared: leave it out")
    keys = sample.varying(by)
    places: dict[str, dict[str, int]] = {}
    seeds: dict[str, Any] = {}
    for i, row in enumerate(sample.frame.to_dict("records")):
        block = ", ".join(f"{key}={plain(row[key])}" for key in keys)
        treatment = label(plain(row[key]) for key in by)
        here = places.setdefault(block, {})
        if treatment in here:
            ids = f"{sample.frame['run_id'].iloc[here[treatment]]} and {row['run_id']}"
            raise UsageError(
                f"two runs of '{treatment}' at {block or 'the same settings'}: {ids}. They differ "
                "in what settings do not tell, such as versions; keep one of them in the folder"
            )
        here[treatment] = i
        seeds[block] = row["seed"]
    treatments = sorted({treatment for here in places.values() for treatment in here})
    if len(treatments) < 2:
        raise UsageError(
            f"all runs have {' and '.join(by)} '{treatments[0]}': there is nothing to compare"
        )
    whole = sorted(block for block, here in places.items() if len(here) == len(treatments))
    notes = _what_is_missing(places, whole, treatments)
    if len(whole) < 2:
        varied = ", ".join(keys) or "nothing"
        why = (
            f"only {len(whole)} of {len(places)} blocks hold all {len(treatments)} of "
            f"{', '.join(by)}, and ranks need two. A block is one value of what else varies here: "
            f"{varied}. Add to --by what changes along with it, narrow down with --where, or make "
            "the missing runs"
        )
        raise UsageError(". ".join([why, *notes]))
    runs = tuple(tuple(places[block][t] for t in treatments) for block in whole)
    scores = sample.frame["score"].to_numpy(dtype=float)[np.array(runs)]
    distinct = len({seeds[block] for block in whole})
    return Blocks(tuple(treatments), tuple(whole), scores, runs, distinct, tuple(notes))


def _what_is_missing(
    places: dict[str, dict[str, int]], whole: Sequence[str], treatments: Sequence[str]
) -> list[str]:
    missing = [
        f"{treatment} at {block}"
        for block, here in sorted(places.items())
        for treatment in treatments
        if treatment not in here
    ]
    if not missing:
        return []
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return [
        f"{len(places) - len(whole)} of {len(places)} blocks are left out, for they lack a run: "
        f"{'; '.join(missing[:3])}{more}"
    ]
