"""A `Circuit` as a Qiskit `QuantumCircuit` and back, gate for gate."""

import re
from typing import TYPE_CHECKING, Any

from hqgan.errors import MissingExtra
from hqgan.quantum.circuit import (
    ROTATION_GATES,
    Circuit,
    Expectations,
    Operation,
    Readout,
    Slot,
)
from hqgan.quantum.interop.order import word_to_qiskit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

TO_QISKIT = {gate: gate for gate in ("rx", "ry", "rz", "h", "x", "y", "z", "cz")} | {"cnot": "cx"}
"""Our gates by the names that Qiskit and OpenQASM 3 give them."""

FROM_QISKIT = {theirs: ours for ours, theirs in TO_QISKIT.items()}

# x[3] is an element of a ParameterVector, x_3 what `to_openqasm3` writes, _x_3_ what Qiskit does.
_PARAMETER = re.compile(r"([xw])\[(\d+)\]|_?([xw])_(\d+)_?", re.ASCII)


def to_qiskit(circuit: Circuit) -> "QuantumCircuit":
    """Write a circuit for Qiskit, without measurements.

    Input i is the parameter `x[i]` and weight i is `w[i]`. Qiskit keeps parameters sorted by name,
    so that values for `QuantumCircuit.parameters` are all weights, then all inputs.

    Raises:
        MissingExtra: Qiskit is not installed.
    """
    try:
        from qiskit import QuantumCircuit
        from qiskit.circuit import ParameterVector
    except ImportError as error:
        raise MissingExtra("qiskit", "quantum", "a circuit for Qiskit") from error
    vectors = {
        "input": ParameterVector("x", circuit.inputs),
        "weight": ParameterVector("w", circuit.weights),
    }
    written = QuantumCircuit(circuit.qubits)
    for operation in circuit.operations:
        angle = operation.angle
        turns: list[Any] = []
        if angle is not None:
            turns = [vectors[angle.source][angle.index] if isinstance(angle, Slot) else angle]
        getattr(written, TO_QISKIT[operation.gate])(*turns, *operation.wires)
    return written


def qiskit_observables(circuit: Circuit) -> "list[SparsePauliOp]":
    """The observables of a circuit's read-out, in its order, for an Estimator.

    Raises:
        ValueError: the circuit reads probabilities, which are counted by a Sampler.
        MissingExtra: Qiskit is not installed.
    """
    if not isinstance(circuit.readout, Expectations):
        raise ValueError(
            "the circuit reads probabilities, which are no observables: count them with a Sampler"
        )
    try:
        from qiskit.quantum_info import SparsePauliOp
    except ImportError as error:
        raise MissingExtra("qiskit", "quantum", "observables for Qiskit") from error
    return [SparsePauliOp(word_to_qiskit(word)) for word in circuit.readout.observables]


def from_qiskit(quantum_circuit: "QuantumCircuit", readout: Readout) -> Circuit:
    """Read a Qiskit circuit made of our gates; barriers and the global phase are left out.

    Args:
        quantum_circuit: parameters are named `x[i]` (inputs) and `w[i]` (weights), or `x_i` and
            `w_i`, each numbered from 0 without gaps; bound angles become constants.
        readout: what is measured, in our qubit order; a Qiskit circuit does not say it.

    Raises:
        ValueError: any other gate, parameter name or expression, named in the message.
    """
    operations = []
    for instruction in quantum_circuit.data:
        name = instruction.operation.name
        if name == "barrier":
            continue
        if name not in FROM_QISKIT:
            raise ValueError(
                f"the gate {name!r} is not one of {', '.join(FROM_QISKIT)}: {_advice(name)}"
            )
        wires = tuple(quantum_circuit.find_bit(qubit).index for qubit in instruction.qubits)
        gate = FROM_QISKIT[name]
        angle = _angle(instruction.operation.params[0]) if gate in ROTATION_GATES else None
        operations.append(Operation(gate, wires, angle))
    return Circuit(quantum_circuit.num_qubits, tuple(operations), readout)


def _advice(name: str) -> str:
    if name == "measure":
        return "the read-out is an argument; call remove_final_measurements() first"
    return f"transpile(circuit, basis_gates={list(FROM_QISKIT)}) may rewrite the circuit"


def _angle(value: Any) -> Slot | float:
    from qiskit.circuit import Parameter, ParameterExpression

    if not isinstance(value, ParameterExpression):
        return float(value)
    if not value.parameters:
        return float(value.numeric())
    found = _PARAMETER.fullmatch(value.name) if isinstance(value, Parameter) else None
    if found is None:
        raise ValueError(
            f"the angle {value} is no single parameter x[i] (an input) or w[i] (a weight): "
            "name it so, or bind it to a number"
        )
    source, index = found[1] or found[3], int(found[2] or found[4])
    return Slot("input" if source == "x" else "weight", index)
