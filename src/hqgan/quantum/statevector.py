"""Exact simulation of any `Circuit` in plain batched torch: the reference for every faster path.

Any device, float32 or float64, differentiable as often as wanted. A state is real for as long as
the gates are, and a real gate on a complex state is real arithmetic.

Shapes: C circuits of one shape with weights of their own, B samples, Q qubits, N = 2^Q amplitudes.
Batch comes first at the door and last inside, (C, N, B): a sample is a column, so that one sample's
neighbour in memory is the next sample, and all arithmetic is vectorised over samples. A dimension
C or B of size 1 stands for "the same for all".

Three ideas make it fast:
1. before the first entangler the state is a product of one vector per qubit;
2. neighbouring single-qubit gates are joined to a block (Kronecker product): one matrix product;
3. the steps between two encodings are the same for all samples: where B > N they are applied to the
   N basis states instead, which gives their matrix, and the samples are multiplied by it once.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from hqgan.quantum.circuit import (
    COMPLEX_GATES,
    TWO_QUBIT_GATES,
    Circuit,
    Operation,
    Probabilities,
    Readout,
)
from hqgan.quantum.schedule import Basis, Entangler, Moment, Rotations, Step, schedule

Observe = Callable[[Tensor], Tensor]
"""From probabilities (C, B, N) of the outcomes to what is seen of them."""

Run = Callable[[Circuit, Tensor, Tensor], Tensor]
"""`simulate` or a device: circuit, inputs (C, B, I) and weights (C, P) to (C, B, outputs)."""

BLOCK = 4
"""Most qubits joined to one block: 16 x 16 is where the products stop being limited by memory."""

_HALF = math.sqrt(0.5)
FIXED = {
    "h": [[_HALF, _HALF], [_HALF, -_HALF]],
    "x": [[0, 1], [1, 0]],
    "y": [[0, -1j], [1j, 0]],
    "z": [[1, 0], [0, -1]],
}
GENERATORS = {
    "rx": [[0, -1j], [-1j, 0]],
    "ry": [[0, -1], [1, 0]],
    "rz": [[-1j, 0], [0, 1j]],
}
"""-i P for the rotation about P, which is cos(angle / 2) + sin(angle / 2) (-i P)."""


def state(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """Return the state of `circuit` before any measurement.

    Args:
        circuit: Q qubits, I inputs, P weights.
        inputs: (C or 1, B, I) radians, float32 or float64.
        weights: (C or 1, P) radians, same dtype and device. Nothing is validated here.

    Returns:
        (C, B, 2^Q), real if every gate is real, else complex.
    """
    # Without its read-out, whose change of basis the schedule may join to the circuit's last gates.
    every_outcome = Probabilities(tuple(range(circuit.qubits)))
    run = _Simulation(replace(circuit, readout=every_outcome), inputs, weights)
    with torch.autocast(inputs.device.type, enabled=False):
        return run.batch_first(run.final_state())


def simulate(
    circuit: Circuit, inputs: Tensor, weights: Tensor, observe: Observe | None = None
) -> Tensor:
    """Run `circuit` and return what its read-out asks for.

    Args and dtypes as for `state`; under autocast everything stays in the dtype of the inputs.
    `observe` turns the probabilities of all outcomes, (C, B, 2^Q) for each measurement basis, into
    what is seen of them; see `hqgan.quantum.shots`.

    Returns:
        (C, B, outputs): expectation values in [-1, 1] or probabilities, real.

    Cost:
        Time O(C B 2^Q Q L) for L layers; the backward pass keeps at most `saved_states(circuit)`
        states of the whole batch.
    """
    run = _Simulation(circuit, inputs, weights)
    with torch.autocast(inputs.device.type, enabled=False):
        return run.batch_first(run.outputs(run.final_state(), observe))


def measure(readout: Readout, state: Tensor) -> Tensor:
    """What a read-out asks for of states (C, B, 2^Q), word by word; nothing is regrouped."""
    if isinstance(readout, Probabilities):
        qubits = state.shape[-1].bit_length() - 1
        return conditional(_squared_modulus(state).mT, readout, qubits).mT
    values = []
    for word in readout.observables:
        turned = state
        for wire, letter in enumerate(word):
            if letter != "I":
                turned = apply_gate(turned, Operation(letter.lower(), (wire,)))
        values.append((state.conj() * turned).real.sum(-1))
    return torch.stack(values, -1)


def apply_gate(psi: Tensor, operation: Operation, angle: Tensor | None = None) -> Tensor:
    """One gate on states (..., 2^Q), by itself; nothing is regrouped.

    A rotation turns by `angle` (broadcast against ...), or by the operation's own constant.
    """
    qubits = psi.shape[-1].bit_length() - 1
    first, last = operation.wires[0], operation.wires[-1]
    if operation.gate in TWO_QUBIT_GATES:
        x = torch.arange(psi.shape[-1], device=psi.device)
        both = [x >> (qubits - 1 - wire) & 1 for wire in (first, last)]
        if operation.gate == "cz":
            return psi * (1 - 2 * both[0] * both[1]).to(psi.real.dtype)
        return psi[..., x ^ (both[0] << (qubits - 1 - last))]
    zero, one = psi.unflatten(-1, (2**first, 2, -1)).unbind(-2)  # (..., 2^first, rest)
    if operation.gate in FIXED:
        fixed = np.array(FIXED[operation.gate], dtype=complex)
        matrix = _in_kind(operation.gate, fixed, psi.real.dtype, psi.device)
    else:
        if angle is None:
            angle = torch.tensor(operation.angle, dtype=torch.float64)
        half = angle / 2
        half = half.to(psi.real.dtype).to(psi.device)[..., None, None, None, None]
        generator = _generator(operation.gate, psi.real.dtype, psi.device)
        matrix = half.cos() * _identity(psi.real.dtype, psi.device) + half.sin() * generator
    (a, b), (c, d) = (row.unbind(-1) for row in matrix.unbind(-2))
    return torch.stack([a * zero + b * one, c * zero + d * one], -2).flatten(-3)


def batch_first(run: Run, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """`simulate`, or what is called like it, with the shapes of `QuantumLayer`.

    Inputs (..., I) and weights (1, P) to (..., outputs); inputs (B, C, I), or (B, I) for all
    circuits, and weights (C, P) to (B, C, outputs).
    """
    if weights.shape[0] == 1:
        batch = inputs.shape[:-1]
        values = run(circuit, inputs.reshape(1, batch.numel(), circuit.inputs), weights)
        return values.reshape(*batch, circuit.outputs)
    by_circuit = inputs.unsqueeze(0) if inputs.ndim == 2 else inputs.transpose(0, 1)
    return run(circuit, by_circuit, weights).transpose(0, 1)


def saved_states(circuit: Circuit) -> int:
    """Bound the number of states that the backward pass keeps, each of C B 2^Q amplitudes."""
    plan = schedule(circuit)
    blocks = len(_blocks(circuit.qubits))
    kept = sum(circuit.qubits if _depends_on_inputs(step) else blocks for step in plan.steps)
    return 4 + kept + (blocks + 1) * len(plan.bases)


class _Simulation:
    """One run of a schedule; the columns of a state (C, N, B) are samples."""

    def __init__(self, circuit: Circuit, inputs: Tensor, weights: Tensor):
        self.circuit = circuit
        self.plan = schedule(circuit)
        self.angles = {"input": inputs.mT, "weight": weights.unsqueeze(-1)}  # (C, slots, B or 1)
        self.circuits = max(inputs.shape[0], weights.shape[0])
        self.samples = inputs.shape[1]
        self.dtype = inputs.dtype
        self.device = inputs.device

    def batch_first(self, columns: Tensor) -> Tensor:
        """(C or 1, n, B or 1) to (C, B, n)."""
        return columns.mT.expand(self.circuits, self.samples, -1)

    def outputs(self, final: Tensor, observe: Observe | None) -> Tensor:
        """(C, outputs, B), where 1 stands for the same value in all C or B."""

        def seen(psi: Tensor) -> Tensor:
            probabilities = _squared_modulus(psi)
            if observe is None:
                return probabilities
            return observe(self.batch_first(probabilities)).mT

        readout = self.circuit.readout
        if isinstance(readout, Probabilities):
            return conditional(seen(final), readout, self.circuit.qubits)
        values = []
        for basis in self.plan.bases:
            turned = final if basis.change is None else self.rotate(final, basis.change)
            parities = _parities(basis, self.dtype, self.device)
            values.append(parities @ seen(turned))
        if len(values) == 1:
            return values[0]
        words = [word for basis in self.plan.bases for word in basis.words]
        return torch.cat(values, dim=1)[:, np.argsort(words).tolist()]

    def final_state(self) -> Tensor:
        psi = self.product_state()
        amplitudes = psi.shape[1]
        for depends, run in groupby(self.plan.steps, key=_depends_on_inputs):
            steps = list(run)
            rotates = any(isinstance(step, Rotations) for step in steps)
            if rotates and not depends and psi.shape[2] > amplitudes:
                basis_states = torch.eye(amplitudes, dtype=self.dtype, device=self.device)
                psi = _multiply(self.evolve(basis_states.unsqueeze(0), steps), psi)
            else:
                psi = self.evolve(psi, steps)
        return psi

    def product_state(self) -> Tensor:
        """(C, N, B) after the single-qubit gates that come before any entangler."""
        vectors = _identity(self.dtype, self.device)[0].reshape(2, 1, 1, 1)  # |0>: (2, C, Q, B)
        vectors = vectors.expand(-1, -1, self.circuit.qubits, -1)
        for moment in self.plan.start:
            vectors = (self.gates(moment) * vectors).sum(1)
        first, *others = reversed(vectors.movedim(0, 2).unbind(1))  # of each qubit (C, 2, B)
        psi = first  # the last qubit; the others come in front, so that inner dimensions are long
        for vector in others:
            psi = (vector.unsqueeze(2) * psi.unsqueeze(1)).flatten(1, 2)
        return psi

    def evolve(self, psi: Tensor, steps: list[Step]) -> Tensor:
        """Apply steps to any columns (C, N, columns)."""
        for step in steps:
            if isinstance(step, Rotations):
                psi = self.rotate(psi, step)
            else:
                psi = self.entangle(psi, step)
        return psi

    def rotate(self, psi: Tensor, step: Rotations) -> Tensor:
        gates = self.gates(step.moments[0])
        for moment in step.moments[1:]:
            gates = (self.gates(moment).unsqueeze(2) * gates).sum(1)
        if step.from_inputs:
            wires = {wire for moment in step.moments for wire in moment.wires}
            return _rotate_each(psi, gates, sorted(wires))
        return _rotate_all(psi, gates.movedim((0, 1), (-2, -1)).squeeze(2))

    def entangle(self, psi: Tensor, step: Entangler) -> Tensor:
        source, signs = _permutation(step, self.dtype, self.device)
        if source is not None:
            psi = psi.index_select(1, source)
        return psi if signs is None else psi * signs

    def gates(self, moment: Moment) -> Tensor:
        """(2, 2, C, Q, B or 1): the moment's gate on each of its wires, the identity elsewhere."""
        qubits = self.circuit.qubits
        if moment.source == "constant":
            return _constant_gates(moment, qubits, self.dtype, self.device)
        half = 0.5 * self.angles[moment.source][:, _as_slice(moment.angles)]
        if len(moment.wires) < qubits:
            wires = torch.tensor(moment.wires, device=self.device)
            elsewhere = half.new_zeros(half.shape[0], qubits, half.shape[2])
            half = elsewhere.index_copy(1, wires, half)
        identity = _identity(self.dtype, self.device)[..., None, None, None]
        generator = _generator(moment.gate, self.dtype, self.device)[..., None, None, None]
        return half.cos() * identity + half.sin() * generator


