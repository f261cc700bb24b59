"""A `Circuit` as a PennyLane quantum function and as a QNode; PennyLane's qubit order is ours."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hqgan.errors import MissingExtra
from hqgan.quantum.circuit import Circuit, Probabilities, Slot

if TYPE_CHECKING:
    from pennylane import QNode
    from pennylane.devices import Device

TO_PENNYLANE = {
    "rx": "RX",
    "ry": "RY",
    "rz": "RZ",
    "h": "Hadamard",
    "x": "PauliX",
    "y": "PauliY",
    "z": "PauliZ",
    "cz": "CZ",
    "cnot": "CNOT",
}


def to_pennylane(circuit: Circuit) -> Callable[..., Any]:
    """Write a circuit as a quantum function of (inputs, weights) that returns its measurements.

    Inputs (..., I) and weights (P,) are radians, as arrays of NumPy, torch or JAX, or lists; more
    than one sample is broadcast by PennyLane. It returns a list of `expval`, or one `probs`; an
    ancilla becomes a measurement that is post-selected on 0, which gives NaN where it never is 0.
    Another quantum function may end with it, as in `return quantum_function(inputs, weights)`.

    Raises:
        MissingExtra: PennyLane is not installed.
        ValueError: by the function, for a wrong number of angles.
    """
    qml = _pennylane("a PennyLane quantum function")

    # The names are those that `qml.qnn.TorchLayer` looks for.
    def quantum_function(inputs: Any = (), weights: Any = ()) -> Any:
        angles = {
            "input": _angles(inputs, circuit.inputs, "inputs"),
            "weight": _angles(weights, circuit.weights, "weights"),
        }
        for operation in circuit.operations:
            angle = operation.angle
            turns = [angle] if angle is not None else []
            if isinstance(angle, Slot):
                turns = [angles[angle.source][..., angle.index]]
            getattr(qml, TO_PENNYLANE[operation.gate])(*turns, wires=operation.wires)
        readout = circuit.readout
        if isinstance(readout, Probabilities):
            for wire in readout.ancillas:
                qml.measure(wire, postselect=0)
            return qml.probs(wires=readout.wires)
        words = map(qml.pauli.string_to_pauli_word, readout.observables)
        return [qml.expval(word) for word in words]

    return quantum_function


def to_qnode(circuit: Circuit, device: "Device | str | None" = None, **options: Any) -> "QNode":
    """Make a circuit a QNode of (inputs, weights), to be called or put in `qml.qnn.TorchLayer`.

    Args:
        circuit: what is run; for the shapes see `to_pennylane`.
        device: a PennyLane device, or the name of one; None for "default.qubit".
        options: of `pennylane.QNode`, such as `diff_method` or `shots`.

    Raises:
        MissingExtra: PennyLane is not installed.

    Examples:
        >>> import torch
        >>> from hqgan.quantum import layered
        >>> from hqgan.quantum.interop import to_qnode
        >>> node = to_qnode(layered(2, 1))
        >>> [value.item() for value in node(torch.zeros(2), torch.zeros(2))]
        [1.0, 1.0]
    """
    qml = _pennylane("a QNode")
    if device is None or isinstance(device, str):
        device = qml.device(device or "default.qubit", wires=circuit.qubits)
    return qml.QNode(to_pennylane(circuit), device, **options)


def _pennylane(purpose: str) -> Any:
    try:
        import pennylane
    except ImportError as error:
        raise MissingExtra("pennylane", "quantum", purpose) from error
    return pennylane


def _angles(values: Any, width: int, name: str) -> Any:
    """The values as something with `shape` and an index over its last dimension."""
    if isinstance(values, list | tuple):
        values = np.asarray(values, dtype=float)
    shape = tuple(values.shape)
    if not shape or shape[-1] != width:
        raise ValueError(f"expected {name} of shape (..., {width}), got {shape}")
    return values
