"""Circuits written for Qiskit give its simulators our values, and come back as they were."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from torch import Tensor

from hqgan.errors import MissingExtra
from hqgan.quantum import Circuit, Expectations, Operation, Probabilities, Slot, simulate
from hqgan.quantum.interop import (
    bind,
    from_openqasm3,
    from_qiskit,
    outcomes_from_qiskit,
    qiskit_observables,
    to_openqasm3,
    to_qiskit,
)
from random_circuits import angles, circuits, seeds

qiskit = pytest.importorskip(
    "qiskit", reason="Qiskit is not installed: pip install 'hqgan[quantum]'"
)
parser = pytest.importorskip(
    "qiskit_qasm3_import", reason="no reader of OpenQASM 3: pip install 'hqgan[quantum]'"
)
from qiskit import QuantumCircuit, qasm3  # noqa: E402 (after the skips)
from qiskit.circuit import Parameter, ParameterVector  # noqa: E402
from qiskit.primitives import StatevectorEstimator  # noqa: E402
from qiskit.quantum_info import SparsePauliOp, Statevector  # noqa: E402

ATOL = 1e-8
few = settings(max_examples=40, deadline=None)
Z = Expectations(("ZI",))


def bound(circuit: Circuit, inputs: Tensor, weights: Tensor) -> QuantumCircuit:
    """Qiskit's circuit with the angles of the first sample and circuit."""
    values = {f"x[{i}]": angle for i, angle in enumerate(inputs[0, 0].tolist())}
    values |= {f"w[{i}]": angle for i, angle in enumerate(weights[0].tolist())}
    return to_qiskit(circuit).assign_parameters(values)


# Qiskit


def test_qubit_0_stays_qubit_0_and_is_the_last_letter() -> None:
    circuit = Circuit(3, (Operation("x", (0,)),), Expectations(("ZII", "IXY")))
    written = to_qiskit(circuit)
    assert written.find_bit(written.data[0].qubits[0]).index == 0
    assert Statevector(written).probabilities_dict() == {"001": 1.0}
    assert qiskit_observables(circuit) == [SparsePauliOp("IIZ"), SparsePauliOp("YXI")]


@few
@given(circuits, seeds)
def test_qiskit_reaches_the_same_probabilities(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed, samples=1)
    everything = replace(circuit, readout=Probabilities(tuple(range(circuit.qubits))))
    ours = simulate(everything, inputs, weights)[0, 0].detach().numpy()
    theirs = Statevector(bound(circuit, inputs, weights)).probabilities()
    np.testing.assert_allclose(outcomes_from_qiskit(theirs), ours, atol=ATOL)


@few
@given(circuits.filter(lambda c: isinstance(c.readout, Expectations)), seeds)
def test_qiskits_observables_have_the_same_values(circuit: Circuit, seed: int) -> None:
    """A batch is one PUB: observables (n, 1) against parameter values (B, P + I)."""
    inputs, weights = angles(circuit, seed, samples=3)
    ours = simulate(circuit, inputs, weights)[0].detach().numpy()
    table = np.concatenate([weights.detach().expand(3, -1), inputs[0].detach()], axis=1)
    pub = (to_qiskit(circuit), [[word] for word in qiskit_observables(circuit)], table)
    theirs = StatevectorEstimator().run([pub]).result()[0].data.evs
    np.testing.assert_allclose(theirs.T, ours, atol=ATOL)


@few
@given(circuits)
def test_qiskit_gives_back_the_same_circuit(circuit: Circuit) -> None:
    assert from_qiskit(to_qiskit(circuit), circuit.readout) == circuit


@few
@given(circuits, seeds)
def test_angles_bound_in_qiskit_come_back_as_constants(circuit: Circuit, seed: int) -> None:
    _, weights = angles(circuit, seed)
    values = {f"w[{i}]": angle for i, angle in enumerate(weights[0].tolist())}
    written = to_qiskit(circuit).assign_parameters(values)
    assert from_qiskit(written, circuit.readout) == bind(circuit, weights[0])


