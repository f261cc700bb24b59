"""The circuits of a generator as files, and how rows and columns of the arrays belong to them."""

from pathlib import Path
from typing import Any

from hqgan.models import Generator
from hqgan.models.hybridq import SITES, HybridQGenerator
from hqgan.quantum import Expectations
from hqgan.quantum.circuit import describe_readout
from hqgan.quantum.interop import to_json, to_openqasm3, word_to_qiskit
from hqgan.workflows.exporting.split import Cut

FOLDER = "circuits"


def write_circuits(generator: Generator, cut: Cut, folder: Path) -> dict[str, Any]:
    """Write FOLDER/<number>.json and .qasm for each set of learned angles; what the manifest says.

    In OpenQASM the learned angles are numbers with all their digits, the inputs are parameters
    `x_0`, `x_1`, ...; JSON has circuit and learned angles apart.
    """
    circuit, weights = cut.layer.circuit, cut.layer.weight.detach()
    (folder / FOLDER).mkdir()
    files = []
    width = len(str(len(weights) - 1))
    for number, row in enumerate(weights):
        stem = f"{FOLDER}/{number:0{width}d}"
        (folder / f"{stem}.json").write_text(to_json(circuit, row) + "\n", encoding="utf-8")
        (folder / f"{stem}.qasm").write_text(to_openqasm3(circuit, row), encoding="utf-8")
        files.append({"json": f"{stem}.json", "openqasm": f"{stem}.qasm"})
    said: dict[str, Any] = {
        "files": files,
        "qubits": circuit.qubits,
        "two_qubit_gates": circuit.two_qubit_gates,
        "depth": circuit.depth,
        "runs_per_image": cut.rows * len(weights),
        "angles": {
            "shape": ["batch", cut.rows, len(weights), circuit.inputs],
            "unit": "radians",
            "order": "angles[b, r, c] are the inputs x_0, x_1, ... of run r of the circuit "
            "files[c], for image b",
        },
        "values": {
            "shape": ["batch", cut.rows, len(weights), circuit.outputs],
            "reads": describe_readout(circuit.readout),
            "order": "values[b, r, c] are what that run reads, in this order",
        },
    }
    readout = circuit.readout
    if isinstance(readout, Expectations):
        said["values"] |= {
            "observables": list(readout.observables),
            "observables_in_qiskit": [word_to_qiskit(word) for word in readout.observables],
        }
    else:
        said["values"] |= {"probabilities_of": list(readout.wires)}
        said["values"] |= {"given_found_in_0": list(readout.ancillas)}
    if isinstance(generator, HybridQGenerator):
        said["sites"] = {
            "order": "sites[r][c] are row and column of that run's site on the map of "
            f"{SITES} x {SITES}",
            "sites": sites(cut.rows, len(weights)),
        }
    return said


def sites(rows: int, circuits: int) -> list[list[list[int]]]:
    """By run and circuit, where hybridq has it: a set of weights serves neighbouring sites."""
    return [[list(divmod(c * rows + r, SITES)) for c in range(circuits)] for r in range(rows)]
