"""The table of docs/performance.md from what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from cores import APART
from roster import BARS, CONTENDERS, HARNESS, WORKS, Bar, Entry

__all__ = ["render"]

_RESAMPLES = 2000


def render(results: Mapping[str, Any]) -> str:
    """Markdown: a table for each configuration that has rounds, then the bars."""
    machine = results["machine"]
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']};"
        f" {machine['date']}. Each ratio is the median of {_rounds(results)} rounds, with the"
        " bootstrap's 95 % interval; each round has processes of its own and is the median of its"
        " interleaved pairs of blocks during which the machine's cores shared a cache, where it has"
        " such times.",
        "",
    ]
    for work in WORKS:
        found = results["works"].get(f"{work.network}-{work.batch_size}")
        if found and found["rounds"]:
            rates = {p: np.median(all_) for p, all_ in found["matmul_gflops_per_s"].items()}
            products = ", ".join(f"{rate:.0f} GFLOP/s in {p}" for p, rate in rates.items())
            pairs = [pair for pairs in found["rounds"] for pair in pairs]
            shared = sum(not _apart(pair) for pair in pairs)
            lines += [
                f"**{work.network}, batch {work.batch_size}** (a bare product: {products};"
                f" cores shared a cache in {shared} of {len(pairs)} pairs)"
            ]
            lines += ["", *_table(found), ""]
    return "\n".join([*lines, *_bars(results)])


def _rounds(results: Mapping[str, Any]) -> str:
    counts = sorted({len(found["rounds"]) for found in results["works"].values()} - {0}) or [0]
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))


def _table(found: Mapping[str, Any]) -> Iterator[str]:
    ratios = " | ".join(f"{way}: ×" for way in HARNESS)
    yield f"| | steps/s | CPU ms a step | GFLOP a step | GFLOP/s | {ratios} |"
    yield "|---|---|---|---|---|" + "---|" * len(HARNESS)
    for entry in (*HARNESS.values(), *CONTENDERS):
        if entry.key in found["absent"]:
            reason = found["absent"][entry.key]
            yield f"| {entry.label} | not measured: {reason} | | | |{' |' * len(HARNESS)}"
            continue
        blocks = list(_blocks(found, entry.key))
        if not blocks:  # nothing that was measured is compared with it
            continue
        wall_s, cpu_s = np.median(blocks, axis=0)
        gflops = found["work"][entry.key]["gflops_per_step"]
        cells = [f"{1 / wall_s:.1f}", f"{1e3 * cpu_s:.1f}", f"{gflops:.2f}"]
        cells += [f"{gflops / wall_s:.0f}", *(_cell(found, entry, way) for way in HARNESS)]
        yield f"| {entry.label} | {' | '.join(cells)} |"


def _blocks(found: Mapping[str, Any], key: str) -> Iterator[list[float]]:
    return (pair[key] for pairs in _rounds_of(found) for pair in pairs if key in pair)


def _apart(pair: Mapping[str, Any]) -> bool:
    return bool(pair["handover"] >= APART)


def _rounds_of(found: Mapping[str, Any], *, apart: bool = False) -> list[list[Mapping[str, Any]]]:
    """Of each round the pairs during which the cores shared a cache, or all if there are none such;
    or those during which they did not."""
    rounds = [[pair for pair in pairs if _apart(pair) == apart] for pairs in found["rounds"]]
    return rounds if apart or any(rounds) else found["rounds"]


def _cell(found: Mapping[str, Any], entry: Entry, way: str) -> str:
    if entry in HARNESS.values() or way not in entry.against:
        return ""
    ratio, low, high = ratio_of(_rounds_of(found), entry.key, way)
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"


def ratio_of(
    rounds: Sequence[Sequence[Mapping[str, Any]]], key: str, way: str
) -> tuple[float, float, float]:
    """The contender's time over the harness's: the median of rounds and its 95 % interval. Pairs of
    one round share their processes, so that a round counts once, with the median of its pairs. NaN
    where none has them."""
    harness = HARNESS[way].key
    found = [
        [pair[key][0] / pair[harness][0] for pair in pairs if key in pair and harness in pair]
        for pairs in rounds
    ]
    ratios = np.array([np.median(pairs) for pairs in found if pairs])
    if not len(ratios):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(0).choice(ratios, (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def _bars(results: Mapping[str, Any]) -> Iterator[str]:
    """What was aimed at beside what was found, in each network's worst configuration."""
    ways = "by default | with fast settings"
    yield f"| ganbench against | aim | {ways} | no cache shared, {ways} |"
    yield "|---|---|---|---|---|---|"
    labels = {entry.key: entry.label for entry in CONTENDERS}
    for bar, network in [(one, network) for one in BARS for network in one.networks]:
        ways = (bar.precision, f"{bar.precision} fast")
        worst = [
            _worst(results, bar, network, way, apart) for apart in (False, True) for way in ways
        ]
        if worst[0]:
            aim = f"{network}, {bar.precision}: {bar.least:.2f} ×"
            yield f"| {labels[bar.contender]} | {aim} | {' | '.join(worst)} |"


def _worst(results: Mapping[str, Any], bar: Bar, network: str, way: str, apart: bool) -> str:
    entry = next(entry for entry in CONTENDERS if entry.key == bar.contender)
    ratios = [
        (ratio_of(_rounds_of(found, apart=apart), bar.contender, way)[0], name)
        for name, found in results["works"].items()
        if found["rounds"]
        and way in entry.against
        and bar.contender not in found["absent"]
        and name.partition("-")[0] == network
    ]
    ratios = [(ratio, name) for ratio, name in ratios if not math.isnan(ratio)]
    if not ratios:
        return ""
    ratio, name = min(ratios)
    missed = ratio < bar.least
    digits = 3 if missed and round(ratio, 2) >= bar.least else 2
    return f"{ratio:.{digits}f} ({name.replace('-', ' ')}{', missed' if missed else ''})"
