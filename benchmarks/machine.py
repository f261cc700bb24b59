"""The machine beside every figure: its matrix rates in the same run, cores, and versions."""

import os
import platform
import time
from typing import Any

import torch

SIZE = 2048
REPEATS = 5


def gemm_rate(dtype: torch.dtype) -> float:
    """GFLOP/s of a square matrix product, the best of a few."""
    a = torch.randn(SIZE, SIZE).to(dtype)
    b = torch.randn(SIZE, SIZE).to(dtype)
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * SIZE**3 / min(seconds[1:]) / 1e9


def describe() -> dict[str, Any]:
    """Cores, threads, versions, and GEMM rates in GFLOP/s."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gemm_float32": round(gemm_rate(torch.float32), 1),
        "gemm_bf16": round(gemm_rate(torch.bfloat16), 1),
    }


def peak_memory_mib() -> float:
    """The most memory this process has held, MiB (Linux, macOS)."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if platform.system() == "Linux" else peak / 2**20
