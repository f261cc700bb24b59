"""Jobs for a sampler: circuits that are measured, and the values in the bits that are read.

The circuits of a job, in order: for each fold of zne and each basis the packed circuit, then under
trex two for calibration, all qubits in 0 and all in 1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hqgan.quantum.circuit import Circuit, Expectations
from hqgan.quantum.jobs.mitigation import Correction, folded, folds_of, methods_of, no_noise
from hqgan.quantum.jobs.orders import Order
from hqgan.quantum.jobs.packing import (
    Floats,
    bases_of,
    items_of,
    measured,
    register,
    values_for,
    with_measurements,
)
from hqgan.quantum.jobs.readings import distribution, expectations


def programs(
    circuit: Circuit, lines: int, methods: frozenset[str], transpile: Callable[[Any], Any]
) -> list[Any]:
    """The transpiled circuits of a job; of a lowered circuit."""
    plain = [transpile(one) for one in measured(circuit, lines)]
    found = [folded(one, times) for times in folds_of(methods) for one in plain]
    if "trex" in methods:
        found += [transpile(one) for one in _calibrations(circuit.qubits * lines, lines)]
    return found


def _calibrations(qubits: int, lines: int) -> list[Any]:
    from qiskit import QuantumCircuit

    zeros, ones = QuantumCircuit(qubits), QuantumCircuit(qubits)
    ones.x(range(qubits))
    return [with_measurements(one, lines) for one in (zeros, ones)]


def pubs(order: Order, circuits: list[Any]) -> list[Any]:
    """A PUB for each circuit, with all rows in its parameter axis; calibration runs once."""
    runs = len(circuits) - (2 if "trex" in methods_of(order.mitigation) else 0)
    return [
        (one, values_for(one, order.angles)) if number < runs else (one,)
        for number, one in enumerate(circuits)
    ]


def read(order: Order, result: Any) -> tuple[Floats, Floats, Floats]:
    """Values, their standard errors and raw values, each (C, B, outputs), of a PrimitiveResult."""
    methods = methods_of(order.mitigation)
    lines = len(order.lines)
    corrections: list[Correction | None] = [None] * lines
    if "trex" in methods:
        corrections = [
            Correction.from_calibration(
                _bits(result[-2], k, (1, order.circuit.qubits))[0],
                _bits(result[-1], k, (1, order.circuit.qubits))[0],
            )
            for k in range(lines)
        ]
    folds = folds_of(methods)
    bases = list(bases_of(order.circuit).values())
    raw = np.empty(0)
    values, errors = [], []
    for number in range(len(folds)):
        answers = result[number * len(bases) : (number + 1) * len(bases)]
        if number == 0:
            raw, error = _fold(order, bases, answers, [None] * lines)
        if number or "trex" in methods:
            value, error = _fold(order, bases, answers, corrections)
        else:
            value = raw
        values.append(value)
        errors.append(error)
    weights = no_noise(folds)
    mitigated = np.tensordot(weights, np.stack(values), 1)
    spread = np.sqrt(np.tensordot(weights**2, np.stack(errors) ** 2, 1))
    size = (order.circuits, order.samples)
    return items_of(mitigated, *size), items_of(spread, *size), items_of(raw, *size)


def _fold(
    order: Order, bases: list[list[int]], answers: list[Any], corrections: list[Correction | None]
) -> tuple[Floats, Floats]:
    """Values and errors (R, K, outputs) of the circuits of one fold, a basis each."""
    readout = order.circuit.readout
    shape = (len(order.angles), len(order.lines), order.circuit.outputs)
    values, errors = np.empty(shape), np.empty(shape)
    for answer, members in zip(answers, bases, strict=True):
        for line, correction in enumerate(corrections):
            bits = _bits(answer, line, (len(order.angles), order.circuit.qubits))
            if isinstance(readout, Expectations):
                words = [readout.observables[word] for word in members]
                found = expectations(bits, words, correction)
            else:
                found = distribution(bits, readout, correction)
            values[:, line, members], errors[:, line, members] = found
    return values, errors


def _bits(answer: Any, line: int, shape: tuple[int, int]) -> Any:
    """(R, S, Q) of a line; bit i of its register is its qubit i.

    ValueError for other rows and qubits than (R, Q), or without a shot. Fewer shots than were
    asked for, or more, are what was paid for: the standard errors count them.
    """
    bits = np.asarray(answer.data[register(line)].to_bool_array(order="little"))
    if bits.dtype != bool:
        raise ValueError(f"it holds {bits.dtype} in the place of bits")
    bits = bits if bits.ndim == 3 else bits[None]
    rows, shots, qubits = bits.shape
    if (rows, qubits) != shape or not shots:
        raise ValueError(
            f"it holds {rows} runs of {shots} shots of {qubits} qubits, but {shape[0]} runs of "
            f"{shape[1]} qubits were asked for"
        )
    return bits
