"""Noisy circuits: ours, forward and backward, beside Qiskit Aer's density matrix, forward alone.

    python benchmarks/noise.py [--points 8,4,64;6,3,1024] [--repeats 5] [--json]  (extra `quantum`)

A point is qubits, layers, samples of hybridq's circuit (RY, re-uploaded, chain of CZ, Z and X read)
with the noise of FakeMarrakesh. Aer is given all samples at once, no more than 64 of them, and its
time is scaled to the point's. Values must agree.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from machine import describe

from hqgan.quantum import Noisy, layered
from hqgan.quantum.aer import AerRun
from hqgan.quantum.devices import DeviceNoise

DEVICE = "marrakesh"
BAR_SECONDS = 1.0  # asked for at 8 qubits, 4 layers, 64 samples, on 2 cores
ATOL = 1e-4
MOST_AER = 64


def measure(point: str, repeats: int) -> dict[str, float | str]:
    """One point: medians, after a first call each, by turns."""
    qubits, layers, samples = map(int, point.split(","))
    circuit = layered(qubits, layers, reupload=True, readout="z+x")
    ours, aer = Noisy(DeviceNoise(DEVICE)), AerRun(DEVICE)
    inputs = torch.randn(1, samples, circuit.inputs, requires_grad=True)
    weights = torch.randn(1, circuit.weights, requires_grad=True)
    few = inputs.detach()[:, :MOST_AER]
    found = aer(circuit, few.double(), weights.detach().double())
    difference = (ours(circuit, few, weights) - found).abs().max().item()
    if difference > ATOL:
        sys.exit(f"{point}: Aer's values differ by {difference:.1e}")
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        ours(circuit, inputs, weights).sum().backward()
        mine.append(time.perf_counter() - started)
        started = time.perf_counter()
        aer(circuit, few.double(), weights.detach().double())
        theirs.append((time.perf_counter() - started) * samples / few.shape[1])
    seconds, peer = statistics.median(mine), statistics.median(theirs)
    return {
        "point": point,
        "ours_seconds": seconds,
        "aer_forward_seconds": peer,
        "ratio": peer / seconds,
        "largest_difference": difference,
    }


def main() -> None:
    """Print or emit every point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", default="8,4,64;6,3,1024")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    machine = describe()
    points = [measure(point, options.repeats) for point in options.points.split(";")]
    if options.json:
        print(json.dumps({"machine": machine, "bar_seconds": BAR_SECONDS, "points": points}))
        return
    print(f"GEMM {machine['gemm_float32']} GFLOP/s float32, torch {machine['torch']}")
    for one in points:
        print(
            f"{one['point']:>12}: ours {one['ours_seconds']:.2f} s forward and backward, Aer "
            f"{one['aer_forward_seconds']:.1f} s forward, ratio {one['ratio']:.0f}, "
            f"difference {one['largest_difference']:.0e}"
        )
    print(f"bar: 8,4,64 in {BAR_SECONDS} s")


if __name__ == "__main__":
    main()
