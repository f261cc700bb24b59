"""Which circuits the kernel takes, and the tables that tell it what to do.

The kernel runs layers: a rotation of every qubit, then an entangler that only moves amplitudes and
turns signs. Every `Circuit` can be written so; one that rotates few qubits between its entanglers
would pay for rotations that do nothing, and does not fit.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hqgan.quantum.circuit import Circuit, Expectations, Probabilities
from hqgan.quantum.schedule import Moment, Rotations, schedule

WIDE, NARROW, NARROWEST = 16, 4, 2
"""Samples that are simulated at once: as many float32 as fill a register of AVX-512, or of SSE, or
half of that."""

MAX_QUBITS = 20
X, Y, Z = range(3)
BEFORE, AFTER = X, Z  # parts of a chain RZ ... RY ... RZ ... beside its Y, where X has no place
FROM_WEIGHT, FROM_INPUT = range(2)

# Every gate of one wire as rotations in time order, up to a phase: None is the gate's own angle.
_AS_ROTATIONS: dict[str, tuple[tuple[int, float | None], ...]] = {
    "rx": ((X, None),),
    "ry": ((Y, None),),
    "rz": ((Z, None),),
    "x": ((X, math.pi),),
    "y": ((Y, math.pi),),
    "z": ((Z, math.pi),),
    "h": ((Y, math.pi / 2), (X, math.pi)),
}

LOW_BITS = 14  # of the numbers of one part in a sweep: 64 KiB, which stay in the second cache
HIGH_QUBITS = 4  # rotated together beyond: more rows, at distances of powers of two, crowd a cache


class Program(NamedTuple):
    """What the compiled code reads; N = 2^Q, D layers. Gate g is layer g // Q on qubit g % Q.

    Rotations k of gate g are those from chains[g] to chains[g + 1]: (axis, source, slot), in real
    gates (part, source, slot). After layer l, amplitude x times sign[e, x] goes to target[e, x],
    with e = entangler[l].
    """

    qubits: int
    inputs: int
    weights: int
    outputs: int
    constants: NDArray[np.float32]  # radians; they follow the weights in the numbering of slots
    rotations: NDArray[np.int32]  # (rotations, 3) in time order
    chains: NDArray[np.int32]  # (D Q + 1,)
    entangler: NDArray[np.int32]  # (D,)
    target: NDArray[np.int32]  # (entanglers, N)
    sign: NDArray[np.float32]  # (entanglers, N)
    moves: NDArray[np.int32]  # (entanglers,) whether any target differs from its x
    phased: NDArray[np.int32]  # (D,) whether RZs taken out of gates are around that entangler
    groups: NDArray[np.int32]  # (groups, 2) qubits (first, last + 1) of each sweep; `program_for`
    z_words: NDArray[np.int32]  # (words, 2) output, bits of Z in the word
    butterflies: NDArray[np.int32]  # (steps, 2) start and half length, to the words of Z
    x_words: NDArray[np.int32]  # (words, 2) output, bits of X in the word
    outcome: NDArray[np.int32]  # (N,) the probability that x adds to; or empty


def addresses(program: Program) -> NDArray[np.int64]:
    """The program as one list of numbers, which compiled code reads back (`tables.program_at`).

    Numbers stand for themselves, arrays for their address and shape. To hand compiled code 15
    arrays takes longer than to simulate 4 qubits.
    """
    numbers: list[int] = []
    for part in program:
        if isinstance(part, int):
            numbers.append(part)
        else:
            numbers += [part.ctypes.data, part.shape[0], part.shape[1] if part.ndim == 2 else 1]
    return np.array(numbers, np.int64)


class Batch(NamedTuple):
    """What is run, in numbers that compiled code can take; addresses are of contiguous float32."""

    samples: int  # B
    circuits: int  # C
    input_circuits: int  # C, or 1 where all circuits have the same inputs
    inputs: int  # address of (B, C or 1, I), radians
    weights: int  # address of (C, P), radians


Shape = tuple[tuple[tuple[()], ...], ...]


def shape(parts: int, lanes: int) -> Shape:
    """A stand-in for an amplitude of `parts` numbers in `lanes`: only its lengths mean something.

    Compiled code knows the lengths of tuples when it is compiled, and empty tuples are nothing.
    """
    return (((),) * lanes,) * parts


@dataclass(frozen=True, eq=False)
class Plan:
    """A circuit that fits, with what its execution needs.

    Args:
        circuit: what is run.
        program: tables for the compiled code.
        real: whether amplitudes are real numbers.
        real_gates: whether the gates after the first layer are, RZs apart.
    """

    circuit: Circuit
    program: Program
    real: bool
    real_gates: bool

    def program_for(self, lanes: int) -> Program:
        """The program with its sweeps, whose sizes depend on those of amplitudes."""
        groups = np.array(_groups(self.circuit.qubits, lanes), np.int32)
        return self.program._replace(groups=groups)

    @property
    def layers(self) -> int:
        """Rotations of all qubits, of which the first costs next to nothing."""
        return len(self.program.entangler)

    def like(self, lanes: int) -> Shape:
        """What an amplitude is."""
        return shape(1 if self.real else 2, lanes)

    def gate_like(self, lanes: int) -> Shape:
        """What a and b of a gate after the first layer are."""
        return shape(1 if self.real_gates else 2, lanes)

    def wide(self, lanes: int) -> Shape:
        """What real gates may take at once: several short amplitudes, their parts side by side."""
        return shape(1, WIDE) if self.real_gates and lanes < WIDE else self.like(lanes)

    def state_size(self, lanes: int) -> int:
        """Numbers in the states of so many samples."""
        return int(2**self.circuit.qubits) * len(self.like(lanes)) * lanes

    @cached_property
    def key(self) -> int:
        """A number that stands for the circuit in every process (63 bits of a hash)."""
        text = json.dumps(self.circuit.to_dict()).encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1


def misfit(circuit: Circuit) -> str | None:
    """Say why the kernel does not take `circuit`; None if it does."""
    if circuit.qubits > MAX_QUBITS:
        return f"it has {circuit.qubits} qubits, and the kernel takes up to {MAX_QUBITS}"
    if isinstance(circuit.readout, Expectations):
        for word in circuit.readout.observables:
            if len(set(word) - {"I"}) > 1 or "Y" in word:
                return f"its read-out {word} is not a product of Z alone or of X alone"
    layers = _layers(circuit)[1:]
    wires = sum(
        len({wire for moment in moments for wire in moment.wires}) for moments, *_ in layers
    )
    if 2 * wires < circuit.qubits * len(layers):
        return (
            f"between its entanglers only {wires} of {circuit.qubits * len(layers)} qubits "
            "are rotated; the kernel rotates all of them"
        )
    return None


@lru_cache(maxsize=256)
def plan(circuit: Circuit) -> Plan:
    """Write the tables for a circuit without `misfit` and without post-selection."""
    layers = _layers(circuit)
    z_words, x_words, outcome = _readout(circuit)
    gates = [_chain(moments, wire) for moments, *_ in layers for wire in range(circuit.qubits)]
    if not len(x_words):
        for gate in gates[-circuit.qubits :]:  # last phases change no probability
            while gate and gate[-1][0] == Z:
                gate.pop()
    real = all(axis == Y for gate in gates for axis, *_ in gate)
    parts = [_parts(gate) for gate in gates[circuit.qubits :]]
    real_gates = None not in parts
    rotations: list[tuple[int, int, int]] = []
    chains = [0]
    constants: list[float] = []
    for number, gate in enumerate(gates):
        inner = parts[number - circuit.qubits] if number >= circuit.qubits else None
        kinds = inner if real_gates and inner is not None else [axis for axis, *_ in gate]
        for kind, (_, source, slot) in zip(kinds, gate, strict=True):
            if source == "constant":
                rotations.append((kind, FROM_WEIGHT, circuit.weights + len(constants)))
                constants.append(slot)
            else:
                from_ = FROM_INPUT if source == "input" else FROM_WEIGHT
                rotations.append((kind, from_, int(slot)))
        chains.append(len(rotations))
    tables, entangler = _entanglers(layers, circuit.qubits)
    targets = np.stack([target for target, _ in tables])
    steps = list(_butterflies({int(bits) for _, bits in z_words}, 0, targets.shape[1]))
    program = Program(
        qubits=circuit.qubits,
        inputs=circuit.inputs,
        weights=circuit.weights,
        outputs=circuit.outputs,
        constants=np.array(constants, np.float32),
        rotations=np.array(rotations, np.int32).reshape(-1, 3),
        chains=np.array(chains, np.int32),
        entangler=np.array(entangler, np.int32),
        target=targets,
        sign=np.stack([sign for _, sign in tables]),
        moves=(targets != np.arange(targets.shape[1])).any(1).astype(np.int32),
        phased=_phased(parts, circuit.qubits),
        groups=np.empty((0, 2), np.int32),
        z_words=z_words,
        butterflies=np.array(steps, np.int32).reshape(-1, 2),
        x_words=x_words,
        outcome=outcome,
    )
    return Plan(circuit, program, real, real_gates)


_Table = tuple[NDArray[np.int32], NDArray[np.float32]]
_Layer = tuple[list[Moment], NDArray[np.int64] | None, NDArray[np.int8] | None]


def _layers(circuit: Circuit) -> list[_Layer]:
    """Moments, then the entangler's source and signs, for each layer."""
    # Without its read-out, whose change of basis the schedule may join to the last gates.
    everything = Probabilities(tuple(range(circuit.qubits)))
    steps = schedule(replace(circuit, readout=everything))
    layers: list[_Layer] = []
    moments = list(steps.start)
    for step in steps.steps:
        if isinstance(step, Rotations):
            moments += step.moments
        else:
            layers.append((moments, step.source, step.signs))
            moments = []
    if moments or not layers:
        layers.append((moments, None, None))
    return layers


