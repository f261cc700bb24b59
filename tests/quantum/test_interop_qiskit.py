"""Circuits written for Qiskit give its simulators our values, and come back as they were."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from torch import Tensor

from hqgan.quantum import Circuit, Expectations, Probabilities, simulate
from hqgan.quantum.interop import (
    from_qiskit,
    outcomes_from_qiskit,
    qiskit_observables,
    to_qiskit,
)
from random_circuits import angles, circuits, seeds

qiskit = pytest.importorskip(
    "qiskit", reason="Qiskit is not installed: pip install 'hqgan[quantum]'"
)
quantum_info = pytest.importorskip("qiskit.quantum_info")
primitives = pytest.importorskip("qiskit.primitives")

ATOL = 1e-8
few = settings(max_examples=25, deadline=None)


def bound(circuit: Circuit, inputs: Tensor, weights: Tensor):
    """Qiskit's circuit with the angles of the first sample and circuit."""
    values = [f"x[{i}]" for i in range(circuit.inputs)], inputs[0, 0].tolist()
    learned = [f"w[{i}]" for i in range(circuit.weights)], weights[0].tolist()
    named = dict(zip(*values, strict=True)) | dict(zip(*learned, strict=True))
    return to_qiskit(circuit).assign_parameters(named)


@few
@given(circuits, seeds)
def test_qiskit_reaches_the_same_probabilities(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed, samples=1)
    everything = replace(circuit, readout=Probabilities(tuple(range(circuit.qubits))))
    ours = simulate(everything, inputs, weights)[0, 0].detach().numpy()
    theirs = quantum_info.Statevector(bound(circuit, inputs, weights)).probabilities()
    np.testing.assert_allclose(outcomes_from_qiskit(theirs), ours, atol=ATOL)


@few
@given(circuits.filter(lambda c: isinstance(c.readout, Expectations)), seeds)
def test_qiskits_observables_have_the_same_values(circuit: Circuit, seed: int) -> None:
    """A batch is one PUB: observables (n, 1) against parameter values (B, P)."""
    inputs, weights = angles(circuit, seed, samples=3)
    ours = simulate(circuit, inputs, weights)[0].detach().numpy()
    table = np.concatenate([weights.detach().expand(3, -1), inputs[0].detach()], axis=1)
    pub = (to_qiskit(circuit), [[word] for word in qiskit_observables(circuit)], table)
    theirs = primitives.StatevectorEstimator().run([pub]).result()[0].data.evs
    np.testing.assert_allclose(theirs.T, ours, atol=ATOL)


@few
@given(circuits)
def test_qiskit_gives_back_the_same_circuit(circuit: Circuit) -> None:
    assert from_qiskit(to_qiskit(circuit), circuit.readout) == circuit
