"""The table of docs/performance.md from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from roster import BARS, CONTENDERS, HARNESS, WORKS, Entry

__all__ = ["render"]

_RESAMPLES = 2000


def render(results: Mapping[str, Any]) -> str:
    """Markdown: a table for each configuration that has rounds, then the bars."""
    machine = results["machine"]
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']};"
        f" {machine['date']}. Each ratio is the median of {_rounds(results)} interleaved pairs of"
        " blocks, with the bootstrap's 95 % interval.",
        "",
    ]
    for work in WORKS:
        found = results["works"].get(f"{work.network}-{work.batch_size}")
        if found and found["rounds"]:
            lines += [f"**{work.network}, batch {work.batch_size}**", "", *_table(found), ""]
    return "\n".join([*lines, *_bars(results)])


def _rounds(results: Mapping[str, Any]) -> str:
    counts = sorted({len(found["rounds"]) for found in results["works"].values()} - {0}) or [0]
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))


def _table(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| | steps/s | CPU ms a step | ganbench fp32 is × as fast | ganbench bf16 is × as fast |"
    yield "|---|---|---|---|---|"
    for entry in (*HARNESS.values(), *CONTENDERS):
        if entry.key in found["absent"]:
            yield f"| {entry.label} | not measured: {found['absent'][entry.key]} | | | |"
            continue
        wall_s, cpu_s = np.median(list(_blocks(found, entry.key)), axis=0)
        cells = [_cell(found, entry, precision) for precision in HARNESS]
        yield f"| {entry.label} | {1 / wall_s:.1f} | {1e3 * cpu_s:.1f} | {' | '.join(cells)} |"


def _blocks(found: Mapping[str, Any], key: str) -> Iterator[list[float]]:
    return (pair[key] for pairs in found["rounds"] for pair in pairs if key in pair)


def _cell(found: Mapping[str, Any], entry: Entry, precision: str) -> str:
    if entry in HARNESS.values() or precision not in entry.against:
        return ""
    ratio, low, high = ratio_of(found, entry.key, precision)
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"


def ratio_of(found: Mapping[str, Any], key: str, precision: str) -> tuple[float, float, float]:
    """The contender's time over the harness's: the median of pairs and its 95 % interval."""
    harness = HARNESS[precision].key
    ratios = np.array(
        [
            pair[key][0] / pair[harness][0]
            for pairs in found["rounds"]
            for pair in pairs
            if key in pair and harness in pair
        ]
    )
    draws = np.random.default_rng(0).choice(ratios, (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def _bars(results: Mapping[str, Any]) -> Iterator[str]:
    """What was aimed at beside what was found; worst configuration of each bar."""
    yield "| ganbench against | aim | worst configuration | ratio |"
    yield "|---|---|---|---|"
    labels = {entry.key: entry.label for entry in CONTENDERS}
    for bar in BARS:
        ratios = [
            (ratio_of(found, bar.contender, bar.precision)[0], name)
            for name, found in results["works"].items()
            if found["rounds"]
            and bar.contender not in found["absent"]
            and name.partition("-")[0] in bar.networks
        ]
        if ratios:
            ratio, name = min(ratios)
            name = name.replace("-", ", batch ")
            met = "" if ratio >= bar.least else " (missed)"
            aim = f"{bar.precision}: {bar.least:.2f} ×"
            yield f"| {labels[bar.contender]} | {aim} | {name} | {ratio:.2f}{met} |"
