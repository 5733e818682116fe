"""Whether a run had its cores to itself: a busy process on its core is seen."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ganbench import load

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
needs_pinning = pytest.mark.skipif(not CORES, reason="processes can't be pinned to cores here")
SPIN = (
    "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nprint(1, flush=True)\nwhile 1: 0"
)
WATCH = """
import os, sys, time
from ganbench.load import OtherLoad
os.sched_setaffinity(0, {int(sys.argv[1])})
load = OtherLoad.begin()
end = time.perf_counter() + 1.5
while time.perf_counter() < end: pass
print(load.cores_taken(), load.is_negligible())
"""


def watch(core: int) -> tuple[float, str]:
    done = subprocess.run([sys.executable, "-c", WATCH, str(core)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken, negligible = done.stdout.split()
    return float(taken), negligible


@needs_pinning
def test_a_busy_process_on_the_same_core_takes_its_half():
    other = subprocess.Popen(
        [sys.executable, "-c", SPIN, str(CORES[0])], stdout=subprocess.PIPE, text=True
    )
    try:
        other.stdout.readline()
        taken, negligible = watch(CORES[0])
    finally:
        other.kill()
        other.communicate()
    # Both spin on one core, so each has half of it; whatever else runs here takes more.
    assert taken > 0.4
    assert negligible == "False"


@needs_pinning
def test_what_others_take_never_exceeds_what_the_process_did_not_use():
    taken, _ = watch(CORES[-1])
    assert 0 <= taken <= 1.05


def test_half_a_second_is_needed_to_tell_anything(monkeypatch):
    now = iter([10.0, 10.49, 10.5])
    clocks = SimpleNamespace(perf_counter=lambda: next(now), process_time=lambda: 0.0)
    monkeypatch.setattr(load, "time", clocks)
    monkeypatch.setattr(load, "_busy_s", lambda cores: 3.0)
    begun = load.OtherLoad.begin()
    assert begun.cores_taken() is None
    assert begun.cores_taken() == 0


def test_what_is_too_short_to_tell_is_neither_negligible_nor_not(monkeypatch):
    monkeypatch.setattr(load, "_SHORTEST_S", math.inf)
    assert load.OtherLoad.begin().is_negligible() is None
