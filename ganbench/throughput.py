"""From timed chunks to a run's throughput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganbench.clock import Chunk
from ganbench.record import Throughput

__all__ = ["throughput_of"]


def throughput_of(
    chunks: Sequence[Chunk],
    *,
    images_per_step: float,
    warmup_steps: int,
    gflops_per_step: float,
    matmul_gflops_per_s: float,
    peak_memory_bytes: int,
    timing_valid: bool | None,
) -> Throughput:
    """Medians and percentiles over chunks, of which there is at least one.

    `fraction_of_peak` is the median FLOP/s over the measured rate of a matrix product.
    """
    ms_per_step = np.array([1e3 * chunk.wall_s / chunk.steps for chunk in chunks])
    cpu_ms = np.array([1e3 * chunk.cpu_s / chunk.steps for chunk in chunks])
    images_per_s = images_per_step * 1e3 / ms_per_step
    median_ms = float(np.median(ms_per_step))
    return Throughput(
        images_per_s=float(np.median(images_per_s)),
        images_per_s_p10=float(np.percentile(images_per_s, 10)),
        images_per_s_p90=float(np.percentile(images_per_s, 90)),
        ms_per_step_p50=median_ms,
        ms_per_step_p95=float(np.percentile(ms_per_step, 95)),
        cpu_ms_per_step_p50=float(np.median(cpu_ms)),
        peak_memory_mb=peak_memory_bytes / 1e6,
        gflops_per_step=gflops_per_step,
        matmul_gflops_per_s=matmul_gflops_per_s,
        fraction_of_peak=gflops_per_step / (median_ms / 1e3) / matmul_gflops_per_s,
        warmup_steps=warmup_steps,
        timed_steps=sum(chunk.steps for chunk in chunks),
        timing_valid=timing_valid,
    )
