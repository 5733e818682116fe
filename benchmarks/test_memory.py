"""Peak resident memory of a run against that of the tuned plain loop, each in its own process.

Budget: at most 1.1 times. The run is `ganbench run` without metrics; the loop imports torch and
the same networks and data, and nothing else of what a run needs.

    make bench
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STEPS = 200  # from where on steps are played from a tape, where that helps
PLAIN = """
import sys, torch
sys.path.insert(0, {folder!r})
from plain_loop import PlainLoop
from ganbench.plan import make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
plan = make_plan(RunSpec(generator={network!r}, discriminator={network!r}, device="cpu",
                         precision={precision!r}), default_registry())
PlainLoop(plan, plan.data.create(None)).play({steps})
"""


# A process of its own between: a child's peak begins at that of the process it was forked from.
WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_mb(command: list[str]) -> float:
    """Peak resident memory of a process, in MB."""
    watch = [sys.executable, "-c", WATCH, *command]
    answer = subprocess.run(watch, check=True, capture_output=True, text=True)
    return int(answer.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_peak_memory(benchmark, tmp_path, network, precision):
    folder = str(Path(__file__).parent)
    plain = PLAIN.format(folder=folder, network=network, precision=precision, steps=STEPS)
    run = [sys.executable, "-m", "ganbench", "run", "--generator", network, "--quiet"]
    run += ["--discriminator", network, "--precision", precision, "--steps", str(STEPS)]
    run += ["--metrics", "none", "--device", "cpu"]
    plain_mb, harness_mb, outs = [], [], iter(range(10))

    def pair() -> None:
        plain_mb.append(peak_mb([sys.executable, "-c", plain]))
        harness_mb.append(peak_mb([*run, "--out", str(tmp_path / str(next(outs)))]))

    benchmark.pedantic(pair, rounds=3)
    ratio = sorted(h / p for h, p in zip(harness_mb, plain_mb, strict=True))[1]
    benchmark.extra_info["peak_memory_over_plain"] = round(ratio, 3)
    print(
        f"\n{network} {precision}: {max(harness_mb):.0f} MB, plain loop {max(plain_mb):.0f} MB, "
        f"ratio {ratio:.2f}"
    )
