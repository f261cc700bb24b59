"""Trajectories: right on average, as far off as they say, exact without noise, and large."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from hqgan.quantum import (
    Circuit,
    Expectations,
    GateNoise,
    Noisy,
    Probabilities,
    QuantumLayer,
    Trajectories,
    channels,
    layered,
    simulate,
    trajectories,
)
from hqgan.quantum.devices import DeviceNoise
from hqgan.quantum.gradients import parameter_shift
from hqgan.quantum.noise import MOST_QUBITS, Noise
from hqgan.quantum.pauli_transfer import Constant, Program, Turn
from hqgan.quantum.statevector import Run
from hqgan.quantum.unravelling import choices
from random_circuits import angles, circuits, seeds, well_posed

ATOL = 1e-9
FLOAT32_ATOL = 1e-5
DEVIATIONS = 4  # standard errors; seeds are fixed
NUMBER = 1500

PERFECT = GateNoise()
UNITARY = GateNoise(0.02, 0.05, readout=(0.01, 0.07))
ALL_KINDS = GateNoise(0.02, 0.05, 0.03, 0.04, readout=(0.01, 0.07))

CHANNELS = {
    "a gate": channels.gate("cnot"),
    "a gate with errors": channels.depolarizing(0.1, 2) @ channels.gate("cz"),
    "depolarising for good": channels.depolarizing(1.0),
    "depolarising beyond": channels.depolarizing(4 / 3),
    "Pauli errors": channels.pauli_channel({"XZ": 0.2, "YI": 0.2}) @ channels.gate("cnot"),
    "dephasing": channels.phase_damping(0.3) @ channels.gate("h"),
    "damping": channels.amplitude_damping(0.3),
    "hardly damping": channels.amplitude_damping(1e-9),
    "a reset": channels.amplitude_damping(1.0),
    "relaxing": channels.calibrated(
        0.02, channels.together([channels.thermal_relaxation(100, 80, 1)] * 2)
    ),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def detached(circuit: Circuit, seed: int, samples: int = 2, count: int = 1) -> tuple[Tensor, ...]:
    inputs, weights = angles(circuit, seed, samples, count)
    return inputs.detach(), weights.detach()


def assert_right_on_average(
    run: Trajectories, circuit: Circuit, parameters: tuple[Tensor, ...], exact: Run
) -> None:
    """Every value lies within a few of its standard errors, and their spread is what it should."""
    mean, error = run.with_errors(circuit, *parameters)
    expected = exact(circuit, *parameters)
    deviation = (mean - expected) / error.clamp_min(1e-6)
    assert deviation.abs().max() < DEVIATIONS
    assert deviation.std() > 0.5  # errors are not said to be larger than they are
    assert error.max() < 0.05


@dataclass(frozen=True, eq=False)
class Made:
    """A noise that is a program, whatever the circuit."""

    made: Program

    def program(self, circuit: Circuit) -> Program:
        return self.made


@pytest.mark.parametrize("name", CHANNELS)
def test_operators_make_the_channel_they_came_from(name: str) -> None:
    matrix = CHANNELS[name]
    np.testing.assert_allclose(
        channels.transfer_matrix(list(channels.kraus(matrix))), matrix, atol=ATOL
    )
    operators, chances = choices(matrix)
    if chances is not None:
        assert chances.sum() == pytest.approx(1)
        squares = operators.conj().mT @ operators
        identities = np.broadcast_to(np.eye(operators.shape[-1]), squares.shape)
        np.testing.assert_allclose(squares, identities, atol=ATOL)
        operators = np.sqrt(chances)[:, None, None] * operators
    np.testing.assert_allclose(channels.transfer_matrix(list(operators)), matrix, atol=ATOL)


@pytest.mark.parametrize(
    ("name", "number", "unitary"),
    [
        ("a gate", 1, True),
        ("a gate with errors", 16, True),
        ("depolarising for good", 4, True),
        ("Pauli errors", 3, True),
        ("dephasing", 2, True),
        ("damping", 2, False),
        ("hardly damping", 2, False),
        ("a reset", 2, False),
        ("relaxing", 16, False),
    ],
)
def test_chances_depend_on_the_state_only_where_they_must(
    name: str, number: int, unitary: bool
) -> None:
    operators, chances = choices(CHANNELS[name])
    assert len(operators) == number
    assert (chances is not None) == unitary


@pytest.mark.parametrize("matrix", [np.diag([1, 1, -1, 1.0]), 0.5 * np.eye(4)])
def test_what_is_no_channel_is_refused(matrix: np.ndarray) -> None:
    """The transposition, which is positive but not completely so, and a loss of the trace."""
    with pytest.raises(ValueError, match="no channel"):
        channels.kraus(matrix)


@given(circuits, seeds)
def test_one_trajectory_without_noise_is_the_simulator_and_draws_nothing(
    circuit: Circuit, seed: int
) -> None:
    parameters = detached(circuit, seed)
    if not well_posed(circuit, *parameters):
        return
    generator = seeded()
    before = generator.get_state()
    found = Trajectories(PERFECT, 1, generator)(circuit, *parameters)
    torch.testing.assert_close(found, simulate(circuit, *parameters), atol=ATOL, rtol=0)
    assert torch.equal(generator.get_state(), before)


def test_a_perfect_device_is_the_simulator_in_single_precision_too() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    circuit = layered(5, 4, encoding="ry+rx", rotation="rot", readout="z+x")
    inputs, weights = detached(circuit, 0)
    mean, error = Trajectories(DeviceNoise("manila", 0.0), 3).with_errors(
        circuit, inputs.float(), weights.float()
    )
    expected = simulate(circuit, inputs, weights)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean.double(), expected, atol=FLOAT32_ATOL, rtol=0)
    assert error.max() < FLOAT32_ATOL


@pytest.mark.parametrize("noise", [UNITARY, ALL_KINDS])
@pytest.mark.parametrize("readout", ["z+x", "z+zz", "probabilities", "postselected"])
def test_noise_of_gates_agrees_with_coefficients(noise: Noise, readout: str) -> None:
    circuit = layered(4, 2, encoding="ry+rz", entangler="cnot_chain", readout=readout)
    run = Trajectories(noise, NUMBER, seeded())
    assert_right_on_average(run, circuit, detached(circuit, 1), Noisy(noise))


@pytest.mark.parametrize(("device", "strength"), [("manila", 2.0), ("marrakesh", 10.0)])
def test_noise_of_devices_agrees_with_coefficients(device: str, strength: float) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    noise = DeviceNoise(device, strength)
    base = layered(5, 2, encoding="ry+rx", rotation="rot", reupload=True)
    circuit = replace(base, readout=Expectations(("ZIIII", "IXYIZ", "XYXYX", "ZZZZZ", "IIIIY")))
    run = Trajectories(noise, NUMBER, seeded())
    assert_right_on_average(run, circuit, detached(circuit, 2), Noisy(noise))


def random_channel(rng: np.random.Generator, qubits: int, number: int) -> np.ndarray:
    """From an isometry, so that nothing about it is special."""
    size = 2**qubits
    shape = number * size, size
    whole, _ = np.linalg.qr(rng.normal(size=shape) + 1j * rng.normal(size=shape))
    return channels.transfer_matrix(list(whole.reshape(number, size, size)))


@pytest.mark.parametrize("seed", range(3))
def test_any_channels_on_any_wires_agree_with_coefficients(seed: int) -> None:
    """Channels on the changes of basis and the read-out as well."""
    rng = np.random.default_rng(seed)
    circuit = replace(layered(4, 0), readout=Expectations(("ZIII", "IZZI", "ZZZZ", "XIIX", "IXXI")))
    steps = []
    for wires in [(2, 0), (1, 2), (1, 2), (3,), (3,), (3, 1), (0, 3), (0,), (2,), (3, 0)]:
        steps.append(Constant(wires, random_channel(rng, len(wires), int(rng.integers(1, 4)))))
        steps.append(Turn(wires[:1], str(rng.choice(["rx", "ry", "rz"])), (0, 2), (1.0, -0.5), 0.3))
    tails = tuple(tuple(random_channel(rng, 1, 2) for _ in range(4)) for _ in range(2))
    noise = Made(Program(4, tuple(steps), tails))
    run = Trajectories(noise, NUMBER, seeded())
    assert_right_on_average(run, circuit, detached(circuit, seed), Noisy(noise))


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (3, 1), (1, 3), (2, 3)])
def test_samples_and_circuits_have_trajectories_of_their_own(samples: int, count: int) -> None:
    circuit = layered(3, 1)
    inputs, weights = detached(circuit, 0, samples, count)
    mean, error = Trajectories(ALL_KINDS, 5).with_errors(circuit, inputs, weights)
    assert mean.shape == error.shape == (count, samples, 3)
    assert Trajectories(ALL_KINDS, 5)(circuit, inputs[:1], weights).shape == mean.shape
    none = Trajectories(ALL_KINDS, 5)(circuit, inputs[:, :0], weights)
    assert none.shape == (count, 0, 3)
    same = inputs[:1, :1].expand(count, samples, -1), weights[:1].expand(count, -1)
    values = Trajectories(GateNoise(0.5, 0.5), 9, seeded())(circuit, *same).flatten(0, 1)
    assert len(values.unique(dim=0)) == samples * count


def test_the_error_is_what_repeated_runs_differ_by_and_falls_with_the_root_of_the_number() -> None:
    circuit = layered(3, 2, readout="z+x")
    inputs, weights = detached(circuit, 4, samples=1)
    inputs = inputs.expand(1, 400, -1)  # 400 runs of one sample
    exact = Noisy(ALL_KINDS)(circuit, inputs, weights)
    distances = []
    for number in (8, 128):
        mean, error = Trajectories(ALL_KINDS, number, seeded()).with_errors(
            circuit, inputs, weights
        )
        distances.append((mean - exact).square().mean().sqrt())
        expected = error.square().mean().sqrt()
        torch.testing.assert_close(distances[-1], expected, atol=0, rtol=0.1)
    torch.testing.assert_close(
        distances[0] / distances[1], torch.tensor(4.0).double(), rtol=0.1, atol=0
    )


def test_a_single_trajectory_has_no_error_to_tell() -> None:
    circuit = layered(2, 1)
    mean, error = Trajectories(ALL_KINDS, 1).with_errors(circuit, *detached(circuit, 0))
    assert mean.isfinite().all()
    assert error.isnan().all()


def test_the_same_seed_gives_the_same_values_whatever_was_run_before() -> None:
    circuit = layered(3, 2)
    parameters = detached(circuit, 0)
    values = [Trajectories(ALL_KINDS, 20, seeded(s))(circuit, *parameters) for s in (7, 7, 8)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_pieces_of_the_batch_are_put_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven states at a time, so that a sample's trajectories are in several pieces."""
    circuit = layered(3, 2)
    monkeypatch.setattr(trajectories, "CHUNK", 7 * 8)
    run = Trajectories(ALL_KINDS, 200, seeded())
    assert_right_on_average(run, circuit, detached(circuit, 3, samples=4), Noisy(ALL_KINDS))


