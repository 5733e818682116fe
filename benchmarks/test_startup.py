"""How long the shell takes to answer. Budget: 0.4 s each.

make bench
"""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["plugins", "list"]], ids=" ".join)
def test_startup(benchmark, args):
    command = [sys.executable, "-m", "ganbench", *args]
    benchmark.pedantic(
        subprocess.run,
        args=(command,),
        kwargs={"check": True, "stdout": subprocess.DEVNULL},
        rounds=10,
        warmup_rounds=1,
    )
