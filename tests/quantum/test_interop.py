"""Circuits as JSON, as OpenQASM 3 text and in PennyLane; `test_interop_qiskit` has Qiskit."""

import doctest
import json
import sys

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import assume, given, settings

from hqgan.errors import MissingExtra
from hqgan.quantum import (
    Circuit,
    Expectations,
    Operation,
    Probabilities,
    QuantumLayer,
    Slot,
    layered,
    simulate,
)
from hqgan.quantum.interop import (
    bind,
    from_json,
    from_openqasm3,
    outcomes_from_qiskit,
    pennylane_functions,
    to_json,
    to_openqasm3,
    to_pennylane,
    to_qiskit,
    to_qnode,
    word_from_qiskit,
    word_to_qiskit,
)
from random_circuits import angles, circuits, gate_circuits, seeds, well_posed

ATOL = 1e-8
few = settings(max_examples=40, deadline=None)
CIRCUIT = layered(2, 1)
NO_CIRCUIT = json.dumps({"format": "hqgan.circuit", "version": 1})


def written(**changes: object) -> str:
    return json.dumps(json.loads(to_json(CIRCUIT, [0.5, 1.0])) | changes)


# The order of qubits


def test_a_bit_of_qubit_0_is_written_first_by_us_and_last_by_qiskit() -> None:
    assert word_to_qiskit("XZI") == "IZX"
    assert word_from_qiskit("IZX") == "XZI"
    ours = np.arange(8)  # outcome 0b100 = 4: qubit 0 found in 1; Qiskit counts it at 0b001 = 1
    assert outcomes_from_qiskit(ours).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    assert outcomes_from_qiskit(outcomes_from_qiskit([ours, -ours])).tolist() == [
        ours.tolist(),
        (-ours).tolist(),
    ]
    for wrong in (6, 0):
        with pytest.raises(ValueError, match=f"{wrong} outcomes"):
            outcomes_from_qiskit(np.zeros(wrong))


# Learned angles


@few
@given(circuits, seeds)
def test_bound_weights_give_the_same_values(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed)
    assume(well_posed(circuit, inputs, weights))
    constant = bind(circuit, weights[0])
    assert (constant.inputs, constant.weights) == (circuit.inputs, 0)
    ours = simulate(constant, inputs, weights[:, :0])
    torch.testing.assert_close(ours, simulate(circuit, inputs, weights), atol=ATOL, rtol=0)


@few
@given(circuits, seeds)
def test_json_holds_the_circuit_and_every_digit_of_its_weights(circuit: Circuit, seed: int) -> None:
    weights = angles(circuit, seed)[1][0].float()
    again, learned = from_json(to_json(circuit, weights))
    assert again == circuit
    assert learned is not None
    assert learned.dtype == torch.float64
    assert torch.equal(learned.float(), weights)
    assert from_json(to_json(circuit)) == (circuit, None)


