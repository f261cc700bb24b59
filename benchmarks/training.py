"""Training speed and memory of a preset: images/s of the clock, beside the machine's matrix rate.

    python benchmarks/training.py [--preset hybridq] [--size 64] [--kimg 5] [--data PATH] [--json]

The bar (190 GFLOP/s float32): preset hybridq, 64 px, batch 64: >= 90 images/s, peak memory below
2 GiB. Runs the real loop in a temporary folder; the first thousand images are not counted.
"""

import argparse
import json
import tempfile
from pathlib import Path

from machine import describe, peak_memory_mib

from hqgan.config import load_config
from hqgan.training import Callbacks, train

BAR_RATE, BAR_GEMM, BAR_MIB = 90, 190, 2048


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="hybridq")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--kimg", type=float, default=8)
    parser.add_argument("--data", help="default: HQGAN_DATA, else the embedded lesions")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    overrides = {"data.path": options.data, "size": options.size, "kimg": options.kimg}
    config = load_config(options.preset, overrides=overrides)
    before = describe()
    times: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        watch = Callbacks(
            progress=lambda seen, goal, record: times.append((seen, record["seconds"]))
        )
        result = train(config, Path(folder) / "run", callbacks=watch)
    (first, started), (last, ended) = times[0], times[-1]
    rate = (last - first) / (ended - started)
    after = describe()
    gemm = (before["gemm_float32"] + after["gemm_float32"]) / 2
    report = {
        "preset": options.preset,
        "size": options.size,
        "batch": config.batch,
        "data": config.data.path if config.data.path == "embedded" else Path(config.data.path).name,
        "images_per_second": round(rate, 1),
        "images_per_second_at_190_gflops": round(rate * BAR_GEMM / gemm, 1),
        "peak_memory_mib": round(peak_memory_mib()),
        "generator_parameters": result.generator_parameters,
        "critic_parameters": result.critic_parameters,
        "machine": {**before, "gemm_float32_after": after["gemm_float32"]},
    }
    if options.json:
        print(json.dumps(report))
        return
    print(f"{options.preset}, {options.size} px, batch {config.batch}: {rate:.1f} images/s")
    print(f"bar: {BAR_RATE} images/s at {BAR_GEMM} GFLOP/s float32; this run had {gemm:.0f}")
    print(f"peak memory: {report['peak_memory_mib']} MiB (bar {BAR_MIB})")


if __name__ == "__main__":
    main()
