"""Memory that a step frees stays with the process, for the next step."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="sets thresholds of glibc, which is not here"
)

# Four tensors of 24 MB are made, written and freed, as a step's are: 96 MB, or 23,437 pages of
# 4 KiB. Where glibc's own thresholds come to rest is chance; here they begin at its first ones.
ROUNDS = """
import ctypes, resource, torch
for threshold in (-1, -3):
    ctypes.CDLL(None).mallopt(threshold, 128 * 1024)
from ganbench.heap import keep_freed_memory
print({before})
def faults():
    made = [torch.empty(6_000_000).fill_(1) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = [faults() for _ in range(6)][-1]
last = [faults() for _ in range(5)][-1]
print((last - first) / 5)
"""


def page_faults_a_round(before: str, **variables: str) -> tuple[str, float]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | variables
    code = ROUNDS.format(before=before)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=600
    )
    said, faults = done.stdout.split()
    return said, float(faults)


def test_freed_memory_is_used_again_without_asking_the_system():
    assert page_faults_a_round("None")[1] > 20_000
    said, faults = page_faults_a_round("keep_freed_memory()")
    assert said == "True"
    assert faults < 2_400  # a tenth: the heap may still grow once


def test_a_users_own_threshold_stays():
    said, faults = page_faults_a_round("keep_freed_memory()", MALLOC_TRIM_THRESHOLD_="131072")
    assert said == "False"
    assert faults > 20_000


GIVEN_BACK = """
import psutil, torch
from ganbench.heap import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
made = [torch.empty(6_000_000).fill_(1) for _ in range(4)]
del made
kept = psutil.Process().memory_info().rss
give_back_freed_memory()
print((kept - psutil.Process().memory_info().rss) / 96e6)
"""


def test_what_is_kept_is_given_back_when_there_are_no_more_steps():
    command = [sys.executable, "-c", GIVEN_BACK]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    assert float(done.stdout) > 0.9


def test_elsewhere_nothing_is_set(monkeypatch):
    from ganbench.heap import keep_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
