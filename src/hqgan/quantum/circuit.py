"""`Circuit`: an immutable list of gates with numbered angle slots, the one representation.

Everything else is a function of it: the state vector, the drawing, and the exports. A circuit holds
no numbers that are learned; it says which input or weight each rotation takes its angle from.

Conventions: qubit 0 is the most significant bit of a basis state's index (PennyLane's order),
angles are in radians, and a rotation about the Pauli matrix P is exp(-i angle P / 2).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

ROTATION_GATES = ("rx", "ry", "rz")
FIXED_GATES = ("h", "x", "y", "z")
TWO_QUBIT_GATES = ("cz", "cnot")  # cnot: control first
GATES = (*ROTATION_GATES, *FIXED_GATES, *TWO_QUBIT_GATES)
COMPLEX_GATES = frozenset({"rx", "rz", "y"})


@dataclass(frozen=True, slots=True)
class Slot:
    """The place an angle comes from: number `index` (from 0) of the inputs or of the weights."""

    source: Literal["input", "weight"]
    index: int

    def __post_init__(self) -> None:
        if self.source not in ("input", "weight"):
            raise ValueError(f"a slot's source is 'input' or 'weight', not {self.source!r}")
        if type(self.index) is not int or self.index < 0:
            raise ValueError(f"a slot's index is a whole number from 0, not {self.index!r}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One gate on one or two wires.

    Args:
        gate: one of `GATES`.
        wires: qubit numbers; control before target for `cnot`.
        angle: radians or a `Slot` for the rotations `rx, ry, rz`; None for every other gate.

    Raises:
        ValueError: unknown gate, wrong number of wires, missing, needless or non-finite angle.
    """

    gate: str
    wires: tuple[int, ...]
    angle: Slot | float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "wires", tuple(self.wires))
        if self.gate not in GATES:
            raise ValueError(f"unknown gate {self.gate!r}; known: {', '.join(GATES)}")
        expected = 2 if self.gate in TWO_QUBIT_GATES else 1
        if len(self.wires) != expected or len(set(self.wires)) != expected:
            raise ValueError(
                f"{self.gate} acts on {expected} distinct wire(s), not on {self.wires}"
            )
        if any(type(wire) is not int or wire < 0 for wire in self.wires):
            raise ValueError(f"wires are whole numbers from 0, not {self.wires}")
        if (self.gate in ROTATION_GATES) != (self.angle is not None):
            needs = "needs an angle" if self.gate in ROTATION_GATES else "takes no angle"
            raise ValueError(f"{self.gate} {needs}, got {self.angle!r}")
        if self.angle is not None and not isinstance(self.angle, Slot):
            if not isinstance(self.angle, int | float) or not math.isfinite(self.angle):
                raise ValueError(f"an angle is a Slot or a finite number, not {self.angle!r}")
            object.__setattr__(self, "angle", float(self.angle))


