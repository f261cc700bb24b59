"""Many evaluations of one circuit as few runs of a wide one: copies side by side on disjoint lines.

A device takes as long for sixteen copies of a circuit on sixteen lines of qubits as for one. So an
evaluation is an item, items fill rows, and a row is one run of the packed circuit, with an item on
each line. All circuits of a sample come next to each other: with as many lines as circuits, a row
is a sample, and a circuit always runs on the same line.

Shapes: C circuits, B samples, A angles of one lowered circuit, K lines, R = ceil(C B / K) rows.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgan.errors import MissingExtra
from hqgan.quantum.circuit import Circuit, Expectations
from hqgan.quantum.interop import to_qiskit
from hqgan.quantum.schedule import basis_change, measurement_bases

Floats = NDArray[np.float64]


def rows_of(angles: Floats, lines: int) -> Floats:
    """Angles (C, B, A) as rows (R, K A); what the last row has no item for is zeros."""
    circuits, samples, width = angles.shape
    items = angles.transpose(1, 0, 2).reshape(circuits * samples, width)
    rows = -(-len(items) // lines)
    padded = np.zeros((rows * lines, width))
    padded[: len(items)] = items
    return padded.reshape(rows, lines * width)


def items_of(rows: Floats, circuits: int, samples: int) -> Floats:
    """Values of rows (R, K, n) as (C, B, n), without the padding."""
    count, lines, width = rows.shape
    flat = rows.reshape(count * lines, width)[: circuits * samples]
    return flat.reshape(samples, circuits, width).transpose(1, 0, 2)


def bases_of(circuit: Circuit) -> dict[str, list[int]]:
    """Letters of each measurement basis and the outputs it gives; probabilities need one, Z."""
    if isinstance(circuit.readout, Expectations):
        return measurement_bases(circuit.readout.observables)
    return {"Z" * circuit.qubits: list(range(circuit.outputs))}


def copies(circuit: Circuit, lines: int) -> Any:
    """K copies of a lowered circuit as one `QuantumCircuit` without measurements.

    Angle a of line k is the parameter `x[k A + a]`, and qubit q of line k is qubit k Q + q.

    Raises:
        MissingExtra: Qiskit is not installed.
    """
    try:
        from qiskit import QuantumCircuit
        from qiskit.circuit import ParameterVector
    except ImportError as error:
        raise MissingExtra("qiskit", "quantum", "running circuits on a device") from error
    width, qubits = circuit.inputs, circuit.qubits
    one = to_qiskit(circuit)
    slots = {parameter.index: parameter for parameter in one.parameters}
    angles = ParameterVector("x", lines * width)
    packed = QuantumCircuit(lines * qubits)
    for line in range(lines):
        named = {slots[a]: angles[line * width + a] for a in range(width)}
        wires = range(line * qubits, (line + 1) * qubits)
        packed.compose(one.assign_parameters(named), wires, inplace=True)
    return packed


def measured(circuit: Circuit, lines: int) -> list[Any]:
    """`copies` of a lowered circuit, measured: one `QuantumCircuit` for each of its bases."""
    found = []
    for letters in bases_of(circuit):
        turned = replace(circuit, operations=(*circuit.operations, *basis_change(letters)))
        found.append(with_measurements(copies(turned, lines), lines))
    return found


def with_measurements(packed: Any, lines: int) -> Any:
    """Measure qubit q of each line k into bit q of the register `register(k)`; in place."""
    from qiskit import ClassicalRegister

    for line in range(lines):
        packed.add_register(ClassicalRegister(packed.num_qubits // lines, register(line)))
    packed.measure(range(packed.num_qubits), range(packed.num_clbits))
    return packed


def register(line: int) -> str:
    """Name of the classical register of a line."""
    return f"line{line}"


def values_for(transpiled: Any, rows: Floats) -> Floats:
    """Columns of rows for the parameters of a transpiled circuit, in the order Qiskit has them.

    That order is not always ours, and a rotation that changes nothing measured may be gone.
    """
    return rows[:, [parameter.index for parameter in transpiled.parameters]]
