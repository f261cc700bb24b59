"""Aer's density matrices: against Aer's own shots, against our own noise, and piece by piece."""

import numpy as np
import pytest
import torch

from hqgan.errors import UsageError
from hqgan.quantum import Circuit, Expectations, Operation, Probabilities, Slot, layered, simulate
from hqgan.quantum.aer import AerNoise, AerRun, joint
from hqgan.quantum.devices import DeviceNoise, fake_device, line, transpiled
from hqgan.quantum.jobs.packing import measured, values_for
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import Noisy
from random_circuits import angles

pytest.importorskip("qiskit_aer")
pytest.importorskip("qiskit_ibm_runtime")

DEVIATIONS = 5
OURS = 1e-3  # what our own noise simulator promises
ROUNDING = 1e-10


def test_outcomes_are_those_that_aer_draws_itself() -> None:
    """A second way: Aer's own noise model of the whole device, its own read-out, its own shots."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    shots = 100_000
    backend = fake_device("manila")
    circuit = layered(3, 2, encoding="ry+rz", readout="probabilities")
    inputs, weights = angles(circuit, 0, samples=1)
    ours = AerRun("manila")(circuit, inputs, weights)[0, 0].numpy()

    lowered = lower(circuit)
    (one,) = measured(lowered.circuit, 1)
    on = transpiled(one, backend, line(backend.target, 3))
    values = values_for(on, lowered.angles(inputs, weights)[0].detach().numpy())
    simulator = AerSimulator(noise_model=NoiseModel.from_backend(backend), seed_simulator=1)
    counts = simulator.run(on.assign_parameters(values[0]), shots=shots).result().get_counts()
    seen = np.array([counts.get(f"{k:03b}"[::-1], 0) for k in range(8)]) / shots
    assert (np.abs(seen - ours) < DEVIATIONS * np.sqrt(ours * (1 - ours) / shots)).all()


@pytest.mark.parametrize(
    ("device", "qubits", "readout"),
    [("manila", 4, "z+x"), ("lagos", 3, "postselected"), ("marrakesh", 5, "z")],
)
def test_our_own_noise_agrees(device: str, qubits: int, readout: str) -> None:
    # With rotations at the end, for what commutes with a measurement is left out of the circuit
    # that a device runs, and not of ours.
    circuit = layered(qubits, 2, encoding="ry+rx", readout=readout, final_rotation=True)
    inputs, weights = angles(circuit, 1, samples=3, count=2)
    theirs = AerRun(device)(circuit, inputs, weights)
    ours = Noisy(DeviceNoise(device))(circuit, inputs, weights)
    assert theirs.shape == (2, 3, circuit.outputs)
    assert (theirs - ours).abs().max() < OURS
    assert (theirs - simulate(circuit, inputs, weights)).abs().max() > OURS


def test_qubits_that_no_gate_joins_are_simulated_apart_and_mean_the_same() -> None:
    """Two pairs side by side: the outcomes of each are those of the pair alone on its qubits."""
    backend = fake_device("marrakesh")
    noise = AerNoise(backend)
    circuit = lower(layered(2, 2, readout="probabilities")).circuit
    rows = np.random.default_rng(0).uniform(-2, 2, (3, 2 * circuit.inputs))
    lines = [(4, 5), (70, 69)]
    (pair,) = measured(circuit, 2)
    on = transpiled(pair, backend, lines[0] + lines[1])
    both = noise.parts(on, values_for(on, rows))
    assert [part.bits for part in both] == [(0, 1), (3, 2)]  # by number of the qubit
    for place, own in enumerate(np.split(rows, 2, axis=1)):
        (one,) = measured(circuit, 1)
        alone = transpiled(one, backend, lines[place])
        expected = joint(noise.parts(alone, values_for(alone, own)), 2)
        outcomes = joint(both, 4).reshape(3, 4, 4).sum(2 - place)
        np.testing.assert_allclose(outcomes, expected, atol=ROUNDING)


def test_shots_come_from_the_noisy_distribution_and_from_the_seed() -> None:
    circuit = layered(2, 1, readout="x")
    inputs, weights = angles(circuit, 2, samples=40)
    exact = AerRun("manila")(circuit, inputs, weights)
    drawn = AerRun("manila", shots=1000, seed=3)(circuit, inputs, weights)
    error = (drawn - exact) / ((1 - exact**2) / 1000).sqrt()
    assert 0.8 < error.std() < 1.2
    torch.testing.assert_close(
        AerRun("manila", shots=1000, seed=3)(circuit, inputs, weights), drawn, rtol=0, atol=0
    )


def test_a_circuit_without_angles_gives_the_same_for_every_sample() -> None:
    circuit = Circuit(
        2, (Operation("h", (0,)), Operation("cnot", (0, 1))), Expectations(("ZZ", "XX"))
    )
    values = AerRun("manila")(circuit, torch.zeros(1, 3, 0), torch.zeros(1, 0))
    assert values.shape == (1, 3, 2)
    assert (values > 0.9).all()
    assert (values < 1).all()


def test_a_rotation_that_changes_nothing_measured_may_go() -> None:
    """The transpiler takes out RZ before a Z measurement; angles still reach their gates."""
    gates = [("ry", 1), ("ry", 0), ("rz", 1), ("ry", 0), ("rz", 0)]
    turns = [Operation(gate, (wire,), Slot("input", i)) for i, (gate, wire) in enumerate(gates)]
    circuit = Circuit(2, tuple(turns), Probabilities((0, 1)))
    inputs, weights = angles(circuit, 3)
    values = AerRun("manila")(circuit, inputs, weights)
    assert (values - simulate(circuit, inputs, weights)).abs().max() < 0.1


def test_an_empty_batch_gives_no_values() -> None:
    circuit = layered(2, 1)
    values = AerRun("manila")(circuit, torch.zeros(1, 0, 2), torch.zeros(1, circuit.weights))
    assert values.shape == (1, 0, 2)


def test_a_circuit_longer_than_the_device_is_refused() -> None:
    circuit = layered(6, 1)
    with pytest.raises(UsageError, match="6 qubits"):
        AerRun("manila")(circuit, torch.zeros(1, 1, 6), torch.zeros(1, circuit.weights))
