"""The peers of `vqc.py`, each set up as its own documentation advises for a batch.

A peer takes a workload and its angles, and returns a function that gives the gradients of
sum(direction * outputs) by the inputs (B, Q) and by the weights (C, L, Q, gates).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Run = Callable[[], tuple[Any, Any]]


@dataclass(frozen=True)
class Workload:
    """Layered circuits: `kept` > 0 reads the probabilities of that many qubits, 0 all <Z>."""

    qubits: int
    layers: int
    batch: int
    reupload: bool = False
    real: bool = False
    circuits: int = 1
    kept: int = 0


def gates(work: Workload) -> Iterator[tuple[str, int, tuple[Any, ...]]]:
    """Gate, wire and the name of its angle, in time order: `x i` an input, `w l i k` a weight."""
    for layer in range(work.layers):
        if layer == 0 or work.reupload:
            for wire in range(work.qubits):
                yield "ry", wire, ("x", wire)
                if not work.real:
                    yield "rz", wire, ("x", wire)
        for wire in range(work.qubits):
            for k, gate in enumerate(("ry",) if work.real else ("rz", "ry", "rz")):
                yield gate, wire, ("w", layer, wire, k)
        for wire in range(work.qubits - 1) if work.real else range(work.qubits):
            yield ("cz" if work.real else "cnot"), wire, ()


def pennylane_circuit(work: Workload) -> Callable[[Any, Any], Any]:
    """The workload as a PennyLane quantum function of inputs (..., Q) and weights (L, Q, gates)."""
    import pennylane as qml

    wires = range(work.qubits)

    def circuit(inputs: Any, weights: Any) -> Any:
        for layer in range(work.layers):
            for wire in wires if layer == 0 or work.reupload else ():
                qml.RY(inputs[..., wire], wires=wire)
                if not work.real:
                    qml.RZ(inputs[..., wire], wires=wire)
            for wire in wires:
                if work.real:
                    qml.RY(weights[layer, wire, 0], wires=wire)
                else:
                    qml.Rot(*(weights[layer, wire, i] for i in range(3)), wires=wire)
            for wire in range(work.qubits - 1) if work.real else wires:
                (qml.CZ if work.real else qml.CNOT)(wires=[wire, (wire + 1) % work.qubits])
        if work.kept:
            return qml.probs(wires=range(work.kept))
        return [qml.expval(qml.PauliZ(wire)) for wire in wires]

    return circuit


def _torch_run(
    work: Workload, inputs: Any, weights: Any, direction: Any, outputs: Callable[[Any, Any], Any]
) -> Run:
    """Differentiate `outputs` (inputs (B, Q), weights of one circuit) -> (B, outputs) by torch."""
    angles = torch.tensor(inputs, requires_grad=True)
    learned = torch.tensor(weights, requires_grad=True)
    towards = torch.tensor(direction)

    def run() -> tuple[Any, Any]:
        values = [outputs(angles, learned[c]) for c in range(work.circuits)]
        gradients = [towards.expand_as(value) for value in values]
        return torch.autograd.grad(values, (angles, learned), gradients)

    return run


def default_qubit(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
    """PennyLane's default.qubit, parameter broadcasting, backprop through torch."""
    import pennylane as qml

    device = qml.device("default.qubit", wires=work.qubits)
    node = qml.QNode(pennylane_circuit(work), device, interface="torch", diff_method="backprop")

    def outputs(angles: Any, learned: Any) -> Any:
        values = node(angles, learned)
        return values.float() if work.kept else torch.stack(values, -1).float()

    return _torch_run(work, inputs, weights, direction, outputs)


