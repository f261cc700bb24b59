"""A differentiable batch of circuits, forward and backward: ours and the peers', interleaved.

    python benchmarks/vqc.py [--points "4,2,64;8,4,64,reup;patch"] [--peers NAME ...] [--json]

A point is "qubits,layers,batch": RY and RZ of an input on each qubit, then in each layer a Rot with
weights on each qubit and a ring of CNOT; all <Z> are read. `reup` encodes again before each layer,
`ry` is RY alone, as encoding and as rotation, with a chain of CZ. "patch" is 16 circuits of 7
qubits and 6 layers, batch 64, probabilities of 5 qubits.

All contenders of a point get the same angles, must agree with our plain path in float64, and run by
turns in one process, so that a busy machine slows all of them. A turn is a burst of runs of which
the first is not counted, for it meets caches full of the other contenders' data. Compilation is not
counted either. Peers that are not installed are named and left out (`pip install 'hqgan[bench]'`).
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from machine import describe
from vqc_peers import MOST_QUBITS, PEERS, Workload

from hqgan.quantum import Operation, Probabilities, QuantumLayer, layered

DEFAULT_POINTS = "4,2,64;8,4,64;8,4,64,reup;8,4,64,ry;8,4,256;10,6,64;patch"
ATOL = 1e-4  # of gradients that are sums over a batch, in float32
BURST = 0.03  # seconds of a turn
PLAIN_QUBITS = 16  # beyond, our own plain path keeps more states than fit
AT_LEAST = 3  # runs of a contender too slow for its share of the time
PACKAGES = (
    "torch",
    "numba",
    "pennylane",
    "pennylane_lightning",
    "jax",
    "tensorcircuit-ng",
    "pyqtorch",
    "deepquantum",
)

Run = Callable[[], tuple[Any, Any]]


def read_point(text: str) -> Workload:
    """A workload from what `--points` says."""
    if text == "patch":
        return Workload(7, 6, 64, circuits=16, kept=5)
    qubits, layers, batch, *words = text.split(",")
    if set(words) - {"reup", "ry"}:
        raise SystemExit(f"unknown point {text!r}: write qubits,layers,batch[,reup][,ry] or patch")
    return Workload(
        int(qubits), int(layers), int(batch), reupload="reup" in words, real="ry" in words
    )


def ours(
    method: str, dtype: torch.dtype, general: bool = False
) -> Callable[[Workload, Any, Any, Any], Run]:
    """Our layer, differentiated by `method`, as a contender.

    `general` adds rotations about X by 0, so that real gates are treated as general ones.
    """

    def build(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
        circuit = layered(
            work.qubits,
            work.layers,
            encoding="ry" if work.real else "ry+rz",
            rotation="ry" if work.real else "rot",
            entangler="cz_chain" if work.real else "cnot_ring",
            reupload=work.reupload,
        )
        if work.kept:
            circuit = replace(circuit, readout=Probabilities(tuple(range(work.kept))))
        if general:
            pairs = (
                (gate, Operation("rx", gate.wires, 0.0)) if gate.gate == "ry" else (gate,)
                for gate in circuit.operations
            )
            circuit = replace(circuit, operations=tuple(itertools.chain.from_iterable(pairs)))
        layer = QuantumLayer(circuit, circuits=work.circuits, diff_method=method, dtype=dtype)
        layer.weight.data = torch.tensor(weights.reshape(work.circuits, -1), dtype=dtype)
        angles = torch.tensor(inputs, dtype=dtype, requires_grad=True)
        towards = torch.tensor(direction, dtype=dtype)

        def run() -> tuple[Any, Any]:
            values = layer(angles)
            return torch.autograd.grad(values, (angles, layer.weight), towards.expand_as(values))

        return run

    return build


@dataclass
class Contender:
    """A ready run, and the seconds of each repetition."""

    name: str
    run: Run
    seconds: list[float]

    def turn(self) -> None:
        """Run for about `BURST` seconds, but count a first run that alone takes longer."""
        ends = time.perf_counter() + BURST
        first = self._timed()
        if first > BURST:
            self.seconds.append(first)
        while time.perf_counter() < ends:
            self.seconds.append(self._timed())

    def _timed(self) -> float:
        started = time.perf_counter()
        self.run()
        return time.perf_counter() - started

    @property
    def milliseconds(self) -> float:
        return 1e3 * statistics.median(self.seconds)


def check(name: str, found: tuple[Any, Any], exact: tuple[Any, Any]) -> None:
    """Stop if a contender's gradients are not ours in float64."""
    for mine, theirs in zip(found, exact, strict=True):
        mine, theirs = (np.asarray(part, np.float64).ravel() for part in (mine, theirs))
        worst = np.abs(mine - theirs).max()
        if not worst <= ATOL * max(1.0, np.abs(theirs).max()):
            raise SystemExit(f"{name} is wrong: its gradients differ by {worst:.2g}")


