"""The main job as a user starts it, evaluation included. Budget on 2 CPU cores: 60 s, 1.5 GB.

The second round of a machine finds the real side's features in the cache; round one makes them.
"""

from __future__ import annotations

import resource
import subprocess
import sys

COMMAND = [sys.executable, "-m", "ganbench", "run", "--loss", "nonsat", "--opt", "sgd"]


def test_default_run(benchmark, tmp_path):
    folders = iter(range(10))

    def run() -> None:
        out = tmp_path / str(next(folders))
        subprocess.run([*COMMAND, "--quiet", "--out", str(out)], check=True)

    benchmark.pedantic(run, rounds=2)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    benchmark.extra_info["peak_rss_mb"] = round(peak / 1e6)
    print(f"\npeak resident memory {peak / 1e6:.0f} MB")
