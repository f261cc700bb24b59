"""Noisy circuits: laws of channels, agreement with perfect circuits, densities, and Aer."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hqgan.quantum import (
    Circuit,
    Expectations,
    GateNoise,
    Noisy,
    Operation,
    Probabilities,
    QuantumLayer,
    channels,
    layered,
    simulate,
)
from hqgan.quantum.gradients import parameter_shift
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import MOST_QUBITS
from hqgan.quantum.pauli_transfer import Turn, fuse, shared
from hqgan.quantum.statevector import FIXED
from random_circuits import angles, circuits, seeds, well_posed

ATOL = 1e-12
FLOAT32_ATOL = 1e-5
PERFECT = GateNoise()
ALL_KINDS = GateNoise(0.02, 0.05, 0.03, 0.04, readout=(0.01, 0.07))

rates = st.floats(0, 1)


@given(circuits, seeds)
def test_a_machine_without_noise_is_the_simulator(circuit: Circuit, seed: int) -> None:
    inputs, weights = (part.detach() for part in angles(circuit, seed))
    if not well_posed(circuit, inputs, weights):
        return
    torch.testing.assert_close(
        Noisy(PERFECT)(circuit, inputs, weights),
        simulate(circuit, inputs, weights),
        atol=1e-9,
        rtol=0,
    )


@given(circuits, seeds)
def test_lowering_changes_nothing(circuit: Circuit, seed: int) -> None:
    inputs, weights = (part.detach() for part in angles(circuit, seed))
    if not well_posed(circuit, inputs, weights):
        return
    lowered = lower(circuit)
    assert lowered.circuit.weights == 0
    none = inputs.new_zeros(1, 0)
    torch.testing.assert_close(
        simulate(lowered.circuit, lowered.angles(inputs, weights), none),
        simulate(circuit, inputs, weights).expand(1, -1, -1),
        atol=1e-9,
        rtol=0,
    )


def test_a_turn_weighs_angles_by_their_factors() -> None:
    """A factor of 0 takes its angle out; a constant is there once."""
    drawn = torch.randn(5, 4, dtype=torch.float64)
    turn = Turn((0,), "rx", (3, 0, 1, 2), (1.0, 0.0, -0.5, 2.0), 0.3)
    expected = drawn @ torch.tensor([0.0, -0.5, 2.0, 1.0], dtype=torch.float64) + 0.3
    torch.testing.assert_close(turn.angle(drawn), expected, atol=ATOL, rtol=0)


def test_lowering_joins_an_encoding_with_the_weights_after_it() -> None:
    lowered = lower(layered(4, 3, reupload=True))
    rotations = [o for o in lowered.circuit.operations if o.gate == "ry"]
    assert len(rotations) == 12  # one a qubit and layer instead of two


@given(rates, rates, st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 10))
def test_channels_keep_the_trace_and_shrink_what_they_turn(
    p: float, q: float, t1: float, t2: float, time: float
) -> None:
    """The first row of a trace-preserving map is (1, 0, 0, ...), and states stay in the ball."""
    made = [
        channels.depolarizing(p),
        channels.depolarizing(p, 2),
        channels.amplitude_damping(p),
        channels.phase_damping(p),
        channels.thermal_relaxation(t1, t2, time),
        channels.readout_error(p, q),
        channels.pauli_channel({"XZ": p / 2, "YI": q / 2}),
    ]
    for matrix in made:
        first = np.zeros(len(matrix))
        first[0] = 1
        np.testing.assert_allclose(matrix[0], first, atol=ATOL)
        assert np.abs(matrix).max() <= 1 + ATOL
        assert 0 <= channels.average_fidelity(matrix) <= 1 + ATOL


def test_a_relaxing_qubit_ends_in_its_ground_state() -> None:
    start = np.array([1, 0.6, 0, -0.8])  # mostly |1>
    half = channels.thermal_relaxation(1.0, 0.5, 0.7) @ start
    assert half[1] == pytest.approx(0.6 * math.exp(-0.7 / 0.5))
    assert half[3] == pytest.approx(1 - 1.8 * math.exp(-0.7))
    end = channels.thermal_relaxation(1.0, 0.5, 100) @ start
    np.testing.assert_allclose(end, [1, 0, 0, 1], atol=ATOL)
    whole = channels.thermal_relaxation(1.0, 0.5, 0.3) @ channels.thermal_relaxation(1.0, 0.5, 0.4)
    np.testing.assert_allclose(whole, channels.thermal_relaxation(1.0, 0.5, 0.7), atol=ATOL)


def test_a_pauli_channel_is_the_mixture_it_says() -> None:
    matrix = channels.pauli_channel({"X": 0.1, "Z": 0.2})
    np.testing.assert_allclose(np.diag(matrix), [1, 1 - 0.4, 1 - 0.6, 1 - 0.2], atol=ATOL)
    even = channels.pauli_channel(dict.fromkeys("XYZ", 0.3 / 4))
    np.testing.assert_allclose(even, channels.depolarizing(0.3), atol=ATOL)


def test_a_calibrated_gate_has_the_error_that_was_reported() -> None:
    relaxing = channels.together([channels.thermal_relaxation(100, 80, 0.1)] * 2)
    assert 1 - channels.average_fidelity(relaxing) < 0.01
    noise = channels.calibrated(0.01, relaxing)
    assert 1 - channels.average_fidelity(noise) == pytest.approx(0.01)
    np.testing.assert_array_equal(channels.calibrated(1e-9, relaxing), relaxing)


def density_values(circuit: Circuit, inputs: Tensor, weights: Tensor, p: float) -> Tensor:
    """Words of a circuit with depolarising noise after each gate, by density matrices and Kraus.

    One sample; written to be read, in numpy, with nothing of the package but the gates' matrices.
    """
    qubits = circuit.qubits
    rho = np.zeros((2**qubits, 2**qubits), dtype=complex)
    rho[0, 0] = 1

    def whole(small: np.ndarray, wires: tuple[int, ...]) -> np.ndarray:
        if len(wires) == 1:
            parts = [np.eye(2)] * qubits
            parts[wires[0]] = small
            out = np.eye(1)
            for part in parts:
                out = np.kron(out, part)
            return out
        up, flip = np.diag([1.0, 0]), np.diag([0, 1.0])
        return whole(up, wires[:1]) + whole(flip, wires[:1]) @ whole(small, wires[1:])

    words = {letter: np.array(FIXED[letter], dtype=complex) for letter in "xyz"}
    for operation in circuit.operations:
        if operation.gate in ("cz", "cnot"):
            target = words["z" if operation.gate == "cz" else "x"]
            unitary = whole(target, operation.wires)
        else:
            if operation.angle is None:
                small = np.array(FIXED[operation.gate], dtype=complex)
            else:
                slot = operation.angle
                row = inputs[0, 0] if slot.source == "input" else weights[0]
                half = row[slot.index].item() / 2
                pauli = words[operation.gate[1]]
                small = math.cos(half) * np.eye(2) - 1j * math.sin(half) * pauli
            unitary = whole(small, operation.wires)
        rho = unitary @ rho @ unitary.conj().T
        for wire in operation.wires:
            others = [whole(words[letter], (wire,)) for letter in "xyz"]
            rho = (1 - p) * rho + p / 4 * (rho + sum(o @ rho @ o.conj().T for o in others))
    values = []
    for word in circuit.readout.observables:
        out = np.eye(1)
        for letter in word:
            out = np.kron(out, np.eye(2) if letter == "I" else words[letter.lower()])
        values.append(np.trace(out @ rho).real)
    return torch.tensor(values)


class OneByOne(GateNoise):
    """Depolarising of each wire after every gate, to be held against `density_values`."""

    def _after(self, wires: int) -> channels.Matrix:
        return channels.together([channels.depolarizing(self.one_qubit)] * wires)

    def program(self, circuit: Circuit):  # no noise in the change of basis
        perfect = GateNoise().program(circuit)
        return replace(super().program(circuit), branches=perfect.branches)


@settings(max_examples=20)
@given(seeds)
def test_density_matrices_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = layered(3, 2, encoding="ry+rz", rotation="rot", entangler="cnot_ring")
    words = tuple("".join(rng.choice(list("XYZI"), 3)) for _ in range(3))
    circuit = replace(base, readout=Expectations((*(w for w in words if w != "III"), "XYZ")))
    inputs, weights = (part.detach() for part in angles(circuit, seed, samples=1))
    found = Noisy(OneByOne(0.07))(circuit, inputs, weights)[0, 0]
    lowered = lower(circuit)
    expected = density_values(lowered.circuit, lowered.angles(inputs, weights), weights, 0.07)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_probabilities_and_words_come_from_one_distribution() -> None:
    base = layered(3, 2)
    inputs, weights = (part.detach() for part in angles(base, 3, samples=4))
    outcomes = Noisy(ALL_KINDS)(
        replace(base, readout=Probabilities((0, 1, 2))), inputs, weights
    ).reshape(4, 2, 2, 2)
    torch.testing.assert_close(outcomes.sum((1, 2, 3)), torch.ones(4, dtype=torch.float64))
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64)
    word = replace(base, readout=Expectations(("ZIZ",)))
    expected = torch.einsum("bijk,i,k->b", outcomes, sign, sign)
    torch.testing.assert_close(Noisy(ALL_KINDS)(word, inputs, weights)[0, :, 0], expected)


def test_a_faulty_readout_pulls_and_shrinks_what_is_read() -> None:
    """<Z> = 1 is read as 1 - 2 P(1 | 0)."""
    circuit = Circuit(1, (Operation("z", (0,)),), Expectations(("Z",)))
    nothing = torch.zeros(1, 1, 0, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64)
    value = Noisy(GateNoise(readout=(0.1, 0.3)))(circuit, *nothing)
    assert value.item() == pytest.approx(0.8)
    flipped = replace(circuit, operations=(Operation("x", (0,)),))
    assert Noisy(GateNoise(readout=(0.1, 0.3)))(flipped, *nothing).item() == pytest.approx(-0.4)


def test_noise_is_differentiable_and_agrees_with_the_shift_rule() -> None:
    circuit = layered(3, 2, encoding="ry+rz", reupload=True, rotation="rot", readout="z+x")
    inputs, weights = angles(circuit, 1, samples=2, count=2)
    run = Noisy(ALL_KINDS)
    assert torch.autograd.gradcheck(lambda i, w: run(circuit, i, w), (inputs, weights))
    gradient = torch.rand(2, 2, circuit.outputs, dtype=torch.float64)
    run(circuit, inputs, weights).backward(gradient)
    shifted = parameter_shift(circuit, inputs.detach(), weights.detach(), gradient, run)
    torch.testing.assert_close(inputs.grad, shifted[0])
    torch.testing.assert_close(weights.grad, shifted[1])


def test_checkpoints_change_no_value_and_no_gradient() -> None:
    circuit = layered(3, 2, reupload=True)
    found = []
    for run in (Noisy(ALL_KINDS), Noisy(ALL_KINDS, checkpointed=True)):
        inputs, weights = angles(circuit, 5, samples=3)
        values = run(circuit, inputs, weights)
        values.square().sum().backward()
        found.append((values.detach(), inputs.grad, weights.grad))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_single_precision_is_enough() -> None:
    circuit = layered(6, 3, reupload=True, readout="z+x")
    inputs, weights = (part.detach() for part in angles(circuit, 2, samples=5))
    double = Noisy(ALL_KINDS)(circuit, inputs, weights)
    single = Noisy(ALL_KINDS)(circuit, inputs.float(), weights.float())
    torch.testing.assert_close(single.double(), double, atol=FLOAT32_ATOL, rtol=0)


def test_shots_of_a_noisy_machine_come_near_its_values() -> None:
    circuit = layered(3, 2, readout="z+x")
    inputs, weights = (part.detach() for part in angles(circuit, 0, samples=100))
    exact = Noisy(ALL_KINDS)(circuit, inputs, weights)
    generator = torch.Generator().manual_seed(0)
    seen = Noisy(ALL_KINDS, shots=2000, generator=generator)(circuit, inputs, weights)
    error = (seen - exact) / ((1 - exact**2) / 2000).sqrt()
    assert error.abs().max() < 5
    assert 0.9 < error.std() < 1.1


@given(circuits)
def test_blocks_hold_every_step_once_in_an_order_that_means_the_same(circuit: Circuit) -> None:
    steps = GateNoise().program(lower(circuit).circuit).steps
    blocks = fuse(steps)
    together = [step for block in blocks for step in block.steps]
    assert len(together) == len(steps)
    assert {id(step) for step in together} == {id(step) for step in steps}
    for wire in range(circuit.qubits):
        before = [id(step) for step in steps if wire in step.wires]
        assert [id(step) for step in together if wire in step.wires] == before
    assert all(len(block.wires) <= 3 for block in blocks)


@given(circuits, seeds)
def test_what_branches_share_may_be_done_once(circuit: Circuit, seed: int) -> None:
    """A branch's steps are the shared ones, then its own, in an order that means the same."""
    one = list(GateNoise().program(lower(circuit).circuit).steps)
    rng = np.random.default_rng(seed)
    other = [step for step in one if rng.random() < 0.8]
    common, rests = shared([one, other])
    for steps, rest in zip((one, other), rests, strict=True):
        together = [*common, *rest]
        assert len(together) == len(steps)
        for wire in range(circuit.qubits):
            assert [s for s in together if wire in s.wires] == [s for s in steps if wire in s.wires]
    assert shared([one, one]) == (one, [[], []])


