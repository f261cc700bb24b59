"""Values and gradients of every circuit equal PennyLane's `default.qubit` in complex128."""

import pennylane as qml
import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor

from hqgan.quantum import (
    Circuit,
    Expectations,
    Operation,
    QuantumLayer,
    Slot,
    layered,
    simulate,
)
from hqgan.quantum.gradients import adjoint, parameter_shift
from random_circuits import angles, circuits, seeds, well_posed

ATOL = 1e-8
FUSED_ATOL = 1e-5  # complex64
GATES = {
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "h": qml.Hadamard,
    "x": qml.PauliX,
    "y": qml.PauliY,
    "z": qml.PauliZ,
    "cz": qml.CZ,
    "cnot": qml.CNOT,
}


def pennylane(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """Run gate by gate, one sample: inputs (I,), weights (P,) to (outputs,)."""
    readout = circuit.readout

    def angle(operation: Operation) -> Tensor | float | None:
        if isinstance(operation.angle, Slot):
            return (inputs if operation.angle.source == "input" else weights)[operation.angle.index]
        return operation.angle

    @qml.qnode(qml.device("default.qubit", wires=circuit.qubits), diff_method="backprop")
    def run() -> list[object]:
        for operation in circuit.operations:
            value = angle(operation)
            GATES[operation.gate](*([] if value is None else [value]), wires=operation.wires)
        if isinstance(readout, Expectations):
            order = {wire: wire for wire in range(circuit.qubits)}
            words = [qml.pauli.string_to_pauli_word(w, order) for w in readout.observables]
            return [qml.expval(word) for word in words]
        return [qml.probs(wires=[*readout.ancillas, *readout.wires])]

    measured = [torch.as_tensor(value, dtype=torch.float64) for value in run()]
    if isinstance(readout, Expectations):
        return torch.stack(measured)
    kept = measured[0][: 2 ** len(readout.wires)]  # all ancillas at 0: the first part
    return kept / kept.sum()


@settings(max_examples=60)
@given(circuits, seeds)
def test_values_and_gradients_equal_pennylane(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed)
    assume(well_posed(circuit, inputs, weights))
    ours = simulate(circuit, inputs, weights)[0]
    theirs = torch.stack([pennylane(circuit, sample, weights[0]) for sample in inputs[0]])
    torch.testing.assert_close(ours, theirs, atol=ATOL, rtol=0)
    if ours.requires_grad:
        direction = torch.linspace(-1, 2, ours.numel(), dtype=ours.dtype).reshape(ours.shape)
        used = [part for part in (inputs, weights) if part.numel()]
        mine = torch.autograd.grad((ours * direction).sum(), used, materialize_grads=True)
        reference = torch.autograd.grad((theirs * direction).sum(), used, materialize_grads=True)
        for ours_, theirs_ in zip(mine, reference, strict=True):
            torch.testing.assert_close(ours_, theirs_, atol=ATOL, rtol=0)
        detached = inputs.detach(), weights.detach(), direction[None]
        conditional = bool(getattr(circuit.readout, "ancillas", ()))
        for rule in (adjoint,) if conditional else (adjoint, parameter_shift):
            found = [part for part in rule(circuit, *detached) if part.numel()]
            for ours_, theirs_ in zip(found, reference, strict=True):
                torch.testing.assert_close(ours_, theirs_, atol=ATOL, rtol=0)


def strongly_entangling(inputs: Tensor, weights: Tensor) -> list[object]:
    qml.AngleEmbedding(inputs, wires=range(4), rotation="Y")
    qml.StronglyEntanglingLayers(weights.reshape(3, 4, 3), wires=range(4), ranges=[1, 1, 1])
    return [qml.expval(qml.PauliZ(wire)) for wire in range(4)]


def mosaiq(inputs: Tensor, weights: Tensor) -> list[object]:
    for wire in range(4):
        qml.RY(inputs[wire], wires=wire)
        qml.RX(inputs[wire], wires=wire)
    for layer in weights.reshape(3, 4):
        for wire in range(4):
            qml.RY(layer[wire], wires=wire)
        for wire in range(3):
            qml.CZ(wires=[wire, wire + 1])
    return [qml.expval(qml.PauliX(wire)) for wire in range(4)]


def pqwgan(inputs: Tensor, weights: Tensor) -> object:
    qml.AngleEmbedding(inputs, wires=range(4), rotation="Y")
    for layer in weights.reshape(3, 4, 3):
        for wire in range(4):
            qml.Rot(*layer[wire], wires=wire)
        for wire in range(3):
            qml.CNOT(wires=[wire, wire + 1])
    return qml.probs(wires=range(4))


@pytest.mark.parametrize(
    ("theirs", "names"),
    [
        (strongly_entangling, {"rotation": "rot", "entangler": "cnot_ring"}),
        (mosaiq, {"encoding": "ry+rx", "readout": "x"}),
        (pqwgan, {"rotation": "rot", "entangler": "cnot_chain", "readout": "probabilities"}),
    ],
)
def test_named_choices_are_the_circuits_of_their_papers(theirs, names) -> None:
    circuit = layered(4, 3, **names)
    inputs, weights = angles(circuit, seed=0, samples=1)
    node = qml.QNode(theirs, qml.device("default.qubit", wires=4))
    expected = node(inputs[0, 0], weights[0])
    expected = torch.stack(expected) if isinstance(expected, list | tuple) else expected
    torch.testing.assert_close(
        simulate(circuit, inputs, weights)[0, 0], expected, atol=ATOL, rtol=0
    )


@pytest.mark.parametrize(
    "names",
    [
        {"reupload": True, "readout": "z+x"},
        {"entangler": "cz_ring", "readout": "z+zz", "final_rotation": True},
        {"encoding": "ry+rz", "rotation": "rot", "entangler": "cnot_ring", "reupload": True},
        {"encoding": "ry+rx", "rotation": "rot", "entangler": "cnot_chain", "readout": "x"},
        {"encoding": "ry+rx", "readout": "probabilities", "entangler": "cnot_ring"},
        {"readout": "postselected"},
    ],
)
def test_the_fused_kernel_equals_pennylane(names) -> None:
    circuit = layered(5, 3, **names)
    inputs, weights = angles(circuit, seed=4, samples=3)
    layer = QuantumLayer(circuit, diff_method="fused")
    layer.weight.data = weights.detach().float()
    single = inputs[0].detach().float().requires_grad_()
    ours = layer(single)
    theirs = torch.stack([pennylane(circuit, sample, weights[0]) for sample in inputs[0]])
    torch.testing.assert_close(ours.double(), theirs, atol=FUSED_ATOL, rtol=0)
    direction = torch.linspace(-1, 2, theirs.shape[1], dtype=theirs.dtype)
    mine = torch.autograd.grad((ours * direction.float()).mean(), (single, layer.weight))
    reference = torch.autograd.grad((theirs * direction).mean(), (inputs, weights))
    torch.testing.assert_close(mine[0].double(), reference[0][0], atol=FUSED_ATOL, rtol=0)
    torch.testing.assert_close(mine[1].double(), reference[1], atol=FUSED_ATOL, rtol=0)
