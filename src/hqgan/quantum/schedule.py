"""A circuit regrouped for simulation: a product state, then rotations and entanglers by turns.

    |0...0>  --start-->  product state  --steps-->  state  --bases-->  outcome probabilities

A gate list is slow to run one by one: most gates act on different wires and can be done at once.
The schedule says which. It holds no tensors and no device, so that every simulator (plain torch,
the fused kernel) reads the same one; it is made once per circuit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hqgan.quantum.circuit import Circuit, Expectations, Operation, Slot

Source = Literal["input", "weight", "constant"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The same single-qubit gate on several wires at once, with angles from one source.

    Args:
        gate: name of the gate.
        source: where the angles come from; "constant" also for gates without an angle.
        wires: ascending qubit numbers.
        angles: one per wire: slot numbers, or radians if the source is "constant" (0 for a gate
            that takes no angle).
    """

    gate: str
    source: Source
    wires: tuple[int, ...]
    angles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rotations:
    """Consecutive moments, in time order, that either all depend on inputs or all do not."""

    moments: tuple[Moment, ...]
    from_inputs: bool


@dataclass(frozen=True, eq=False, slots=True)
class Entangler:
    """A run of CZ and CNOT gates as one signed permutation: new[x] = signs[x] * old[source[x]].

    Args:
        source: (2^Q,) indices, or None if nothing moves (CZ gates only).
        signs: (2^Q,) of +1 and -1, or None if no sign changes (CNOT gates only).
    """

    source: NDArray[np.int64] | None
    signs: NDArray[np.int8] | None


Step = Rotations | Entangler


@dataclass(frozen=True, eq=False, slots=True)
class Basis:
    """Pauli words that are measured together.

    Args:
        change: rotations into this measurement basis, or None for the Z basis.
        parities: (words, 2^Q) of +1 and -1, the value of each word for each outcome.
        words: positions of these words among the outputs.
    """

    change: Rotations | None
    parities: NDArray[np.int8]
    words: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Schedule:
    """What to simulate, in order; `bases` is empty where probabilities are read out."""

    start: tuple[Moment, ...]
    steps: tuple[Step, ...]
    bases: tuple[Basis, ...]


@lru_cache(maxsize=256)
def schedule(circuit: Circuit) -> Schedule:
    """Regroup `circuit`: same state, fewer and larger steps.

    Cost: memory of a few real vectors of length 2^Q, and one per expectation value.
    """
    operations = list(circuit.operations)
    bases: list[Basis] = []
    if isinstance(circuit.readout, Expectations):
        groups = measurement_bases(circuit.readout.observables)
        changes = [basis_change(letters) for letters in groups]
        if len(changes) == 1:  # a single basis: its change is simulated with the gates before it
            operations += changes[0]
            changes = [[]]
        for change, words in zip(changes, groups.values(), strict=True):
            parities = [_parity(circuit.readout.observables[word]) for word in words]
            rotations = Rotations(tuple(_moments(change)), from_inputs=False) if change else None
            bases.append(Basis(rotations, np.stack(parities), tuple(words)))

    entangling = (place for place, operation in enumerate(operations) if len(operation.wires) == 2)
    first = next(entangling, len(operations))
    start = tuple(_moments(operations[:first]))
    return Schedule(start, tuple(_steps(operations[first:], circuit.qubits)), tuple(bases))


def _steps(operations: list[Operation], qubits: int) -> list[Step]:
    steps: list[Step] = []
    for two_qubit, run in groupby(operations, key=lambda operation: len(operation.wires) == 2):
        if two_qubit:
            steps.append(_entangler(list(run), qubits))
            continue
        for from_inputs, group in groupby(
            _moments(run), key=lambda moment: moment.source == "input"
        ):
            steps.append(Rotations(tuple(group), from_inputs))
    return steps


def _moments(operations: Iterable[Operation]) -> list[Moment]:
    """Gather single-qubit gates into moments: each joins the first one of its kind that it can."""
    keys: list[tuple[str, Source]] = []
    members: list[dict[int, float]] = []  # wire -> slot number or radians
    free_from: dict[int, int] = {}  # wire -> first moment after its latest gate
    for operation in operations:
        (wire,) = operation.wires
        angle = operation.angle
        key: tuple[str, Source] = (operation.gate, "constant")
        value: float = 0.0
        if isinstance(angle, Slot):
            key, value = (operation.gate, angle.source), angle.index
        elif angle is not None:
            value = angle
        place = free_from.get(wire, 0)
        while place < len(keys) and keys[place] != key:
            place += 1
        if place == len(keys):
            keys.append(key)
            members.append({})
        members[place][wire] = value
        free_from[wire] = place + 1
    return [
        Moment(gate, source, tuple(sorted(angles)), tuple(angles[wire] for wire in sorted(angles)))
        for (gate, source), angles in zip(keys, members, strict=True)
    ]


def _bit(wire: int, qubits: int) -> NDArray[np.int64]:
    """The value of qubit `wire` in each basis state; qubit 0 is the most significant bit."""
    return np.arange(2**qubits) >> (qubits - 1 - wire) & 1


def _entangler(operations: list[Operation], qubits: int) -> Entangler:
    source = np.arange(2**qubits)
    signs = np.ones(2**qubits, dtype=np.int8)
    for operation in operations:
        first, second = operation.wires
        if operation.gate == "cz":
            signs = signs * (1 - 2 * (_bit(first, qubits) & _bit(second, qubits))).astype(np.int8)
        else:  # CNOT is its own inverse: what was at x with the target flipped arrives at x
            moved = np.arange(2**qubits) ^ (_bit(first, qubits) << (qubits - 1 - second))
            source, signs = source[moved], signs[moved]
    gates = {operation.gate for operation in operations}
    return Entangler(source if "cnot" in gates else None, signs if "cz" in gates else None)


def measurement_bases(words: tuple[str, ...]) -> dict[str, list[int]]:
    """Group words that agree on the qubits they share: basis letters -> positions of its words."""
    letters: list[list[str]] = []
    members: list[list[int]] = []
    for position, word in enumerate(words):
        for basis, positions in zip(letters, members, strict=True):
            if all("I" in (a, b) or a == b for a, b in zip(basis, word, strict=True)):
                basis[:] = [b if a == "I" else a for a, b in zip(basis, word, strict=True)]
                positions.append(position)
                break
        else:
            letters.append(list(word))
            members.append([position])
    return {"".join(basis): positions for basis, positions in zip(letters, members, strict=True)}


def basis_change(letters: str) -> list[Operation]:
    """Gates U with U^-1 Z U = the letter: Z measured after them is the letter before them."""
    to_z = {"X": ("h", None), "Y": ("rx", np.pi / 2)}
    return [
        Operation(to_z[letter][0], (wire,), to_z[letter][1])
        for wire, letter in enumerate(letters)
        if letter in to_z
    ]


def _parity(word: str) -> NDArray[np.int8]:
    parity = np.zeros(2 ** len(word), dtype=np.int64)
    for wire, letter in enumerate(word):
        if letter != "I":
            parity ^= _bit(wire, len(word))
    return (1 - 2 * parity).astype(np.int8)