def _depends_on_inputs(step: Step) -> bool:
    return isinstance(step, Rotations) and step.from_inputs


def _rotate_each(psi: Tensor, gates: Tensor, wires: list[int]) -> Tensor:
    """Apply gates (2, 2, C, Q, B) that differ between samples, wire by wire."""
    for wire in wires:
        zero, one = psi.unflatten(1, (2**wire, 2, -1)).unbind(2)  # (C, 2^wire, rest, B)
        (a, b), (c, d) = gates[:, :, :, wire, None, None]
        halves = torch.addcmul(a * zero, b, one), torch.addcmul(c * zero, d, one)
        psi = torch.stack(halves, dim=2).flatten(1, 3)
    return psi


def _rotate_all(psi: Tensor, gates: Tensor) -> Tensor:
    """Apply gates (C, Q, 2, 2) that all columns share, block by block."""
    amplitudes, columns = psi.shape[1:]
    for wires in _blocks(gates.shape[1]):
        block = reduce(_kron, gates[:, wires.start : wires.stop].unbind(1))
        before, size = 2**wires.start, 2 ** len(wires)
        after = amplitudes // (before * size)
        rows = psi.reshape(psi.shape[0], before, size, after * columns)
        psi = _multiply(block.unsqueeze(1), rows).unflatten(-1, (after, columns)).flatten(1, 3)
    return psi