def test_a_layer_takes_noise_and_gives_it_up() -> None:
    circuit = layered(3, 2)
    layer = QuantumLayer(circuit, noise=ALL_KINDS)
    perfect = QuantumLayer(circuit)
    perfect.load_state_dict(layer.state_dict())
    x = torch.rand(4, 3)
    noisy = layer(x)
    assert (noisy - perfect(x)).abs().max() > 0.01
    noisy.sum().backward()
    assert layer.weight.grad is not None
    assert "one_qubit=0.02" in repr(layer)
    layer.set_noise(None)
    torch.testing.assert_close(layer(x), perfect(x))


def test_a_layer_under_noise_and_shots_learns_by_the_shift_rule() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = QuantumLayer(layered(2, 1), noise=ALL_KINDS, shots=500, generator=generator)
    layer(torch.rand(2, 2)).sum().backward()
    assert layer.weight.grad.abs().max() > 0


@pytest.mark.parametrize("method", ["fused", "adjoint"])
def test_methods_that_need_a_perfect_machine_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="perfect machine"):
        QuantumLayer(layered(2, 1), noise=PERFECT, diff_method=method)


def test_what_runs_the_layer_can_be_lent_and_is_given_back() -> None:
    layer = QuantumLayer(layered(2, 1), circuits=3)
    x = torch.rand(4, 3, 2)
    before = layer(x)
    seen = []

    def run(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        seen.append((inputs.shape, weights.shape))
        return torch.zeros(3, 4, circuit.outputs)

    with layer.run_by(run):
        assert layer(x).abs().max() == 0
    assert seen == [((3, 4, 2), (3, 2))]
    torch.testing.assert_close(layer(x), before)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GateNoise(one_qubit=1.5),
        lambda: GateNoise(two_qubit=-0.1),
        lambda: GateNoise(readout=(0.1, 2)),
        lambda: channels.thermal_relaxation(0, 1, 1),
        lambda: channels.pauli_channel({"X": 0.7, "Z": 0.7}),
        lambda: channels.pauli_channel({"X": 0.1, "ZZ": 0.1}),
        lambda: channels.pauli_channel({"Q": 0.1}),
    ],
)
def test_impossible_noise_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"must be|words of"):
        make()


def test_circuits_too_large_for_densities_are_refused() -> None:
    circuit = layered(MOST_QUBITS + 1, 1)
    inputs, weights = (part.detach() for part in angles(circuit, 0, samples=1))
    with pytest.raises(ValueError, match=f"up to {MOST_QUBITS}"):
        Noisy(PERFECT)(circuit, inputs, weights)
