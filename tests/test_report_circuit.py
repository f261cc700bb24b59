"""The drawing of a circuit: the same gates in an order that gives the same values."""

import pytest
import torch
from hypothesis import given, settings

from hqgan.quantum import Circuit, layered, simulate
from hqgan.report.circuit_figure import circuit_figure, columns_of, in_rows
from hqgan.report.page import as_png
from random_circuits import angles, circuits, seeds, well_posed


def texts(figure) -> list[str]:
    """All that is written in a figure."""
    return [text.get_text() for text in figure.axes[0].texts]


@settings(max_examples=60, deadline=None)
@given(circuits, seeds)
def test_gates_read_column_by_column_give_the_same_values(circuit: Circuit, seed: int):
    inputs, weights = angles(circuit, seed)
    if not well_posed(circuit, inputs, weights):
        return
    drawn = [gate for row in in_rows(columns_of(circuit)) for column in row for gate in column]
    assert sorted(map(repr, drawn)) == sorted(map(repr, circuit.operations))
    again = Circuit(circuit.qubits, tuple(drawn), circuit.readout)
    expected = simulate(circuit, inputs, weights)
    torch.testing.assert_close(simulate(again, inputs, weights), expected, rtol=0, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(circuits)
def test_any_circuit_is_drawn_with_and_without_numbers(circuit: Circuit):
    values = torch.linspace(0.1, 1, circuit.outputs)
    numbers = {"weights": torch.zeros(circuit.weights), "inputs": torch.zeros(circuit.inputs)}
    assert as_png(circuit_figure(circuit)).startswith(b"\x89PNG")
    assert as_png(circuit_figure(circuit, values=values, **numbers)).startswith(b"\x89PNG")


def test_no_two_gates_of_a_column_cover_the_same_wire():
    for column in columns_of(layered(5, 2, entangler="cz_ring", readout="z")):
        spans = [range(min(gate.wires), max(gate.wires) + 1) for gate in column]
        covered = [wire for span in spans for wire in span]
        assert len(covered) == len(set(covered))


def test_a_chain_of_cz_is_two_columns_wide_and_one_of_cnot_is_not():
    assert [
        len(columns_of(layered(6, 1, entangler=name))) for name in ("cz_chain", "cnot_chain")
    ] == [4, 7]


def test_learned_weights_inputs_and_values_are_written_where_they_belong():
    circuit = layered(2, 1, readout="z+zz")
    figure = circuit_figure(
        circuit, weights=[0.25, -1.5], inputs=[3.0, 2.0], values=[0.5, -0.75, 1.0], title="one"
    )
    written = texts(figure)
    assert {"one", "0.25", "−1.50", "3.00", "2.00"} <= set(written)
    assert "⟨Z₀Z₁⟩ +1.00" in written
    assert {"x0", "w1"} <= set(texts(circuit_figure(circuit)))


def test_numbers_of_another_count_are_refused():
    with pytest.raises(ValueError, match=r"weights have the shape \(3,\), but the circuit has 2"):
        circuit_figure(layered(2, 1), weights=[1.0, 2.0, 3.0])