def _chain(moments: list[Moment], wire: int) -> list[tuple[int, str, float]]:
    """Axis, source and slot (or radians) of one wire's rotations in time order."""
    chain: list[tuple[int, str, float]] = []
    for moment in moments:
        if wire not in moment.wires:
            continue
        own = moment.angles[moment.wires.index(wire)]
        for axis, fixed in _AS_ROTATIONS[moment.gate]:
            if fixed is None:
                chain.append((axis, moment.source, own))
            else:
                chain.append((axis, "constant", fixed))
    return chain


def _parts(chain: list[tuple[int, str, float]]) -> list[int] | None:
    """`BEFORE`, `Y` or `AFTER` for each rotation; None if the chain is more than RZ ... RY ... RZ.

    An RZ by an input is none of these: its phases would differ between samples.
    """
    parts: list[int] = []
    for axis, source, _ in chain:
        if axis == Z and source != "input":
            parts.append(AFTER if Y in parts else BEFORE)
        elif axis == Y and AFTER not in parts:
            parts.append(Y)
        else:
            return None
    return parts


def _phased(parts: list[list[int] | None], qubits: int) -> NDArray[np.int32]:
    """For each layer: are there RZs after its RYs, or before those of the next layer?"""
    layers = len(parts) // qubits
    phased = np.zeros(layers + 1, np.int32)
    for number, part in enumerate(parts):
        layer = 1 + number // qubits
        phased[layer] |= AFTER in (part or ())
        phased[layer - 1] |= BEFORE in (part or ())
    return phased


