"""Time to the first batch: decode a data set, and read it from the cache the second time.

    python benchmarks/loading.py --data PATH [--size 64] [--json]

The bar: 6,000 JPEGs of 128 px in < 10 s; the second start reads the cache.
"""

import argparse
import json
import os
import tempfile
import time

from machine import describe

from hqgan.data import load_dataset


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("HQGAN_DATA"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.data:
        parser.error("name the images with --data or HQGAN_DATA")
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            started = time.perf_counter()
            dataset = load_dataset(options.data, "train", options.size, cache_dir=cache)
            seconds.append(time.perf_counter() - started)
    report = {
        "images": len(dataset),
        "size": options.size,
        "first_s": seconds[0],
        "cached_s": seconds[1],
    }
    if options.json:
        print(json.dumps({**report, "machine": describe()}))
        return
    print(f"{len(dataset):,} images to {options.size} px: {seconds[0]:.2f} s (bar 10 s)")
    print(f"again, from the cache: {seconds[1]:.2f} s")


if __name__ == "__main__":
    main()
