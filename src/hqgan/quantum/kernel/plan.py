"""Which circuits the kernel takes, and the tables that tell it what to do.

The kernel runs layers: a rotation of every qubit, then an entangler that only moves amplitudes and
turns signs. Every `Circuit` can be written so; one that rotates few qubits between its entanglers
would pay for rotations that do nothing, and does not fit.
"""

import hashlib
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hqgan.quantum.circuit import Circuit, Expectations, Probabilities
from hqgan.quantum.schedule import Moment, Rotations, schedule

LANES = 16
"""Samples that are simulated at once: as many float32 as fill a register of AVX-512."""

MAX_QUBITS = 20
X, Y, Z = range(3)
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

LOW_QUBITS = 10  # 2^10 amplitudes of 16 lanes are 128 KiB and stay in the second cache
HIGH_QUBITS = 6  # at a time for the others, each with runs of neighbours long enough to stream


class Program(NamedTuple):
    """What the compiled code reads; N = 2^Q, D layers. Gate g is layer g // Q on qubit g % Q.

    Rotations k of gate g are those from chains[g] to chains[g + 1]: (axis, source, slot). After
    layer l, amplitude x times sign[e, x] goes to target[e, x] with e = entangler[l].
    """

    rotations: NDArray[np.int32]  # (rotations, 3)
    chains: NDArray[np.int32]  # (D Q + 1,)
    entangler: NDArray[np.int32]  # (D,)
    target: NDArray[np.int32]  # (entanglers, N)
    sign: NDArray[np.float32]  # (entanglers, N)
    moves: NDArray[np.bool_]  # (entanglers,) whether any target differs from its x
    groups: NDArray[np.int32]  # (groups, 2) qubits (first, last + 1) rotated in one sweep
    z_words: NDArray[np.int32]  # (words, 2) output, bits of Z in the word
    x_words: NDArray[np.int32]  # (words, 2) output, bits of X in the word
    outcome: NDArray[np.int32]  # (N,) the probability that x adds to; or empty


@dataclass(frozen=True, eq=False)
class Plan:
    """A circuit that fits, with what its execution needs.

    Args:
        circuit: what is run.
        program: tables for the compiled code.
        constants: angles, radians, that follow the P weights in the numbering of slots.
        real: whether amplitudes are real numbers.
    """

    circuit: Circuit
    program: Program
    constants: NDArray[np.float32]
    real: bool

    @property
    def parts(self) -> int:
        """Numbers in an amplitude."""
        return 1 if self.real else 2

    @property
    def layers(self) -> int:
        """Rotations of all qubits, of which the first costs next to nothing."""
        return len(self.program.entangler)

    @property
    def state_size(self) -> int:
        """Numbers in the states of 16 samples."""
        return int(2**self.circuit.qubits) * self.parts * LANES

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
    rotations: list[tuple[int, int, int]] = []
    chains = [0]
    constants: list[float] = []
    for moments, *_ in layers:
        for wire in range(circuit.qubits):
            for axis, source, slot in _chain(moments, wire):
                if source == "constant":
                    rotations.append((axis, FROM_WEIGHT, circuit.weights + len(constants)))
                    constants.append(slot)
                else:
                    from_ = FROM_INPUT if source == "input" else FROM_WEIGHT
                    rotations.append((axis, from_, int(slot)))
            chains.append(len(rotations))
    tables, entangler = _entanglers(layers, circuit.qubits)
    z_words, x_words, outcome = _readout(circuit)
    targets = np.stack([target for target, _ in tables])
    program = Program(
        rotations=np.array(rotations, np.int32).reshape(-1, 3),
        chains=np.array(chains, np.int32),
        entangler=np.array(entangler, np.int32),
        target=targets,
        sign=np.stack([sign for _, sign in tables]),
        moves=(targets != np.arange(targets.shape[1])).any(1),
        groups=np.array(_groups(circuit.qubits), np.int32),
        z_words=z_words,
        x_words=x_words,
        outcome=outcome,
    )
    real = all(axis == Y for axis, *_ in rotations)
    return Plan(circuit, program, np.array(constants, np.float32), real)


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


def _groups(qubits: int) -> list[tuple[int, int]]:
    """Split the wires, last ones first, so that each sweep works within the caches."""
    groups = [(max(0, qubits - LOW_QUBITS), qubits)]
    while (bottom := groups[-1][0]) > 0:
        size = min(bottom, HIGH_QUBITS)
        if HIGH_QUBITS < bottom < 2 * HIGH_QUBITS:
            size = (bottom + 1) // 2
        groups.append((bottom - size, bottom))
    return groups