def lightning(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
    """PennyLane's lightning.qubit with its adjoint gradient, one call for each sample."""
    import pennylane as qml

    if work.kept:
        raise NotImplementedError("its adjoint gradient knows no probabilities")
    device = qml.device("lightning.qubit", wires=work.qubits, c_dtype=np.complex64)
    node = qml.QNode(pennylane_circuit(work), device, interface="torch", diff_method="adjoint")

    def outputs(angles: Any, learned: Any) -> Any:
        return torch.stack([torch.stack(node(sample, learned)) for sample in angles]).float()

    return _torch_run(work, inputs, weights, direction, outputs)


def _jax_run(inputs: Any, weights: Any, direction: Any, one: Callable[[Any, Any], Any]) -> Run:
    """Jit the gradient of `one` (a sample (Q,), weights of one circuit), mapped over all."""
    import jax
    import jax.numpy as jnp

    batch = jax.vmap(one, (0, None))
    many = jax.vmap(batch, (None, 0))
    towards = jnp.asarray(direction)
    gradient = jax.jit(jax.grad(lambda x, w: (many(x, w) * towards).sum(), (0, 1)))
    angles, learned = jnp.asarray(inputs), jnp.asarray(weights)

    def run() -> tuple[Any, Any]:
        result: tuple[Any, Any] = jax.block_until_ready(gradient(angles, learned))
        return result

    return run


def pennylane_jax(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
    """PennyLane's default.qubit under jax.jit and jax.vmap."""
    import jax.numpy as jnp
    import pennylane as qml

    device = qml.device("default.qubit", wires=work.qubits)
    node = qml.QNode(pennylane_circuit(work), device, interface="jax", diff_method="backprop")

    def one(sample: Any, learned: Any) -> Any:
        values = node(sample, learned)
        return values if work.kept else jnp.stack(values)

    return _jax_run(inputs, weights, direction, one)


def tensorcircuit_jax(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
    """TensorCircuit-NG's state under jax.jit and jax.vmap, read out by signs."""
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex64")
    n = work.qubits
    bits = np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1) & 1
    signs = jnp.asarray(1 - 2 * bits, jnp.float32)

    def one(sample: Any, learned: Any) -> Any:
        circuit = tc.Circuit(n)
        for gate, wire, angle in gates(work):
            if angle:
                source = sample if angle[0] == "x" else learned
                getattr(circuit, gate)(wire, theta=source[angle[1:]])
            else:
                getattr(circuit, gate)(wire, (wire + 1) % n)
        probabilities = jnp.abs(circuit.state()) ** 2
        if work.kept:
            return probabilities.reshape(2**work.kept, -1).sum(-1)
        return probabilities @ signs

    return _jax_run(inputs, weights, direction, one)


def read_state(work: Workload, state: torch.Tensor) -> torch.Tensor:
    """<Z> or probabilities of states (B, 2^Q): one product, faster than an observable each."""
    probabilities = state.abs().square()
    if work.kept:
        return probabilities.unflatten(1, (2**work.kept, -1)).sum(-1)
    x = torch.arange(2**work.qubits)[:, None]
    bits = x >> torch.arange(work.qubits - 1, -1, -1) & 1
    return probabilities @ (1 - 2 * bits).to(probabilities.dtype)


def pyqtorch(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
    """Pasqal's pyqtorch: the state of a batch, angles by name."""
    import pyqtorch as pyq

    kinds = {"ry": pyq.RY, "rz": pyq.RZ}
    operations = []
    for gate, wire, angle in gates(work):
        if angle:
            operations.append(kinds[gate](wire, " ".join(map(str, angle))))
        else:
            kind = pyq.CZ if gate == "cz" else pyq.CNOT
            operations.append(kind(wire, (wire + 1) % work.qubits))
    circuit = pyq.QuantumCircuit(work.qubits, operations).to(torch.complex64)
    start = pyq.zero_state(work.qubits, batch_size=work.batch, dtype=torch.complex64)

    def outputs(angles: Any, learned: Any) -> Any:
        values = {
            " ".join(map(str, name)): angles[:, name[1]] if name[0] == "x" else learned[name[1:]]
            for _, _, name in gates(work)
            if name
        }
        state = circuit.run(start, values)  # (2, ..., 2, B)
        return read_state(work, state.flatten(0, -2).mT)

    return _torch_run(work, inputs, weights, direction, outputs)


def deepquantum(work: Workload, inputs: Any, weights: Any, direction: Any) -> Run:
    """DeepQuantum: a batch of encoded data; weights are data too, the same for each sample."""
    import deepquantum as dq

    circuit = dq.QubitCircuit(work.qubits)
    for gate, wire, angle in gates(work):
        if angle:
            getattr(circuit, gate)(wire, encode=True)
        else:
            getattr(circuit, gate)(wire, (wire + 1) % work.qubits)

    def outputs(angles: Any, learned: Any) -> Any:
        columns = [
            angles[:, name[1]] if name[0] == "x" else learned[name[1:]].expand(work.batch)
            for _, _, name in gates(work)
            if name
        ]
        return read_state(work, circuit(data=torch.stack(columns, -1)).flatten(1))

    return _torch_run(work, inputs, weights, direction, outputs)


MOST_QUBITS = {"pennylane-jax": 10, "tensorcircuit-jax": 8}
"""Beyond these XLA had not compiled the gradient within several minutes."""

PEERS: dict[str, Callable[[Workload, Any, Any, Any], Run]] = {
    "pennylane-jax": pennylane_jax,
    "tensorcircuit-jax": tensorcircuit_jax,
    "pennylane-default.qubit": default_qubit,
    "pennylane-lightning": lightning,
    "pyqtorch": pyqtorch,
    "deepquantum": deepquantum,
}