def test_barriers_and_global_phase_are_left_out() -> None:
    foreign = QuantumCircuit(2, global_phase=0.3)
    foreign.h(1)
    foreign.barrier()
    foreign.cx(1, 0)
    expected = Circuit(2, (Operation("h", (1,)), Operation("cnot", (1, 0))), Z)
    assert from_qiskit(foreign, Z) == expected


def test_parameters_by_other_names_for_the_same_thing_are_read() -> None:
    foreign = QuantumCircuit(2)
    foreign.rx(Parameter("x_0"), 0)
    foreign.ry(Parameter("_w_0_"), 0)
    foreign.rz(ParameterVector("x", 2)[1], 1)
    slots = [operation.angle for operation in from_qiskit(foreign, Z).operations]
    assert slots == [Slot("input", 0), Slot("weight", 0), Slot("input", 1)]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda c: c.swap(0, 1), "'swap' is not one of .* transpile"),
        (lambda c: c.cx(0, 1, ctrl_state=0), "'cx_o0' is not one of"),
        (lambda c: c.measure_all(), "'measure' is not one of .* remove_final_measurements"),
        (lambda c: c.rx(Parameter("theta"), 0), "theta is no single parameter x.i."),
        (lambda c: c.rx(2 * Parameter("x_0"), 0), r"2\*x_0 is no single parameter"),
        (lambda c: c.rx(Parameter("x_1"), 0), "input 0 is never used, but input 1 is"),
    ],
)
def test_what_is_not_ours_is_refused_by_name(draw, message: str) -> None:
    foreign = QuantumCircuit(2)
    draw(foreign)
    with pytest.raises(ValueError, match=message):
        from_qiskit(foreign, Z)


def test_probabilities_have_no_observables() -> None:
    with pytest.raises(ValueError, match="Sampler"):
        qiskit_observables(Circuit(1, (), Probabilities((0,))))


# OpenQASM 3, by Qiskit's reader


@few
@given(circuits)
def test_openqasm_gives_back_the_same_circuit(circuit: Circuit) -> None:
    assert from_openqasm3(to_openqasm3(circuit), circuit.readout) == circuit


@few
@given(circuits, seeds)
def test_openqasm_holds_every_digit_of_learned_angles(circuit: Circuit, seed: int) -> None:
    _, weights = angles(circuit, seed)
    again = from_openqasm3(to_openqasm3(circuit, weights[0]), circuit.readout)
    assert again == bind(circuit, weights[0])


@few
@given(circuits, seeds)
def test_openqasm_has_the_same_values_in_qiskit(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed, samples=1)
    foreign = qasm3.loads(to_openqasm3(circuit, weights[0]))
    values = {f"x_{i}": angle for i, angle in enumerate(inputs[0, 0].tolist())}
    theirs = Statevector(foreign.assign_parameters(values, strict=False)).probabilities()
    everything = replace(circuit, readout=Probabilities(tuple(range(circuit.qubits))))
    ours = simulate(everything, inputs, weights)[0, 0].detach().numpy()
    np.testing.assert_allclose(outcomes_from_qiskit(theirs), ours, atol=ATOL)


@few
@given(circuits)
def test_openqasm_written_by_qiskit_is_read(circuit: Circuit) -> None:
    """But for constants, which Qiskit rounds near fractions of pi."""
    free = replace(
        circuit, operations=[o for o in circuit.operations if not isinstance(o.angle, float)]
    )
    assert from_openqasm3(qasm3.dumps(to_qiskit(free)), free.readout) == free


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "line 1:5 .*'hello'"),
        ("OPENQASM 3.0; qubit[2] q; rx(0.1) q[0];", "'rx' is not defined"),
        ('OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; swap q[0], q[1];', "'swap' is not one"),
        ('OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; rx(0.1) q[4];', "index out of range"),
    ],
)
def test_text_of_another_kind_is_refused_with_its_place(text, message: str, capfd) -> None:
    with pytest.raises(ValueError, match=message):
        from_openqasm3(text, Z)
    assert capfd.readouterr().err == ""


def test_a_missing_reader_is_named_with_its_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_qasm3_import", None)
    with pytest.raises(MissingExtra, match=r"qiskit-qasm3-import.*hqgan\[quantum\]"):
        from_openqasm3("", Z)
