"""Jobs for a vendor's estimator, which takes observables and gives their expectation values.

Measurement bases, shots and mitigation are the estimator's own business here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hqgan.errors import UsageError
from hqgan.quantum.circuit import Circuit, Expectations
from hqgan.quantum.interop import word_to_qiskit
from hqgan.quantum.jobs.orders import Order
from hqgan.quantum.jobs.packing import Floats, copies, items_of, values_for


def programs(
    circuit: Circuit, lines: int, methods: frozenset[str], transpile: Callable[[Any], Any]
) -> list[Any]:
    """The one circuit of a job, without measurements; of a lowered circuit.

    Raises:
        UsageError: the circuit reads probabilities.
    """
    if not isinstance(circuit.readout, Expectations):
        raise UsageError(
            "an estimator gives expectation values, but the circuit reads probabilities; use a "
            "device that gives shots: a factory that returns a BackendV2"
        )
    return [transpile(copies(circuit, lines))]


def pubs(order: Order, circuits: list[Any]) -> list[Any]:
    """One PUB: observables (K outputs, 1) against all rows (1, R)."""
    (circuit,) = circuits
    observables = [[observable] for observable in _observables(order, circuit)]
    return [(circuit, observables, values_for(circuit, order.angles)[None], order.shots**-0.5)]


def read(order: Order, result: Any) -> tuple[Floats, Floats, Floats]:
    """Values, their standard errors and once more the values, each (C, B, outputs)."""
    data = result[0].data
    shape = (len(order.lines), order.circuit.outputs, len(order.angles))
    size = (order.circuits, order.samples)
    values, errors = (
        items_of(np.asarray(found).reshape(shape).transpose(2, 0, 1), *size)
        for found in (data.evs, data.stds)
    )
    return values, errors, values


def _observables(order: Order, circuit: Any) -> list[Any]:
    """Each word on each line, line by line, on the qubits that the circuit was laid on."""
    from qiskit.quantum_info import SparsePauliOp

    readout = order.circuit.readout
    assert isinstance(readout, Expectations)
    qubits, lines = order.circuit.qubits, len(order.lines)
    found = []
    for line in range(lines):
        for word in readout.observables:
            whole = "I" * (line * qubits) + word + "I" * ((lines - line - 1) * qubits)
            found.append(SparsePauliOp(word_to_qiskit(whole)).apply_layout(circuit.layout))
    return found
