"""Speed of the Inception features, and how far bf16 may be trusted.

    HQGAN_INCEPTION=FILE python benchmarks/features.py [--n 128] [--data PATH] [--json]

The bar: fid768 features at >= 10 images/s in float32. bf16 is for curves only, and only if its
distances are within 1 % of float32's: the kernel distance is taken here between two halves of the
images, the second one smeared so that it is not zero.
"""

import argparse
import json
import os
import time

import numpy as np
import torch
from machine import describe

from hqgan.data import load_dataset
from hqgan.evaluation import kid, load_extractor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("HQGAN_DATA", "embedded"))
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    images = load_dataset(options.data, "val", 64).images[: options.n]
    half = len(images) // 2
    smeared = images[half:] // 2 + np.roll(images[half:], 1, axis=1) // 2
    report: dict[str, object] = {"n": len(images)}
    for dtype in (torch.float32, torch.bfloat16):
        extractor = load_extractor(cache=False, dtype=dtype)
        extractor(images[:32])
        started = time.perf_counter()
        real = extractor(images[:half])
        fake = extractor(smeared)
        seconds = time.perf_counter() - started
        name = str(dtype).removeprefix("torch.")
        report[name] = {
            "images_per_second": round((half + len(smeared)) / seconds, 2),
            "kid": kid(real, fake),
        }
        report["extractor"] = extractor.name
    if options.json:
        print(json.dumps({**report, "machine": describe()}))
        return
    machine = describe()
    print(report)
    print(f"at {machine['gemm_float32']:.0f} GFLOP/s float32, {machine['gemm_bf16']:.0f} bf16")


if __name__ == "__main__":
    main()
