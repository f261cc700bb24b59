"""OpenQASM 3 text of a circuit; it is written without any package, and read by Qiskit's reader.

Qiskit's own writer is not used, for it rounds angles near fractions of pi.
"""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr

from torch import Tensor

from hqgan.errors import MissingExtra
from hqgan.quantum.circuit import Circuit, Operation, Readout, Slot, describe_readout
from hqgan.quantum.interop.qiskit_circuits import TO_QISKIT, from_qiskit
from hqgan.quantum.interop.trained import bind


def to_openqasm3(circuit: Circuit, weights: Tensor | Sequence[float] | None = None) -> str:
    """Write a circuit in OpenQASM 3; measurements are left to the reader, a comment names them.

    Args:
        circuit: qubit q is `q[q]`; input i becomes the parameter `input float[64] x_i`.
        weights: (P,) radians, one row of `QuantumLayer.weight`, written as numbers with all their
            digits; None for parameters `w_i`.

    Raises:
        ValueError: weights of another shape, or not finite.
    """
    if weights is not None:
        circuit = bind(circuit, weights)
    lines = [
        "OPENQASM 3.0;",
        'include "stdgates.inc";',
        f"// reads {describe_readout(circuit.readout)}",
        *(f"input float[64] x_{index};" for index in range(circuit.inputs)),
        *(f"input float[64] w_{index};" for index in range(circuit.weights)),
        f"qubit[{circuit.qubits}] q;",
        *map(_statement, circuit.operations),
    ]
    return "\n".join(lines) + "\n"


def from_openqasm3(text: str, readout: Readout) -> Circuit:
    """Read OpenQASM 3 made of our gates, such as `to_openqasm3` or Qiskit writes.

    Args:
        text: parameters are named `x_i` (inputs) and `w_i` (weights); see `from_qiskit`.
        readout: what is measured, in our qubit order.

    Raises:
        ValueError: text that cannot be read, or more than our gates, with what and where.
        MissingExtra: Qiskit or its reader is not installed.
    """
    try:
        from qiskit import qasm3
    except ImportError as error:
        raise MissingExtra("qiskit", "quantum", "reading OpenQASM 3") from error
    try:
        import qiskit_qasm3_import  # noqa: F401 (what qasm3.loads calls)
    except ImportError as error:
        raise MissingExtra("qiskit-qasm3-import", "quantum", "reading OpenQASM 3") from error
    complaints = io.StringIO()  # the parser prints where it stumbled, its error may be empty
    try:
        with redirect_stderr(complaints):
            quantum_circuit = qasm3.loads(text)
    except Exception as error:  # from IndexError to classes of its own
        reason = " ".join((complaints.getvalue() or str(error)).split())
        raise ValueError(f"not OpenQASM 3 that Qiskit can read: {reason}") from error
    return from_qiskit(quantum_circuit, readout)


def _statement(operation: Operation) -> str:
    angle = operation.angle
    turn = "" if angle is None else f"({_text(angle)})"
    return f"{TO_QISKIT[operation.gate]}{turn} {', '.join(f'q[{w}]' for w in operation.wires)};"


def _text(angle: Slot | float) -> str:
    if isinstance(angle, Slot):
        return f"{'x' if angle.source == 'input' else 'w'}_{angle.index}"
    return repr(angle)  # the shortest text that gives the same float back