def test_a_shot_a_trajectory_is_a_shot_of_the_machine() -> None:
    circuit = layered(3, 2, readout="z+x")
    parameters = detached(circuit, 5, samples=20)
    run = Trajectories(ALL_KINDS, NUMBER, seeded(), shots=1)
    assert_right_on_average(run, circuit, parameters, Noisy(ALL_KINDS))
    exact = Noisy(ALL_KINDS)(circuit, *parameters)
    binomial = ((1 - exact**2) / NUMBER).sqrt()
    error = run.with_errors(circuit, *parameters)[1]
    torch.testing.assert_close(error, binomial, atol=0.003, rtol=0)
    single = Trajectories(ALL_KINDS, 1, seeded(), shots=1)(circuit, *parameters)
    torch.testing.assert_close(single.abs(), torch.ones_like(single))


def test_a_condition_that_is_never_met_gives_zeros() -> None:
    circuit = replace(layered(2, 0), readout=Probabilities((0,), ancillas=(1,)))
    inputs, weights = torch.full((1, 1, 2), torch.pi).double(), torch.zeros(1, 0).double()
    found = Trajectories(GateNoise(0.1), 4, seeded(), shots=1)(circuit, inputs, weights)
    assert found.isfinite().all()


def test_the_shift_rule_on_trajectories_gives_the_gradient_on_average() -> None:
    circuit = layered(2, 1)
    inputs, weights = angles(circuit, 6, samples=1)
    gradient = torch.ones(1, 1, 2, dtype=torch.float64)
    Noisy(ALL_KINDS)(circuit, inputs, weights).backward(gradient)
    run = Trajectories(ALL_KINDS, 20_000, seeded())
    found = parameter_shift(circuit, inputs.detach(), weights.detach(), gradient, run)
    torch.testing.assert_close(found[0], inputs.grad, atol=0.015, rtol=0)
    torch.testing.assert_close(found[1], weights.grad, atol=0.015, rtol=0)
    assert not run(circuit, inputs, weights).requires_grad


