"""Instructions a step, counted by valgrind's callgrind: a figure that other programs can't move.

The worker is that of the timed evidence, under valgrind, and plays in the server itself. Callgrind
counts nothing until the warm-up is over, which saves time. Then vgdb switches counting on, and

    instructions a step = (count of 4 steps − count of 1 step) / 3

so that what a request costs falls out. A process each for base, for head, and for base again: by
what base's two counts differ, the count is not exact.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganbench.errors import UsageError
from ganbench.gate.report import Row
from ganbench.gate.words import percent
from ganbench.perf.decision import Judged, decide
from ganbench.perf.installations import Installation
from ganbench.perf.intervals import Interval
from ganbench.perf.servers import Server, SideFailed

__all__ = ["INSTRUCTIONS", "Counts", "check_device", "count", "instructions_row", "need_valgrind"]

INSTRUCTIONS = "instructions"
WARMUP_STEPS = 1
FEW, MANY = 1, 4
# Kernels without fused multiply-add, which valgrind does in software: with it, two steps of the
# article's GAN are not done in a minute. Every x86-64 CPU has these.
_VARIABLES = {
    "PYTHONHASHSEED": "0",  # sets of strings are walked in the same order in every process
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
_LIMIT_S = 1800.0  # a step takes some 50 times as long as without valgrind
_CONTROL_LIMIT_S = 300.0
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions a step of a case. `twin` is base in another process."""

    base: float
    head: float
    twin: float


def need_valgrind() -> None:
    """Raise `UsageError` where valgrind, or its vgdb, can't be found."""
    for program in ("valgrind", "vgdb"):
        if shutil.which(program) is None:
            raise UsageError(
                f"--instructions needs valgrind, but there is no {program} on the PATH. Install "
                "it (apt-get install valgrind, dnf install valgrind), or measure without "
                "--instructions"
            )


def check_device(answer: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless a server's answer to `start` says that all is played on the CPU."""
    devices = answer["environment"]["device"]
    if any(not device.startswith("cpu") for device in devices):
        raise UsageError(
            f"--instructions counts what the CPU does, but the device is {', '.join(devices)}: "
            "add --device cpu"
        )


def count(
    base: Installation, head: Installation, specs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Counts], str]:
    """Counts by case, and the CPU capability that torch used.

    One process at a time, of one thread whatever the specs say: threads that wait for each other
    count their waiting. Raises `SideFailed` where valgrind can't run a side.
    """
    found, capability = {}, ""
    for case, settings in specs.items():
        counted = []
        for installation in (base, head, base):
            try:
                steps, capability = _count_one(installation, case, {**settings, "threads": 1})
            except SideFailed as error:
                raise SideFailed(
                    f"instructions can't be counted. Under {_version()}, {error}\n"
                    "Measure without --instructions, or with another valgrind"
                ) from None
            counted.append(steps)
        found[case] = Counts(*counted)
    return found, capability


def instructions_row(case: str, counts: Counts, threshold: float) -> Row:
    """Head against the mean of base's two counts; the interval's bounds are against either.

    That is no confidence interval: a count is nearly exact, and two show how nearly.
    """
    least, most = sorted((counts.base, counts.twin))
    base, own = (least + most) / 2, most / least - 1
    change = Interval(counts.head / base - 1, counts.head / most - 1, counts.head / least - 1)
    differs = percent(own, sign=False) if own >= 1e-5 else "less than 0.001 %"
    again = f"base counted twice differs by {differs}"
    judged = Judged("ok", f"reported, not gated; {again}")
    if threshold < float("inf"):
        judged = decide(change, Interval(0.0, -own, own), threshold)
        judged = Judged(judged.verdict, f"{judged.reason}; {again}")
    figures = (change.estimate, change.low, change.high, threshold)
    values = (base / 1e6, counts.head / 1e6)
    return Row(
        case, INSTRUCTIONS, "million/step", *values, *figures, judged.verdict, judged.reason, 1
    )


def _count_one(
    installation: Installation, case: str, settings: Mapping[str, Any]
) -> tuple[float, str]:
    """Instructions a step in a process of its own, and torch's CPU capability there."""
    with tempfile.TemporaryDirectory(prefix="ganbench-instructions-") as name:
        folder = Path(name)
        prefix = f"--vgdb-prefix={folder / 'vgdb'}"
        command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", prefix]
        command.append(f"--callgrind-out-file={folder / 'counts'}")
        with Server(installation, 1, command, _VARIABLES) as server:
            server.send(do="start", specs={case: settings}, threads=1)
            capability = str(server.answer(_LIMIT_S)["environment"]["cpu_capability"])
            about = {"case": case, "core": None, "warmup": WARMUP_STEPS, "threads": 1}
            server.request(_LIMIT_S, do="fork", stay=True, **about)
            _control(server, prefix, "instrumentation", "on")
            few, many = (_count_steps(server, prefix, folder, steps) for steps in (FEW, MANY))
        if not many > few:
            raise SideFailed(f"{installation.side} counts {few} for {FEW} steps, {many} for {MANY}")
        return (many - few) / (MANY - FEW), capability


def _count_steps(server: Server, prefix: str, folder: Path, steps: int) -> int:
    before = set(folder.glob("counts.*"))
    _control(server, prefix, "zero")
    server.request(_LIMIT_S, do="play", steps=steps)
    _control(server, prefix, "dump")
    counts = [
        int(total)
        for file in set(folder.glob("counts.*")) - before
        for total in _TOTALS.findall(file.read_text(encoding="utf-8", errors="replace"))
    ]
    if not counts:
        raise SideFailed(f"{server.installation.side} left no counts of callgrind")
    return sum(counts)


def _control(server: Server, prefix: str, *command: str) -> str:
    """What callgrind in the server answers to a command, sent by vgdb."""
    try:
        done = subprocess.run(
            ["vgdb", prefix, f"--pid={server.pid}", *command],
            capture_output=True,
            text=True,
            timeout=_CONTROL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        said = f"no answer within {_CONTROL_LIMIT_S:.0f} s"
    else:
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.strip() or f"exit code {done.returncode}"
    raise SideFailed(
        f"{server.installation.side} can't be told to count, for vgdb fails: {said}\n  It needs "
        "ptrace: docker run --cap-add SYS_PTRACE, or sysctl kernel.yama.ptrace_scope=0"
    )


def _version() -> str:
    """`valgrind-3.19.0`."""
    with contextlib.suppress(OSError):
        said = subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout
        return said.strip() or "valgrind"
    return "valgrind"
