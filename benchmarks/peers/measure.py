"""Blocks of steps of all contenders in turn: a machine that slows down slows all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cores import APART, handover_ratio
from process import Process, Unavailable
from roster import CONTENDERS, HARNESS, Entry
from work import Work

__all__ = ["Measurement", "measure"]

# One configuration: what each contender does, why some are absent, rates, and rounds of blocks.
Measurement = dict[str, Any]


def measure(
    work: Work,
    processes: Mapping[str, Process],
    absent: Mapping[str, str],
    *,
    block_s: float,
    pairs: int,
    found: Measurement,
) -> None:
    """Add a round of `processes`, which nothing was asked yet, to `found`: blocks of each contender
    and of the harness in turn, `pairs` times, and once more where the machine's cores shared no
    cache meanwhile."""
    present: dict[str, Process] = {}
    found["absent"] = dict(absent)
    found.setdefault("rounds", [])
    proofs: dict[str, Any] = {}
    for key, process in processes.items():
        try:
            answer = process.ask("set_up", network=work.network, batch_size=work.batch_size)
        except Unavailable as error:
            found["absent"][key] = str(error)
            continue
        present[key], proofs[key] = process, answer["work"]
        found["torch"], found["threads"] = answer["torch"], answer["threads"]
    check_same_work(work, proofs)
    found["work"] = proofs
    rates = found.setdefault("matmul_gflops_per_s", {})
    for precision in ("fp32", "bf16"):
        rate = present[HARNESS[precision].key].ask("matmul")["gflops_per_s"]
        rates.setdefault(precision, []).append(rate)
    steps = {key: _steps_of(process, block_s) for key, process in present.items()}
    found["steps_per_block"] = steps
    first = len(found["rounds"])
    measured: list[dict[str, Any]] = []
    found["rounds"].append(measured)
    for i in range(first, first + pairs):
        for pair in _pairs(present, backwards=i % 2 == 1):
            measured.append(_pair(pair, present, steps))
            if measured[-1]["handover"] >= APART:
                measured.append(_pair(pair, present, steps))


def _pairs(present: Mapping[str, Process], *, backwards: bool) -> Iterator[tuple[Entry, ...]]:
    """A contender and the harness in the ways it is compared with, one after the other."""
    order = [entry for entry in CONTENDERS if entry.key in present]
    for entry in reversed(order) if backwards else order:
        pair = (entry, *(HARNESS[way] for way in entry.against))
        yield pair[::-1] if backwards else pair


def _pair(
    pair: tuple[Entry, ...], present: Mapping[str, Process], steps: Mapping[str, int]
) -> dict[str, Any]:
    """Seconds a step, wall and CPU, of each of the pair, and the cores' largest handover ratio."""
    blocks: dict[str, Any] = {}
    handovers = [handover_ratio()]
    for entry in pair:
        block = present[entry.key].ask("play", steps=steps[entry.key])
        a_step = [block["wall_s"] / block["steps"], block["cpu_s"] / block["steps"]]
        blocks[entry.key] = [round(seconds, 7) for seconds in a_step]
        handovers.append(handover_ratio())
    return {**blocks, "handover": round(max(handovers), 2)}


def _steps_of(process: Process, block_s: float) -> int:
    """How many steps fill a block; two that are thrown away warm up."""
    process.ask("play", steps=2)
    block = process.ask("play", steps=4)
    return max(3, math.ceil(block_s / (block["wall_s"] / block["steps"])))


def check_same_work(work: Work, proofs: Mapping[str, Mapping[str, Any]]) -> None:
    """All have networks of one size, make one update of each player a step, show D as many
    examples, and descend the same losses; how many operations that takes is their own affair.
    Raises AssertionError."""
    expected = dict(next(proof for key, proof in proofs.items() if key == HARNESS["fp32"].key))
    assert expected["d_updates_per_g_update"] == 1, expected
    # A step shows D the real batch, as many fakes, and in G's turn as many fakes again.
    assert expected["d_examples_per_step"] == 3 * work.batch_size, expected
    assert expected["g_examples_per_step"] == 2 * work.batch_size, expected
    for key, proof in proofs.items():
        for name in expected.keys() - {"shares_fakes", "gflops_per_step", "d_loss", "g_loss"}:
            assert proof[name] == expected[name], f"{key}: {name} is {proof[name]}: {expected}"
        for name in ("d_loss", "g_loss"):  # mimicry adds 1e-8 inside a logarithm
            assert abs(proof[name] - expected[name]) < 1e-4, f"{key}: {name} is {proof[name]}"


def logs_folder() -> Path:
    return Path(__file__).parent / ".environments" / "logs"