@pytest.mark.parametrize("noise", [UNITARY, ALL_KINDS])
def test_fourteen_qubits_run_and_their_ends_are_as_a_shorter_chain_has_them(noise: Noise) -> None:
    """After two layers the first qubits know nothing of the sixth and later ones."""
    whole, part = (layered(qubits, 2, final_rotation=True, readout="zz") for qubits in (14, 6))
    inputs, weights = detached(whole, 7, samples=1)
    ends = inputs[..., :6], weights.view(1, 3, 14)[..., :6].reshape(1, 18)
    run = Trajectories(noise, 60, seeded())
    mean, error = run.with_errors(whole, inputs.float(), weights.float())
    assert mean.shape == (1, 1, 13)
    assert 0 < error.min() < error.max() < 0.15
    expected = Noisy(noise)(part, *ends)[..., :3]
    assert ((mean[..., :3] - expected) / error[..., :3]).abs().max() < DEVIATIONS


def test_a_layer_too_large_for_coefficients_says_so_and_is_run_by_trajectories() -> None:
    layer = QuantumLayer(layered(MOST_QUBITS + 1, 1), noise=UNITARY)
    x = torch.rand(2, MOST_QUBITS + 1)
    with pytest.raises(ValueError, match="Trajectories"):
        layer(x)
    with layer.run_by(Trajectories(UNITARY, 4, seeded())):
        assert layer(x).shape == (2, MOST_QUBITS + 1)


@pytest.mark.parametrize(("number", "shots"), [(0, None), (1.5, None), (3, 0), (3, "many")])
def test_unusable_numbers_are_refused(number, shots) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Trajectories(UNITARY, number, shots=shots)
