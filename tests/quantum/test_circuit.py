"""What a circuit accepts, refuses, counts, draws and writes."""

import copy
import json
import pickle

import pytest
from hypothesis import given

from hqgan.quantum import Circuit, Expectations, Operation, Probabilities, Slot, layered
from hqgan.quantum.circuit import describe_readout
from random_circuits import circuits

Z = Expectations(("ZI", "IZ"))


@given(circuits)
def test_json_brings_back_the_same_circuit(circuit: Circuit) -> None:
    again = Circuit.from_dict(json.loads(json.dumps(circuit.to_dict())))
    assert again == circuit
    assert hash(again) == hash(circuit)


@given(circuits)
def test_every_operation_appears_in_the_drawing(circuit: Circuit) -> None:
    *wires, readout = circuit.draw().splitlines()
    assert len(wires) == circuit.qubits
    assert len({len(line) for line in wires}) == 1
    assert sum(line.count("(") for line in wires) == sum(
        operation.angle is not None for operation in circuit.operations
    )
    symbols = sum(line.count("●") + line.count("⊕") for line in wires)
    assert symbols == 2 * circuit.two_qubit_gates
    assert readout.startswith("reads ")


def test_drawing_shows_a_line_through_the_wires_between() -> None:
    far = Circuit(3, (Operation("h", (1,)), Operation("cnot", (2, 0))), Probabilities((0,)))
    assert far.draw().splitlines() == ["0: ───⊕─", "1: ─H─│─", "2: ───●─", "reads P(0)"]


@pytest.mark.parametrize(
    ("readout", "written"),
    [
        (Probabilities((0, 2)), "P(0 2)"),
        (Probabilities((1,), ancillas=(0, 2)), "P(1 | 0 2 found in 0)"),
        (Expectations(("ZII", "IXY")), "<Z0> <X1Y2>"),
    ],
)
def test_a_readout_is_said_in_a_line(readout: Probabilities | Expectations, written: str) -> None:
    assert describe_readout(readout) == written


def test_counts_of_a_layered_circuit() -> None:
    circuit = layered(4, 3, encoding="ry+rx", rotation="rot", readout="z+zz")
    assert (circuit.inputs, circuit.weights, circuit.outputs) == (4, 36, 7)
    assert circuit.two_qubit_gates == 9
    assert not circuit.is_real
    assert layered(4, 3, readout="x").is_real


def test_depth_is_the_longest_chain_of_dependent_gates() -> None:
    # A chain of CZ on 4 qubits takes 3 steps; the next layer's CZ starts while it still runs.
    assert layered(4, 1).depth == 2 + 3
    assert layered(1, 2, entangler="none").depth == 1 + 2


def test_copies_are_equal_and_work_out_their_own_hash() -> None:
    """Python hashes strings with a seed per process: a pickled hash would break look-ups there."""
    circuit = layered(2, 1)
    copies = {circuit, copy.deepcopy(circuit), pickle.loads(pickle.dumps(circuit))}
    assert len(copies) == 1
    assert vars(pickle.loads(pickle.dumps(circuit))).keys() == {"qubits", "operations", "readout"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Operation("swap", (0, 1)), "unknown gate 'swap'; known: rx"),
        (lambda: Operation("cz", (1, 1)), "2 distinct"),
        (lambda: Operation("ry", (0, 1), 0.1), "1 distinct"),
        (lambda: Operation("h", (-1,)), "from 0"),
        (lambda: Operation("ry", (0,)), "needs an angle"),
        (lambda: Operation("h", (0,), 0.1), "takes no angle"),
        (lambda: Operation("ry", (0,), float("nan")), "finite number, not nan"),
        (lambda: Slot("inputs", 0), "'inputs'"),
        (lambda: Slot("input", -1), "-1"),
        (lambda: Circuit(0, (), Z), "at least 1 qubit, not 0"),
        (lambda: Circuit(2, (Operation("h", (2,)),), Z), "h names wire 2"),
        (
            lambda: Circuit(2, (Operation("ry", (0,), Slot("weight", 1)),), Z),
            "weight 0 is never used",
        ),
        (lambda: Circuit(2, (), Expectations(())), "at least one observable"),
        (lambda: Circuit(2, (), Expectations(("Z",))), "2 letters .* got 'Z'"),
        (lambda: Circuit(2, (), Expectations(("ZQ",))), "got 'ZQ'"),
        (lambda: Circuit(2, (), Expectations(("II",))), "got 'II'"),
        (lambda: Circuit(2, (), Probabilities(())), "must exist"),
        (lambda: Circuit(2, (), Probabilities((0, 2))), "read-out names wire 2"),
        (lambda: Circuit(2, (), Probabilities((1, 0))), r"ascending order, not \(1, 0\)"),
        (lambda: Circuit(2, (), Probabilities((0, 1), (1,))), "differ from the ancillas"),
        (lambda: Circuit(2, (), "z"), "not 'z'"),
        (lambda: Circuit.from_dict({"qubits": 2}), "not a circuit written by"),
        (lambda: Circuit.from_dict({"qubits": 2, "operations": [1], "readout": {}}), "not a"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value_seen(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