def _butterflies(words: set[int], start: int, size: int) -> Iterator[tuple[int, int]]:
    """Steps of the Walsh transform that lead to words, from `start` on, in an order that works."""
    if words and size > 1:
        half = size // 2
        yield start, half
        yield from _butterflies({word for word in words if not word & half}, start, half)
        yield from _butterflies({word for word in words if word & half}, start + half, half)


def _entanglers(layers: list[_Layer], qubits: int) -> tuple[list[_Table], list[int]]:
    """The different entanglers, and which of them each layer has."""
    tables: list[_Table] = []
    numbers: dict[bytes, int] = {}
    entangler = []
    for _, source, signs in layers:
        x = np.arange(2**qubits, dtype=np.int32)
        target, sign = x.copy(), np.ones(2**qubits, np.float32)
        if source is not None:
            target[source] = x
        if signs is not None:
            sign = signs[target].astype(np.float32)
        kind = hashlib.sha256(target.tobytes() + sign.tobytes()).digest()
        if kind not in numbers:
            numbers[kind] = len(tables)
            tables.append((target, sign))
        entangler.append(numbers[kind])
    return tables, entangler


def _readout(circuit: Circuit) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Words of Z, words of X, and the outcome of each basis state, as in `Program`."""
    readout, qubits = circuit.readout, circuit.qubits
    words: dict[str, list[tuple[int, int]]] = {"Z": [], "X": []}
    outcome = np.empty(0, np.int32)
    if isinstance(readout, Expectations):
        for position, word in enumerate(readout.observables):
            (letter,) = set(word) - {"I"}
            bits = sum(1 << (qubits - 1 - wire) for wire in range(qubits) if word[wire] != "I")
            words[letter].append((position, bits))
    else:
        x = np.arange(2**qubits)
        outcome = np.zeros(2**qubits, np.int32)
        for wire in readout.wires:
            outcome = 2 * outcome + (x >> (qubits - 1 - wire) & 1).astype(np.int32)
    z_words, x_words = (np.array(words[letter], np.int32).reshape(-1, 2) for letter in "ZX")
    return z_words, x_words, outcome


def _groups(qubits: int, lanes: int) -> list[tuple[int, int]]:
    """Split the wires, last ones first, so that each sweep works within the caches."""
    low = LOW_BITS + 1 - lanes.bit_length()
    groups = [(max(0, qubits - low), qubits)]
    while (bottom := groups[-1][0]) > 0:
        size = min(bottom, HIGH_QUBITS)
        if HIGH_QUBITS < bottom < 2 * HIGH_QUBITS:
            size = (bottom + 1) // 2
        groups.append((bottom - size, bottom))
    return groups
