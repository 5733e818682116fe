"""The device a run uses: choosing it, setting it up, and what it can do."""

from __future__ import annotations

import functools
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.heap import keep_freed_memory

__all__ = [
    "describe",
    "free_memory_bytes",
    "matmul_gflops_per_s",
    "matmul_gflops_per_s_now",
    "peak_memory_bytes",
    "reset_peak_memory",
    "resolve_device",
    "set_up",
    "synchronize",
]

_DTYPE = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_LOOKS = 2
_looks: dict[tuple[object, ...], list[float]] = {}


def resolve_device(name: str) -> str:
    """`auto` -> cuda, mps or cpu, whichever is here first.

    Raises `UsageError` for a device that is not here.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    available = ["cpu", *(["cuda"] if cuda else []), *(["mps"] if mps else [])]
    kind, _, index = name.partition(":")
    if kind not in available:
        raise UsageError(
            f"device is '{name}', but this machine has no {kind} device that torch can use; "
            f"it has: {', '.join(available)}"
        )
    if index and int(index) >= torch.cuda.device_count():
        raise UsageError(
            f"device is '{name}', but there are {torch.cuda.device_count()} CUDA devices "
            "and the first is cuda:0"
        )
    return name


def set_up(device: torch.device, threads: int | None, precision: str, onednn: bool = False) -> None:
    """Set what a result's bits depend on: threads, precision of products and, with `onednn`, who
    makes them in float32 on a CPU, deterministic kernels; and what a step's time on a CPU does, the
    process's heap."""
    if precision == "tf32" and device.type != "cuda":
        raise IncompatibleParts(f"precision is tf32, which device '{device}' lacks: it needs cuda")
    if onednn and (reason := _why_no_onednn(device, precision)) is not None:
        raise IncompatibleParts(f"onednn makes float32 products on a CPU, {reason}: drop --onednn")
    torch.set_num_threads(threads or usable_cores())
    of_products = "medium" if onednn else "high" if precision == "tf32" else "highest"
    torch.set_float32_matmul_precision(of_products)
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device.type == "cpu":
        keep_freed_memory()


@functools.lru_cache
def _why_no_onednn(device: torch.device, precision: str) -> str | None:
    """Torch leaves products to oneDNN where they may be rounded to bfloat16, which oneDNN does on
    CPUs that have instructions for it. None: on this one it does not."""
    if device.type != "cpu" or precision != "fp32":
        return f"but device is '{device}' and precision {precision}"
    a = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    before = torch.get_float32_matmul_precision()
    as_ever, found = _product(a, "highest"), _product(a, "medium")
    torch.set_float32_matmul_precision(before)
    if torch.equal(as_ever, found):
        return "but here torch makes them itself"
    exact = a.double() @ a.double()
    rounded = (found - exact).norm() > 1e-5 * exact.norm()
    return "but here it would round them to bfloat16" if rounded else None


def _product(a: torch.Tensor, precision: str) -> torch.Tensor:
    torch.set_float32_matmul_precision(precision)
    return a @ a


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given. No work on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new measurement of peak memory, where the system lets a process do so."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_bytes(device: torch.device) -> int:
    """CUDA: the allocator's peak. CPU: the process's peak resident memory, torch included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    try:
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    if os.name != "posix":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)  # type: ignore[attr-defined,unused-ignore]
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory_bytes(device: torch.device) -> int:
    """Memory that could be allocated on the device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    import psutil

    return int(psutil.virtual_memory().available)


def matmul_gflops_per_s(device: torch.device, precision: str, threads: int) -> float:
    """The best rate of a square matrix product seen here, in GFLOP/s, at this precision.

    It is looked for at the first two calls and kept: at one moment other work may be in its way.
    """
    by_whom = torch.get_float32_matmul_precision()
    looks = _looks.setdefault((device, precision, threads, by_whom), [])
    if len(looks) < _LOOKS:
        looks.append(matmul_gflops_per_s_now(device, precision))
    return max(looks)


def matmul_gflops_per_s_now(device: torch.device, precision: str) -> float:
    """The best rate of a square matrix product at this moment, in GFLOP/s."""
    best, size = 0.0, 256
    generator = torch.Generator(device)  # a run's random numbers are not touched
    while size <= 8192:
        a = torch.randn(size, size, device=device, generator=generator).to(_DTYPE[precision])
        a @ a
        tries = [_seconds_of_product(a, device)]
        while len(tries) < 3 or sum(tries) < 0.05:
            tries.append(_seconds_of_product(a, device))
        best = max(best, 2 * size**3 / min(tries) / 1e9)
        if size >= 1024 and min(tries) > 0.005:  # larger ones are no faster, and take time
            break
        size *= 2
    return best


def _seconds_of_product(a: torch.Tensor, device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    a @ a
    synchronize(device)
    return time.perf_counter() - started


def describe(device: torch.device) -> dict[str, Any]:
    """The machine and the software that a timing or a bit depends on."""
    import psutil

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "usable_cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        line = next(line for line in text.splitlines() if line.startswith("model name"))
        return line.partition(":")[2].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
