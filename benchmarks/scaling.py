"""How the cost of circuits grows with qubits and with the batch, as numbers and as a picture.

    python benchmarks/scaling.py [--out benchmarks/scaling.png] [--json]

Forward and backward of Rot and ring layers (as in `vqc.py`), complex64: 4 to 20 qubits at batch 16,
and batches of 1 to 1024 at 8 qubits. Cost should grow as the arithmetic does: the lower curves,
time for each amplitude, qubit, layer and sample, should be flat where overheads do not matter.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe

from hqgan.quantum import QuantumLayer, layered

LAYERS, BATCH, QUBITS = 4, 16, 8
SECONDS, AT_LEAST = 0.7, 3  # spent on each point, and runs of a point at least
PLAIN_QUBITS = 14


def measure(qubits: int, batch: int, method: str) -> float:
    """Median seconds of forward and backward."""
    circuit = layered(qubits, LAYERS, encoding="ry+rz", rotation="rot", entangler="cnot_ring")
    layer = QuantumLayer(circuit, diff_method=method)
    angles = torch.rand(batch, qubits, requires_grad=True)
    direction = torch.ones(batch, qubits)

    def run() -> float:
        started = time.perf_counter()
        torch.autograd.grad(layer(angles), (angles, layer.weight), direction)
        return time.perf_counter() - started

    run()
    ends, times = time.perf_counter() + SECONDS, []
    while time.perf_counter() < ends or len(times) < AT_LEAST:
        times.append(run())
    return statistics.median(times)


def rows() -> list[dict[str, Any]]:
    """All points, by the kernel and by the plain path."""
    points = [(qubits, BATCH) for qubits in range(4, 21)]
    points += [(QUBITS, 2**k) for k in range(11) if 2**k != BATCH]
    found = []
    for qubits, batch in points:
        for method in ("fused", "backprop"):
            if method == "fused" or qubits <= PLAIN_QUBITS:
                seconds = measure(qubits, batch, method)
                work = 2**qubits * qubits * LAYERS * batch
                point = {"qubits": qubits, "batch": batch, "method": method}
                found.append(point | {"ms": 1e3 * seconds, "ns_per_unit": 1e9 * seconds / work})
    return found


def draw(found: list[dict[str, Any]], out: Path) -> None:
    """Two columns: over qubits, over the batch. Above milliseconds, below time by work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9, 6), sharex="col", sharey="row")
    columns = {
        "qubits": [row for row in found if row["batch"] == BATCH],
        "batch": [row for row in found if row["qubits"] == QUBITS],
    }
    names = {"fused": "kernel", "backprop": "plain torch"}
    for column, (key, points) in enumerate(columns.items()):
        for method, name in names.items():
            line = sorted((row for row in points if row["method"] == method), key=lambda r: r[key])
            for row, value in enumerate(("ms", "ns_per_unit")):
                axis = axes[row, column]
                axis.plot([p[key] for p in line], [p[value] for p in line], marker="o", label=name)
                axis.set_yscale("log")
        axes[1, column].set_xlabel(key)
        if key == "batch":
            axes[1, column].set_xscale("log", base=2)
    axes[0, 0].set_title(f"{LAYERS} layers, batch {BATCH}")
    axes[0, 1].set_title(f"{LAYERS} layers, {QUBITS} qubits")
    axes[0, 0].set_ylabel("forward + backward, ms")
    axes[1, 0].set_ylabel("ns per amplitude, qubit,\nlayer and sample")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a PNG; needs matplotlib")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = rows()
    if options.out:
        draw(found, options.out)
    if options.json:
        print(json.dumps({"points": found, "machine": describe()}))
        return
    for row in found:
        where = f"{row['qubits']:2} qubits, batch {row['batch']:4}, {row['method']:8}"
        print(f"{where} {row['ms']:10.3f} ms, {row['ns_per_unit']:.3f} ns a unit")
    print(describe())


if __name__ == "__main__":
    main()