def _multiply(matrix: Tensor, columns: Tensor) -> Tensor:
    """matrix @ columns; to a real matrix, real and imaginary parts are columns of their own."""
    if matrix.is_complex() or not columns.is_complex():
        return matrix @ columns.to(matrix.dtype)
    parts = torch.view_as_real(columns).flatten(-2)
    return torch.view_as_complex((matrix @ parts).unflatten(-1, (columns.shape[-1], 2)))


def _kron(left: Tensor, right: Tensor) -> Tensor:
    """Kronecker product over the last two dimensions, for each C."""
    product = left[..., :, None, :, None] * right[..., None, :, None, :]
    return product.flatten(-4, -3).flatten(-2, -1)


def _blocks(qubits: int) -> list[range]:
    """Split the wires into the fewest blocks of at most `BLOCK` neighbours, of like size."""
    count = math.ceil(qubits / BLOCK)
    edges = [qubits * i // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]


def _as_slice(slots: Sequence[float]) -> slice | list[int]:
    """Evenly spaced slots (the rule in layered circuits) as a slice: its backward pass is cheap."""
    numbers = [int(slot) for slot in slots]
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    even = step > 0 and numbers == list(range(numbers[0], numbers[-1] + 1, step))
    return slice(numbers[0], numbers[-1] + 1, step) if even else numbers


def _squared_modulus(psi: Tensor) -> Tensor:
    return torch.view_as_real(psi).square().sum(-1) if psi.is_complex() else psi.square()


def conditional(probabilities: Tensor, readout: Probabilities, qubits: int) -> Tensor:
    """(C, N, B) of all outcomes to those of the read-out's wires, given that its ancillas are 0."""
    joint = probabilities.unflatten(1, (2,) * qubits)
    for wire in reversed(range(qubits)):
        if wire in readout.ancillas:
            joint = joint.select(1 + wire, 0)
        elif wire not in readout.wires:
            joint = joint.sum(1 + wire)
    kept = joint.flatten(1, -2)
    if not readout.ancillas:
        return kept
    # Where the ancillas are never 0 there is nothing to condition on: zeros, not NaN, in training.
    return kept / kept.sum(1, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)


# Constants, made once per device and dtype; outside inference mode, for a tensor made inside it
# could not be used in a later training step.


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _identity(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.eye(2, dtype=dtype, device=device)


def _in_kind(gate: str, array: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The complex array as a tensor of the real `dtype`, or of its complex kind if the gate is."""
    if gate in COMPLEX_GATES:
        return torch.tensor(array, dtype=dtype.to_complex(), device=device)
    return torch.tensor(array.real, dtype=dtype, device=device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _generator(gate: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    return _in_kind(gate, np.array(GENERATORS[gate], dtype=complex), dtype, device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _constant_gates(
    moment: Moment, qubits: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """(2, 2, 1, Q, 1), as `_Simulation.gates`."""
    gates = np.stack([np.eye(2, dtype=complex)] * qubits, axis=-1)
    for wire, angle in zip(moment.wires, moment.angles, strict=True):
        if moment.gate in FIXED:
            gates[..., wire] = FIXED[moment.gate]
        else:
            turn = math.sin(angle / 2) * np.array(GENERATORS[moment.gate])
            gates[..., wire] = math.cos(angle / 2) * np.eye(2) + turn
    return _in_kind(moment.gate, gates[:, :, None, :, None], dtype, device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _permutation(
    step: Entangler, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    source = None if step.source is None else torch.from_numpy(step.source).to(device)
    if step.signs is None:
        return source, None
    return source, torch.from_numpy(step.signs).to(device, dtype).unsqueeze(-1)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _parities(basis: Basis, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(basis.parities).to(device, dtype)
