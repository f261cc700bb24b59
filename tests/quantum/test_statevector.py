"""Laws that hold for every circuit: norm, inverses, real arithmetic, batching, derivatives."""

import math
from dataclasses import is_dataclass, replace

import pytest
import torch
from hypothesis import assume, given, settings
from torch.autograd.graph import saved_tensors_hooks

from hqgan.quantum import (
    Circuit,
    Expectations,
    Operation,
    Probabilities,
    Slot,
    layered,
    schedule,
    simulate,
    state,
)
from hqgan.quantum.statevector import saved_states
from random_circuits import (
    angles,
    circuits,
    gate_circuits,
    layered_circuits,
    seeds,
    well_posed,
)

ATOL = 1e-12
FLOAT32_ATOL = 1e-5


@given(circuits, seeds)
def test_the_norm_of_the_state_is_one(circuit: Circuit, seed: int) -> None:
    psi = state(circuit, *angles(circuit, seed))
    assert psi.shape == (1, 2, 2**circuit.qubits)
    torch.testing.assert_close(
        psi.abs().square().sum(-1), torch.ones(1, 2).double(), atol=ATOL, rtol=0
    )


@given(circuits, seeds)
def test_a_circuit_followed_by_its_inverse_is_the_identity(circuit: Circuit, seed: int) -> None:
    """Slots are replaced by numbers, whose signs can be turned."""
    inputs, weights = (part.detach() for part in angles(circuit, seed, samples=1))
    sources = {"input": inputs[0, 0], "weight": weights[0]}

    def number(angle: Slot | float | None) -> float | None:
        return sources[angle.source][angle.index].item() if isinstance(angle, Slot) else angle

    forth = [replace(o, angle=number(o.angle)) for o in circuit.operations]
    back = [replace(o, angle=None if o.angle is None else -o.angle) for o in reversed(forth)]
    there_and_back = Circuit(circuit.qubits, tuple(forth + back), circuit.readout)
    psi = state(there_and_back, torch.zeros(1, 1, 0).double(), torch.zeros(1, 0).double())
    start = torch.zeros_like(psi)
    start[..., 0] = 1
    torch.testing.assert_close(psi, start, atol=ATOL, rtol=0)


@given(layered_circuits(), seeds)
def test_neighbouring_cz_gates_commute(circuit: Circuit, seed: int) -> None:
    """Reversing each run of CZ gates gives the same state."""
    operations: list[Operation] = []
    run: list[Operation] = []
    for operation in (*circuit.operations, None):
        if operation is not None and operation.gate == "cz":
            run.append(operation)
            continue
        operations += reversed(run)
        run = []
        operations += [operation] if operation else []
    parameters = angles(circuit, seed)
    turned = state(replace(circuit, operations=tuple(operations)), *parameters)
    torch.testing.assert_close(state(circuit, *parameters), turned, atol=ATOL, rtol=0)


@given(gate_circuits(real=True), seeds)
def test_real_circuits_stay_real_and_equal_the_complex_path(circuit: Circuit, seed: int) -> None:
    """RZ(1) RZ(-1) is the identity, but makes the arithmetic complex from there on."""
    nothing = Operation("rz", (0,), 1.0), Operation("rz", (0,), -1.0)
    place = seed % (len(circuit.operations) + 1)
    before, after = circuit.operations[:place], circuit.operations[place:]
    detour = replace(circuit, operations=(*before, *nothing, *after))
    parameters = angles(circuit, seed)
    assume(well_posed(circuit, *parameters))
    assert circuit.is_real
    assert not detour.is_real
    psi, complex_psi = state(circuit, *parameters), state(detour, *parameters)
    assert psi.dtype == torch.float64
    assert complex_psi.dtype == torch.complex128
    torch.testing.assert_close(psi + 0j, complex_psi, atol=ATOL, rtol=0)
    torch.testing.assert_close(
        simulate(circuit, *parameters), simulate(detour, *parameters), atol=ATOL, rtol=0
    )


@given(circuits, seeds)
def test_a_large_batch_equals_its_samples_one_by_one(circuit: Circuit, seed: int) -> None:
    """40 samples exceed 2^5 amplitudes: shared steps then go through one matrix."""
    inputs, weights = angles(circuit, seed, samples=40)
    assume(well_posed(circuit, inputs, weights))
    together = simulate(circuit, inputs, weights)
    alone = [simulate(circuit, inputs[:, i : i + 1], weights) for i in range(40)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-8, rtol=0)


@given(circuits, seeds)
def test_many_circuits_in_one_call_equal_a_loop(circuit: Circuit, seed: int) -> None:
    inputs, weights = angles(circuit, seed, samples=3, count=4)
    assume(well_posed(circuit, inputs, weights))
    for given_inputs in (inputs, inputs[:1]):  # own inputs, and the same for all
        together = simulate(circuit, given_inputs, weights)
        assert together.shape == (4, 3, circuit.outputs)
        for c in range(4):
            own = given_inputs[c : c + 1] if len(given_inputs) > 1 else given_inputs
            alone = simulate(circuit, own, weights[c : c + 1])
            torch.testing.assert_close(together[c], alone[0], atol=1e-8, rtol=0)