def test_a_layer_is_written_one_of_its_circuits_at_a_time() -> None:
    layer = QuantumLayer(CIRCUIT, circuits=3)
    _, learned = from_json(to_json(layer.circuit, layer.weight[2]))
    assert learned is not None
    assert torch.equal(learned.float(), layer.weight[2])
    with pytest.raises(ValueError, match=r"\(2,\), got \(3, 2\).*layer.weight\[0\]"):
        to_json(layer.circuit, layer.weight)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.1], r"shape \(2,\), got \(1,\)"),
        ([0.1, float("nan")], "weight 1 is not finite"),
        ("ab", "2 numbers, not 'ab'"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_every_export(weights, message: str) -> None:
    for export in (bind, to_json, to_openqasm3):
        with pytest.raises(ValueError, match=message):
            export(CIRCUIT, weights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON .* expected the text that to_json writes"),
        ("[1]", "no .format.: .hqgan.circuit. in it"),
        (written(version=2), "version 2 of hqgan.circuit is not 1"),
        (NO_CIRCUIT, "not a circuit written by"),
        (written(circuit=[]), "not a circuit written by"),
        (written(weights=[1.0]), r"shape \(2,\), got \(1,\)"),
        (written(weights={"0": 1.0}), "weights are 2 numbers"),
        (written(weights=[1.0, float("inf")]), "weight 1 is not finite"),
    ],
)
def test_json_of_another_kind_is_refused_with_the_part_that_is_wrong(text, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(text)


# OpenQASM 3


def test_openqasm_is_readable_text() -> None:
    circuit = Circuit(
        2,
        (
            Operation("ry", (0,), Slot("input", 0)),
            Operation("rz", (1,), Slot("weight", 0)),
            Operation("rx", (1,), 1e-05),
            Operation("h", (1,)),
            Operation("cnot", (1, 0)),
        ),
        Expectations(("ZI", "XZ")),
    )
    lines = to_openqasm3(circuit).splitlines()
    assert lines == [
        "OPENQASM 3.0;",
        'include "stdgates.inc";',
        "// reads <Z0> <X0Z1>",
        "input float[64] x_0;",
        "input float[64] w_0;",
        "qubit[2] q;",
        "ry(x_0) q[0];",
        "rz(w_0) q[1];",
        "rx(1e-05) q[1];",
        "h q[1];",
        "cx q[1], q[0];",
    ]
    learned = to_openqasm3(circuit, [0.1]).splitlines()
    assert "rz(0.1) q[1];" in learned
    assert "input float[64] w_0;" not in learned


# PennyLane


@few
@given(circuits, seeds)
def test_pennylane_reaches_the_same_values(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed, samples=1)
    assume(well_posed(circuit, inputs, weights))
    ours = simulate(circuit, inputs, weights)[0, 0]
    theirs = to_qnode(circuit)(inputs[0, 0], weights[0])
    if isinstance(circuit.readout, Expectations):
        theirs = torch.stack([torch.as_tensor(value) for value in theirs])
    torch.testing.assert_close(torch.as_tensor(theirs), ours, atol=ATOL, rtol=0)


@few
@given(gate_circuits().filter(lambda c: c.inputs), seeds)
def test_pennylane_takes_a_batch_at_once(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed, samples=3)
    assume(well_posed(circuit, inputs, weights))
    ours = simulate(circuit, inputs, weights)[0].detach().numpy()
    theirs = to_qnode(circuit)(inputs[0].detach().numpy(), weights[0].tolist())
    if isinstance(circuit.readout, Expectations):  # a word that no input reaches has one value
        theirs = np.stack([np.broadcast_to(value, 3) for value in theirs], -1)
    np.testing.assert_allclose(np.broadcast_to(theirs, ours.shape), ours, atol=ATOL)


def test_a_qnode_is_trained_as_a_torch_layer_of_pennylane_with_our_gradients() -> None:
    layer = qml.qnn.TorchLayer(to_qnode(CIRCUIT), {"weights": CIRCUIT.weights})
    inputs = torch.rand(3, CIRCUIT.inputs, generator=torch.Generator().manual_seed(0))
    ours = QuantumLayer(CIRCUIT, diff_method="backprop")
    ours.load_state_dict({"weight": layer.weights.detach().unsqueeze(0)})
    layer(inputs).square().sum().backward()
    ours(inputs).square().sum().backward()
    torch.testing.assert_close(layer.weights.grad, ours.weight.grad[0])


def test_another_quantum_function_may_end_with_ours() -> None:
    @qml.qnode(qml.device("default.qubit", wires=2))
    def prepared(angle: float):
        qml.RY(angle, wires=0)
        return to_pennylane(CIRCUIT)([0.1, 0.0], [0.3, 0.0])

    assert prepared(-0.4)[0] == pytest.approx(1.0)


def test_pennylane_devices_are_named_or_given_and_options_passed_on() -> None:
    device = qml.device("default.qubit", wires=2, seed=0)
    assert to_qnode(CIRCUIT, device).device is device
    node = to_qnode(CIRCUIT, "default.mixed", diff_method="parameter-shift")
    assert (node.device.name, node.diff_method) == ("default.mixed", "parameter-shift")


@pytest.mark.parametrize(
    ("inputs", "weights", "message"),
    [
        ([0.1], [0.1, 0.1], r"inputs of shape \(\.\.\., 2\), got \(1,\)"),
        ([0.1, 0.1], torch.zeros(3), r"weights of shape \(\.\.\., 2\), got \(3,\)"),
        ([0.1, 0.1], (), "weights of shape"),
        (torch.tensor(0.0), [0.1, 0.1], r"inputs .* got \(\)"),
    ],
)
def test_a_quantum_function_refuses_a_wrong_number_of_angles(inputs, weights, message) -> None:
    with pytest.raises(ValueError, match=message):
        to_qnode(CIRCUIT)(inputs, weights)


def test_the_example_of_a_qnode_holds() -> None:
    assert doctest.testmod(pennylane_functions).failed == 0


# Without the extra


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("pennylane", lambda: to_pennylane(CIRCUIT)),
        ("pennylane", lambda: to_qnode(CIRCUIT)),
        ("qiskit", lambda: to_qiskit(CIRCUIT)),
        ("qiskit", lambda: from_openqasm3("", Probabilities((0,)))),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package, use, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}.*hqgan\[quantum\]"):
        use()


def test_text_and_json_are_written_without_any_package(monkeypatch) -> None:
    for package in ("pennylane", "qiskit", "qiskit_qasm3_import"):
        monkeypatch.setitem(sys.modules, package, None)
    assert to_openqasm3(CIRCUIT, [0.1, 0.2]).count("ry(") == 4
    assert from_json(to_json(CIRCUIT)) == (CIRCUIT, None)
