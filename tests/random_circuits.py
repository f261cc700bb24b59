"""Hypothesis strategies for circuits of every kind, shared by the tests of `hqgan.quantum`."""

from dataclasses import replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from hqgan.quantum import (
    ENCODINGS,
    ENTANGLERS,
    READOUTS,
    ROTATIONS,
    Circuit,
    Expectations,
    Operation,
    Probabilities,
    Slot,
    layered,
    simulate,
)
from hqgan.quantum.circuit import COMPLEX_GATES, GATES, ROTATION_GATES, TWO_QUBIT_GATES, Readout

RARE = 1e-4  # chance of a post-selected outcome below which rounding errors dominate

seeds = st.integers(0, 2**32 - 1)


@st.composite
def readouts(draw: st.DrawFn, qubits: int, letters: str = "IXYZ") -> Readout:
    """Pauli words, or probabilities of some wires with or without ancillas."""
    if draw(st.booleans()):
        words = st.text(letters, min_size=qubits, max_size=qubits).filter(lambda w: set(w) != {"I"})
        return Expectations(tuple(draw(st.lists(words, min_size=1, max_size=5))))
    order = draw(st.permutations(range(qubits)))
    kept = draw(st.integers(1, qubits))
    ancillas = draw(st.integers(0, qubits - kept))
    return Probabilities(tuple(sorted(order[:kept])), tuple(sorted(order[kept : kept + ancillas])))


@st.composite
def gate_circuits(draw: st.DrawFn, max_qubits: int = 4, real: bool = False) -> Circuit:
    """Any gates in any order, with angles from inputs, weights (also used twice) and constants."""
    qubits = draw(st.integers(1, max_qubits))
    gates = [gate for gate in GATES if not (real and gate in COMPLEX_GATES)]
    gates = [gate for gate in gates if qubits > 1 or gate not in TWO_QUBIT_GATES]
    numbers: dict[str, dict[int, int]] = {"input": {}, "weight": {}}
    operations = []
    for gate in draw(st.lists(st.sampled_from(gates), max_size=14)):
        wires = tuple(draw(st.permutations(range(qubits)))[: 2 if gate in TWO_QUBIT_GATES else 1])
        angle: Slot | float | None = None
        if gate in ROTATION_GATES:
            source = draw(st.sampled_from(["input", "weight", "constant"]))
            if source == "constant":
                angle = draw(st.floats(-7, 7))
            else:
                known = numbers[source]
                angle = Slot(source, known.setdefault(draw(st.integers(0, 4)), len(known)))
        operations.append(Operation(gate, wires, angle))
    letters = "IXZ" if real else "IXYZ"
    return Circuit(qubits, tuple(operations), draw(readouts(qubits, letters)))


@st.composite
def layered_circuits(draw: st.DrawFn, max_qubits: int = 5) -> Circuit:
    """Any combination of the named encodings, rotations, entanglers and read-outs."""
    return layered(
        draw(st.integers(2, max_qubits)),
        draw(st.integers(0, 3)),
        encoding=draw(st.sampled_from(sorted(ENCODINGS))),
        reupload=draw(st.booleans()),
        rotation=draw(st.sampled_from(sorted(ROTATIONS))),
        entangler=draw(st.sampled_from(sorted(ENTANGLERS))),
        readout=draw(st.sampled_from(sorted(READOUTS))),
        final_rotation=draw(st.booleans()),
    )


circuits = gate_circuits() | layered_circuits()


def angles(circuit: Circuit, seed: int, samples: int = 2, count: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs (C, B, I) and weights (C, P) in float64, that require gradients."""
    rng = torch.Generator().manual_seed(seed)
    sizes = (count, samples, circuit.inputs), (count, circuit.weights)
    inputs, weights = (6 * torch.rand(*size, generator=rng, dtype=torch.float64) for size in sizes)
    return inputs.requires_grad_(), weights.requires_grad_()


def well_posed(circuit: Circuit, inputs: Tensor, weights: Tensor) -> bool:
    """Whether the read-out's condition happens: dividing by a chance near 0 shows rounding."""
    readout = circuit.readout
    if isinstance(readout, Expectations) or not readout.ancillas:
        return True
    ancillas = replace(circuit, readout=Probabilities(readout.ancillas))
    return simulate(ancillas, inputs, weights)[..., 0].min().item() > RARE
