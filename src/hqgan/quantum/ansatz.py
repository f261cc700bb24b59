"""Names for encodings, rotations, entanglers and read-outs, and `layered`, which joins them.

Configuration files and the command line use these names; a new one is a new line in its table.

| choice | used by |
| --- | --- |
| encoding `ry` | QPatchGAN (Huang et al. 2021), PQWGAN (arXiv 2212.11614) |
| encoding `ry+rx`, the same input twice | MosaiQ (arXiv 2308.11096), HybridQ (arXiv 2506.21015) |
| encoding `ry+rz`, re-uploading | re-uploading (arXiv 1907.02085), LaSt-QGAN (arXiv 2406.02668) |
| rotation `ry`, entangler `cz_chain` | QPatchGAN, MosaiQ, HybridQ |
| rotation `rot`, entangler `cnot_chain` | PQWGAN |
| rotation `rot`, entangler `cnot_ring` | strongly entangling layers, range 1 (arXiv 1804.00633) |
| read-out `x` | MosaiQ, HybridQ |
| read-out `probabilities` | PQWGAN without ancilla |
| read-out `postselected` | QPatchGAN, PQWGAN: one ancilla, qubit 0 |
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from hqgan.errors import UsageError
from hqgan.quantum.circuit import Circuit, Expectations, Operation, Probabilities, Readout, Slot

ENCODINGS: Mapping[str, tuple[str, ...]] = {
    "ry": ("ry",),
    "ry+rx": ("ry", "rx"),
    "ry+rz": ("ry", "rz"),
}
"""Gates that take input i on qubit i, in time order."""

ROTATIONS: Mapping[str, tuple[str, ...]] = {
    "ry": ("ry",),
    "rot": ("rz", "ry", "rz"),
}
"""Gates with a weight each, in time order; `rot` is PennyLane's Rot(phi, theta, omega)."""


def _chain(gate: str, qubits: int) -> list[Operation]:
    return [Operation(gate, (wire, wire + 1)) for wire in range(qubits - 1)]


def _cz_ring(qubits: int) -> list[Operation]:
    # Two qubits have one neighbourhood: closing the ring would apply the same CZ again and undo it.
    closing = [Operation("cz", (qubits - 1, 0))] if qubits > 2 else []
    return _chain("cz", qubits) + closing


def _cnot_ring(qubits: int) -> list[Operation]:
    closing = [Operation("cnot", (qubits - 1, 0))] if qubits > 1 else []
    return _chain("cnot", qubits) + closing


ENTANGLERS: Mapping[str, Callable[[int], list[Operation]]] = {
    "cz_chain": lambda qubits: _chain("cz", qubits),
    "cz_ring": _cz_ring,
    "cnot_chain": lambda qubits: _chain("cnot", qubits),
    "cnot_ring": _cnot_ring,
    "none": lambda qubits: [],
}
"""Two-qubit gates after each layer of rotations, between neighbours i and i + 1."""


def _each(letters: str, qubits: int) -> tuple[str, ...]:
    """The word `letters` at each place of the chain, the identity elsewhere: ZII, IZI, IIZ."""
    places = range(qubits - len(letters) + 1)
    return tuple("I" * place + letters + "I" * (qubits - len(letters) - place) for place in places)


READOUTS: Mapping[str, Callable[[int], Readout]] = {
    "z": lambda qubits: Expectations(_each("Z", qubits)),
    "x": lambda qubits: Expectations(_each("X", qubits)),
    "z+x": lambda qubits: Expectations(_each("Z", qubits) + _each("X", qubits)),
    "zz": lambda qubits: Expectations(_each("ZZ", qubits)),
    "z+zz": lambda qubits: Expectations(_each("Z", qubits) + _each("ZZ", qubits)),
    "probabilities": lambda qubits: Probabilities(tuple(range(qubits))),
    "postselected": lambda qubits: Probabilities(tuple(range(1, qubits)), ancillas=(0,)),
}
"""What is measured; outputs in the order of the qubits, Z before X, single values before ZZ."""

_Entry = TypeVar("_Entry")


def _look_up(kind: str, table: Mapping[str, _Entry], name: str) -> _Entry:
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}; choose one of: {', '.join(table)}")
    return table[name]


def layered(
    qubits: int,
    layers: int,
    *,
    encoding: str = "ry",
    reupload: bool = False,
    rotation: str = "ry",
    entangler: str = "cz_chain",
    readout: str = "z",
    final_rotation: bool = False,
) -> Circuit:
    """Build the encoding, then `layers` times rotations on every qubit and the entangler.

    Weights are numbered by layer, qubit, gate: a vector of them reshapes to (layers, qubits, 1), or
    to (layers, qubits, 3) for the rotation `rot`.

    Args:
        qubits: Q >= 1, and the number of inputs; >= 2 for the read-outs `zz` and `postselected`.
        layers: L >= 0.
        encoding: a name in `ENCODINGS`.
        reupload: repeat the encoding before each layer instead of only at the start.
        rotation: a name in `ROTATIONS`.
        entangler: a name in `ENTANGLERS`.
        readout: a name in `READOUTS`. CZ gates commute with Z: with the read-outs of Z or of
            probabilities the last CZ entangler changes nothing unless `final_rotation` is set.
        final_rotation: add one more layer of rotations (and its weights) before the read-out.

    Raises:
        UsageError: an unknown name, or sizes that do not fit; the message lists what is possible.
    """
    encoding_gates = _look_up("encoding", ENCODINGS, encoding)
    rotation_gates = _look_up("rotation", ROTATIONS, rotation)
    entangle = _look_up("entangler", ENTANGLERS, entangler)
    read = _look_up("read-out", READOUTS, readout)
    least = 2 if readout in ("zz", "postselected") else 1
    if qubits < least:
        raise UsageError(f"qubits={qubits}: the read-out {readout!r} needs at least {least}")
    if layers < 0:
        raise UsageError(f"layers={layers}: a circuit has 0 layers or more")

    def encode() -> Iterable[Operation]:
        return (
            Operation(gate, (wire,), Slot("input", wire))
            for gate in encoding_gates
            for wire in range(qubits)
        )

    def rotate(layer: int) -> Iterable[Operation]:
        for position, gate in enumerate(rotation_gates):
            for wire in range(qubits):
                weight = (layer * qubits + wire) * len(rotation_gates) + position
                yield Operation(gate, (wire,), Slot("weight", weight))

    operations: list[Operation] = []
    for layer in range(layers):
        if layer == 0 or reupload:
            operations += encode()
        operations += rotate(layer)
        operations += entangle(qubits)
    if layers == 0:
        operations += encode()
    if final_rotation:
        operations += rotate(layers)
    return Circuit(qubits, tuple(operations), read(qubits))
