"""Does another allocator than the C library's make steps faster? Runs with it, and without.

Both are `ganbench run` with default settings but for `--tape off`, each in its own process, one of
them with the allocator preloaded, in turn (ABBA…); the figure is the median over pairs of images a
second with it over without. Both must end with the same weights, bit for bit. An allocator that
is not installed is skipped: on Debian they are in libtcmalloc-minimal4 and libjemalloc2.

    make bench
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAIRS = 5
STEPS = {"mlp": 500, "dcgan": 80}


def record_of(command: list[str], out: Path, preload: str) -> dict[str, Any]:
    """What a run with these libraries preloaded wrote down."""
    environment = {**os.environ, "LD_PRELOAD": preload}
    subprocess.run([*command, "--out", str(out)], check=True, env=environment)
    (record,) = out.glob("**/record.json")
    read: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return read


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="preloads as Linux does")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", ["mlp", "dcgan"])
@pytest.mark.parametrize("allocator", ["tcmalloc_minimal", "jemalloc"])
def test_allocator(benchmark, tmp_path, allocator, network, precision):
    library = find_library(allocator)
    if library is None:
        pytest.skip(f"lib{allocator} is not installed here")
    run = [sys.executable, "-m", "ganbench", "run", "--generator", network, "--quiet"]
    run += ["--discriminator", network, "--precision", precision, "--steps", str(STEPS[network])]
    run += ["--metrics", "none", "--device", "cpu", "--tape", "off"]  # a tape allocates nothing
    ratios: list[float] = []

    def pair() -> None:
        i = len(ratios)
        found = {}
        for preload in ["", library] if i % 2 else [library, ""]:
            found[preload] = record_of(run, tmp_path / f"{i}{preload}", preload)
        assert found[library]["weights_sha256"] == found[""]["weights_sha256"]
        speeds = {key: one["throughput"]["images_per_s"] for key, one in found.items()}
        ratios.append(speeds[library] / speeds[""])

    benchmark.pedantic(pair, rounds=PAIRS)
    low, ratio, high = np.percentile(ratios, [25, 50, 75])
    benchmark.extra_info["images_per_s_over_malloc"] = round(float(ratio), 3)
    print(
        f"\n{network} {precision}, {allocator}: {ratio:.3f} x as many images a second "
        f"(quartiles {low:.3f} to {high:.3f}), the same weights"
    )