@given(circuits, seeds)
def test_outputs_are_expectations_or_probabilities(circuit: Circuit, seed: int) -> None:
    outputs = simulate(circuit, *angles(circuit, seed))
    if isinstance(circuit.readout, Expectations):
        assert outputs.abs().max() <= 1 + ATOL
        return
    assert outputs.min() >= 0
    kept = probability_of_the_condition(circuit, seed)
    assume((kept > 1e-6).all())
    torch.testing.assert_close(outputs.sum(-1), torch.ones_like(kept), atol=1e-9, rtol=0)


def probability_of_the_condition(circuit: Circuit, seed: int) -> torch.Tensor:
    """Probability that every ancilla is found in 0, from the state itself."""
    psi = state(circuit, *angles(circuit, seed)).abs().square()
    outcomes = torch.arange(2**circuit.qubits)
    for wire in circuit.readout.ancillas:
        psi = psi * ((outcomes >> (circuit.qubits - 1 - wire)) & 1 == 0)
    return psi.sum(-1)


def test_an_ancilla_that_is_never_zero_gives_zeros_instead_of_nan() -> None:
    flip = (Operation("x", (0,)), Operation("ry", (1,), Slot("input", 0)))
    circuit = Circuit(2, flip, Probabilities((1,), ancillas=(0,)))
    inputs = torch.zeros(1, 1, 1, requires_grad=True)
    outputs = simulate(circuit, inputs, torch.zeros(1, 0))
    outputs.sum().backward()
    assert outputs.tolist() == [[[0.0, 0.0]]]
    assert inputs.grad.isfinite().all()


def test_qubit_zero_is_the_most_significant_bit() -> None:
    circuit = Circuit(3, (Operation("x", (0,)),), Probabilities((0, 1, 2)))
    outputs = simulate(circuit, torch.zeros(1, 1, 0), torch.zeros(1, 0))
    assert outputs.argmax().item() == 0b100


def test_ry_turns_z_into_cosine_and_x_into_sine() -> None:
    outputs = simulate(layered(1, 0, readout="z+x"), torch.tensor([[[0.7]]]), torch.zeros(1, 0))
    assert outputs.flatten().tolist() == pytest.approx([math.cos(0.7), math.sin(0.7)])


@pytest.mark.parametrize("readout", ["z+x", "postselected"])
@pytest.mark.parametrize(
    "names",
    [
        {"encoding": "ry+rx", "reupload": True},
        {"rotation": "rot", "entangler": "cnot_ring"},
    ],
)
@pytest.mark.parametrize("samples", [1, 5])
def test_first_and_second_derivatives_are_those_of_the_function(names, readout, samples) -> None:
    """Against finite differences; 5 samples on 2 qubits go through the shared matrix."""
    circuit = layered(2, 2, readout=readout, **names)
    parameters = angles(circuit, seed=3, samples=samples)

    def run(inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return simulate(circuit, inputs, weights)

    assert torch.autograd.gradcheck(run, parameters)
    assert torch.autograd.gradgradcheck(run, parameters)


@settings(max_examples=25)
@given(circuits, seeds)
def test_float32_agrees_with_float64(circuit: Circuit, seed: int) -> None:
    assume(not getattr(circuit.readout, "ancillas", ()))  # division amplifies rounding
    inputs, weights = angles(circuit, seed)
    single = simulate(circuit, inputs.float(), weights.float())
    assert single.dtype == torch.float32
    double = simulate(circuit, inputs, weights)
    torch.testing.assert_close(single.double(), double, atol=FLOAT32_ATOL, rtol=0)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"reupload": True, "readout": "z+x"},
        {"encoding": "ry+rx", "rotation": "rot", "entangler": "cnot_ring"},
    ],
)
@pytest.mark.parametrize("samples", [4, 600])
def test_the_backward_pass_keeps_no_more_states_than_announced(names, samples: int) -> None:
    circuit = layered(9, 3, **names)
    inputs, weights = (part.float() for part in angles(circuit, 0, samples))
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = simulate(circuit, inputs, weights)
    assert outputs.requires_grad
    one_state = samples * 2**9 * (4 if circuit.is_real else 8)
    gates_and_angles = 2**20
    assert sum(kept.values()) <= saved_states(circuit) * one_state + gates_and_angles


def test_what_is_shared_between_calls_cannot_be_changed() -> None:
    """Plans are cached: a change would reach every circuit like it."""
    parts = [one for one in vars(schedule).values() if is_dataclass(one)]
    assert len(parts) > 4
    for part in parts:
        assert part.__dataclass_params__.frozen, part