def measure(point: str, peers: list[str], seconds: float) -> dict[str, Any]:
    """Interleave all contenders at one point."""
    work = read_point(point)
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-np.pi, np.pi, (work.batch, work.qubits)).astype(np.float32)
    gates = 1 if work.real else 3
    shape = (work.circuits, work.layers, work.qubits, gates)
    weights = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    direction = np.linspace(-1, 2, 2**work.kept if work.kept else work.qubits, dtype=np.float32)

    exact = ours("adjoint", torch.float64)(work, inputs, weights, direction)()
    contenders = []
    builders = {"ours": ours("fused", torch.float32)}
    if work.real:
        builders["ours, general"] = ours("fused", torch.float32, general=True)
    if work.qubits <= PLAIN_QUBITS:
        builders["plain"] = ours("backprop", torch.float32)
    builders |= {name: PEERS[name] for name in peers}
    for name, build in builders.items():
        if work.qubits > MOST_QUBITS.get(name, 20):
            print(f"{point}: {name} is left out, it does not compile in time", file=sys.stderr)
            continue
        try:
            run = build(work, inputs, weights, direction)
        except (ImportError, NotImplementedError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        print(f"{point}: preparing {name}", file=sys.stderr)
        check(name, run(), exact)
        contenders.append(Contender(name, run, []))

    ends = time.perf_counter() + seconds
    slow: set[str] = set()
    while time.perf_counter() < ends:
        for contender in contenders:
            if contender.name not in slow:
                contender.turn()
                if contender.seconds[-1] > seconds / 20 and len(contender.seconds) >= AT_LEAST:
                    slow.add(contender.name)
    mine, *others = contenders
    others = [other for other in others if other.name in PEERS]
    best = min(others, key=lambda other: other.milliseconds, default=None)
    return {
        "point": point,
        "ours_ms": round(mine.milliseconds, 4),
        "best_peer": best and best.name,
        "best_peer_ms": best and round(best.milliseconds, 4),
        "ratio_to_best_peer": best and round(best.milliseconds / mine.milliseconds, 2),
        "gflops": None if work.real else round(general_gflop(work) / (mine.milliseconds / 1e3), 1),
        "all": {
            c.name: {"median_ms": c.milliseconds, "min_ms": 1e3 * min(c.seconds)}
            for c in contenders
        },
    }


def general_gflop(work: Workload) -> float:
    """Arithmetic of an adjoint pass with general gates, 10^9 flops: what ours would be at most.

    For each pair of amplitudes, qubit and layer after the first: 28 flops to turn the state, twice
    as many to turn state and co-state back, 32 for the gradient.
    """
    pairs = 2 ** (work.qubits - 1) * work.qubits * (work.layers - 1)
    return 116 * pairs * work.batch * work.circuits / 1e9


def as_row(point: dict[str, Any], header: bool) -> str:
    """A line of a table in Markdown: median milliseconds of all, and the ratio."""
    names = ["ours", "plain", *PEERS]
    cells = [f"{point['all'][n]['median_ms']:.4g}" if n in point["all"] else "-" for n in names]
    ratio = point["ratio_to_best_peer"]
    line = [point["point"], *cells, f"{ratio:.1f} ({point['best_peer']})" if ratio else "-"]
    line.append(f"{point['gflops']:.0f}" if point["gflops"] else "-")
    rows = [f"| {' | '.join(line)} |"]
    if header:
        titles = ["point", *names, "best peer / ours", "GFLOP/s*"]
        rows = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles), *rows]
    return "\n".join(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", default=DEFAULT_POINTS)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--seconds", type=float, default=4.0, help="for each point")
    parser.add_argument("--threads", type=int, help="of torch and of the kernel")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="a table for RESULTS.md")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    points = []
    for text in options.points.split(";"):
        point = measure(text.strip(), options.peers, options.seconds)
        points.append(point)
        if options.markdown:
            print(as_row(point, header=len(points) == 1), flush=True)
        elif not options.json:
            print(f"{point['point']}: ratio to the best peer {point['ratio_to_best_peer']}")
            for name, times in point["all"].items():
                print(f"    {name:24} {times['median_ms']:10.3f} ms, least {times['min_ms']:.3f}")
    machine = {**describe(), **versions}
    print(json.dumps({"points": points, "machine": machine}) if options.json else machine)


if __name__ == "__main__":
    main()