@dataclass(frozen=True, slots=True)
class Expectations:
    """Read out the expectation values of Pauli words, each in [-1, 1].

    Args:
        observables: words over I, X, Y, Z with one letter per qubit, qubit 0 first, such as "ZIII".
    """

    observables: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "observables", tuple(self.observables))


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Read out the joint distribution of `wires`, given that every ancilla is found in |0>.

    Args:
        wires: ascending qubit numbers; the first is the most significant bit of the outcome.
        ancillas: ascending qubit numbers that are post-selected on 0; the rest is renormalised.
    """

    wires: tuple[int, ...]
    ancillas: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "wires", tuple(self.wires))
        object.__setattr__(self, "ancillas", tuple(self.ancillas))


Readout = Expectations | Probabilities


@dataclass(frozen=True, repr=False)
class Circuit:
    """Gates on |0...0> in time order, then a read-out.

    Args:
        qubits: number of qubits Q >= 1.
        operations: the gates; inputs and weights must each be numbered 0, 1, 2, ... without gaps.
        readout: what is measured; sets the number of outputs.

    Raises:
        ValueError: a wire, slot or read-out that does not fit, with the value seen.
    """

    qubits: int
    operations: tuple[Operation, ...]
    readout: Readout

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        if type(self.qubits) is not int or self.qubits < 1:
            raise ValueError(f"a circuit has at least 1 qubit, not {self.qubits!r}")
        for operation in self.operations:
            _check_wires(operation.wires, self.qubits, operation.gate)
        for source in ("input", "weight"):
            used = self._slots(source)
            if used != set(range(len(used))):
                missing = min(set(range(len(used))) - used)
                raise ValueError(
                    f"{source} {missing} is never used, but {source} {max(used)} is; "
                    f"{source}s are numbered 0, 1, 2, ... without gaps"
                )
        _check_readout(self.readout, self.qubits)

    def _slots(self, source: str) -> set[int]:
        slots = [o.angle for o in self.operations if isinstance(o.angle, Slot)]
        return {slot.index for slot in slots if slot.source == source}

    # Simulation looks circuits up in caches at each call, so the hash is computed once. It depends
    # on the process (strings are hashed with a random seed) and must not travel with a pickle.
    @cached_property
    def _hash(self) -> int:
        return hash((self.qubits, self.operations, self.readout))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type["Circuit"], tuple[int, tuple[Operation, ...], Readout]]:
        return Circuit, (self.qubits, self.operations, self.readout)

    @cached_property
    def inputs(self) -> int:
        """Number of different input angles."""
        return len(self._slots("input"))

    @cached_property
    def weights(self) -> int:
        """Number of different weights (learned angles)."""
        return len(self._slots("weight"))

    @property
    def outputs(self) -> int:
        """Number of expectation values or probabilities read out."""
        if isinstance(self.readout, Expectations):
            return len(self.readout.observables)
        return int(2 ** len(self.readout.wires))

    @cached_property
    def is_real(self) -> bool:
        """Whether every gate and every change of measurement basis is a real matrix."""
        gates = {operation.gate for operation in self.operations}
        words = self.readout.observables if isinstance(self.readout, Expectations) else ()
        return not gates & COMPLEX_GATES and not any("Y" in word for word in words)

    @property
    def two_qubit_gates(self) -> int:
        """Number of gates that act on two wires, the costly ones on hardware."""
        return sum(len(operation.wires) == 2 for operation in self.operations)

    @property
    def depth(self) -> int:
        """Length of the longest chain of gates that must follow each other."""
        level = [0] * self.qubits
        for operation in self.operations:
            reached = 1 + max(level[wire] for wire in operation.wires)
            for wire in operation.wires:
                level[wire] = reached
        return max(level)

    def draw(self) -> str:
        """Return a text drawing: a line per qubit (inputs `x`, weights `w`), then the read-out."""
        columns: list[dict[int, str]] = []
        level = [0] * self.qubits
        for operation in self.operations:
            span = range(min(operation.wires), max(operation.wires) + 1)
            column = max(level[wire] for wire in span)
            if column == len(columns):
                columns.append({})
            columns[column] |= _symbols(operation)
            for wire in span:
                level[wire] = column + 1
        rows = [f"{wire}: ".rjust(len(str(self.qubits - 1)) + 2) for wire in range(self.qubits)]
        for cells in columns:
            width = max(map(len, cells.values()))
            for wire in range(self.qubits):
                rows[wire] += "─" + cells.get(wire, "").ljust(width, "─")
        rows = [row + "─" for row in rows]
        return "\n".join([*rows, f"reads {describe_readout(self.readout)}"])

    def __repr__(self) -> str:
        sizes = f"inputs={self.inputs}, weights={self.weights}, outputs={self.outputs}"
        return f"Circuit(qubits={self.qubits}, {sizes})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings for `json`; `from_dict` reads them back."""
        operations = []
        for operation in self.operations:
            angle = operation.angle
            written = {angle.source: angle.index} if isinstance(angle, Slot) else angle
            operations.append([operation.gate, list(operation.wires), written])
        if isinstance(self.readout, Expectations):
            readout: dict[str, Any] = {"expectations": list(self.readout.observables)}
        else:
            readout = {
                "probabilities": list(self.readout.wires),
                "ancillas": list(self.readout.ancillas),
            }
        return {"qubits": self.qubits, "operations": operations, "readout": readout}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Circuit":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: anything else; the message names the part that could not be read.
        """
        try:
            operations = [
                Operation(
                    gate,
                    tuple(wires),
                    Slot(*next(iter(angle.items()))) if isinstance(angle, dict) else angle,
                )
                for gate, wires, angle in data["operations"]
            ]
            readout = data["readout"]
            if "expectations" in readout:
                return cls(data["qubits"], tuple(operations), Expectations(readout["expectations"]))
            return cls(
                data["qubits"],
                tuple(operations),
                Probabilities(readout["probabilities"], readout["ancillas"]),
            )
        except (KeyError, TypeError, StopIteration) as error:
            raise ValueError(f"not a circuit written by Circuit.to_dict: {error!r}") from error


def describe_readout(readout: Readout) -> str:
    """Say in one line what is read out, such as `<Z0> <Z1>` or `P(1 2 | 0 found in 0)`."""
    if isinstance(readout, Probabilities):
        given = f" | {' '.join(map(str, readout.ancillas))} found in 0" if readout.ancillas else ""
        return f"P({' '.join(map(str, readout.wires))}{given})"
    words = []
    for word in readout.observables:
        words.append(
            "".join(f"{letter}{wire}" for wire, letter in enumerate(word) if letter != "I")
        )
    return " ".join(f"<{word}>" for word in words)


def _symbols(operation: Operation) -> dict[int, str]:
    """What `draw` writes on each wire from the first to the last of a gate."""
    name = operation.gate.upper()
    if len(operation.wires) == 1:
        angle = operation.angle
        if angle is None:
            return {operation.wires[0]: name}
        if isinstance(angle, Slot):
            text = f"{'x' if angle.source == 'input' else 'w'}{angle.index}"
        else:
            text = f"{angle:.3g}"
        return {operation.wires[0]: f"{name}({text})"}
    first, second = operation.wires
    between = dict.fromkeys(range(min(first, second) + 1, max(first, second)), "│")
    return between | {first: "●", second: "●" if operation.gate == "cz" else "⊕"}


def _check_wires(wires: Iterable[int], qubits: int, owner: str) -> None:
    for wire in wires:
        if type(wire) is not int or not 0 <= wire < qubits:
            raise ValueError(f"{owner} names wire {wire!r}, but the wires are 0 to {qubits - 1}")


def _check_readout(readout: Readout, qubits: int) -> None:
    if isinstance(readout, Expectations):
        if not readout.observables:
            raise ValueError("a read-out needs at least one observable")
        for word in readout.observables:
            if (
                not isinstance(word, str)
                or len(word) != qubits
                or not set(word) <= set("IXYZ")
                or set(word) == {"I"}
            ):
                raise ValueError(
                    f"an observable is {qubits} letters of I, X, Y, Z and not only I; got {word!r}"
                )
    elif isinstance(readout, Probabilities):
        _check_wires((*readout.wires, *readout.ancillas), qubits, "the read-out")
        if not readout.wires or set(readout.wires) & set(readout.ancillas):
            raise ValueError(
                f"read-out wires {readout.wires} must exist "
                f"and differ from the ancillas {readout.ancillas}"
            )
        for wires in (readout.wires, readout.ancillas):
            if list(wires) != sorted(set(wires)):
                raise ValueError(
                    f"read-out wires are given once each in ascending order, not {wires}"
                )
    else:
        raise ValueError(f"a read-out is Expectations or Probabilities, not {readout!r}")
