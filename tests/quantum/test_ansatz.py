"""The named circuits: numbering, entanglers, read-outs, and refusals that list the known names."""

import pytest
import torch

from hqgan.errors import UsageError
from hqgan.quantum import Operation, Probabilities, Slot, layered, simulate


def gates(circuit, name: str) -> list[tuple[int, ...]]:
    return [operation.wires for operation in circuit.operations if operation.gate == name]


def test_one_input_is_used_by_both_gates_of_a_qubit() -> None:
    circuit = layered(2, 0, encoding="ry+rx")
    assert circuit.operations == (
        Operation("ry", (0,), Slot("input", 0)),
        Operation("ry", (1,), Slot("input", 1)),
        Operation("rx", (0,), Slot("input", 0)),
        Operation("rx", (1,), Slot("input", 1)),
    )


def test_reuploading_encodes_before_each_layer() -> None:
    once, again = layered(3, 4), layered(3, 4, reupload=True)
    uses = [
        sum(isinstance(o.angle, Slot) and o.angle.source == "input" for o in circuit.operations)
        for circuit in (once, again)
    ]
    assert uses == [3, 12]
    assert once.inputs == again.inputs == 3


@pytest.mark.parametrize(
    ("entangler", "gate", "pairs"),
    [
        ("cz_chain", "cz", {1: [], 2: [(0, 1)], 4: [(0, 1), (1, 2), (2, 3)]}),
        ("cz_ring", "cz", {1: [], 2: [(0, 1)], 4: [(0, 1), (1, 2), (2, 3), (3, 0)]}),
        ("cnot_chain", "cnot", {1: [], 2: [(0, 1)], 4: [(0, 1), (1, 2), (2, 3)]}),
        ("cnot_ring", "cnot", {1: [], 2: [(0, 1), (1, 0)], 3: [(0, 1), (1, 2), (2, 0)]}),
        ("none", "cz", {4: []}),
    ],
)
def test_entanglers_couple_neighbours(entangler: str, gate: str, pairs) -> None:
    for qubits, expected in pairs.items():
        assert gates(layered(qubits, 1, entangler=entangler), gate) == expected


def test_final_rotation_adds_a_layer_of_weights_after_the_last_entangler() -> None:
    circuit = layered(3, 2, rotation="rot", final_rotation=True)
    assert circuit.weights == 3 * 3 * 3
    assert circuit.operations[-1].gate == "rz"


def test_readouts() -> None:
    assert layered(3, 1, readout="z+x").readout.observables == (
        *("ZII", "IZI", "IIZ"),
        *("XII", "IXI", "IIX"),
    )
    assert layered(3, 1, readout="zz").readout.observables == ("ZZI", "IZZ")
    assert layered(3, 1, readout="postselected").readout == Probabilities((1, 2), ancillas=(0,))
    assert layered(3, 1, readout="postselected").outputs == 4


def test_an_entangler_changes_nothing_that_z_sees_unless_rotations_follow() -> None:
    """CZ is diagonal, so right before a Z measurement it is invisible."""
    inputs, weights = torch.rand(1, 4, 3), torch.rand(1, 3)
    without = simulate(layered(3, 1, entangler="none"), inputs, weights)
    torch.testing.assert_close(simulate(layered(3, 1), inputs, weights), without)
    weights = torch.rand(1, 6)
    seen = simulate(layered(3, 1, final_rotation=True), inputs, weights)
    blind = simulate(layered(3, 1, entangler="none", final_rotation=True), inputs, weights)
    assert (seen - blind).abs().max() > 0.01


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("encoding", "amplitude"),
        ("rotation", "rx"),
        ("entangler", "swap"),
        ("readout", "y"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(kind: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}.*choose one of: [a-z_+]+, "):
        layered(3, 1, **{kind: name})


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="qubits=1: the read-out 'zz' needs at least 2"):
        layered(1, 1, readout="zz")
    with pytest.raises(UsageError, match="qubits=0"):
        layered(0, 1)
    with pytest.raises(UsageError, match="layers=-1"):
        layered(2, -1)
