"""Calibrated devices: names, lines of qubits, and noise equal to what Aer makes of it."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hqgan.errors import UsageError
from hqgan.quantum import Circuit, Expectations, Noisy, layered, simulate
from random_circuits import angles

pytest.importorskip("qiskit_ibm_runtime", reason="the extra quantum is not installed")
pytest.importorskip("qiskit_aer", reason="the extra quantum is not installed")

import itertools

from hqgan.quantum.devices import (
    DeviceNoise,
    _of,
    fake_device,
    fake_names,
    line,
    lines,
    transpiled,
)
from hqgan.quantum.interop import outcomes_from_qiskit, to_qiskit
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import basis_changes

AGREES = 1e-6  # asked for is 1e-3
# Native two-qubit gates cz, cx and ecr; 5, 133, 156 and 127 qubits.
DEVICES = ("manila", "torino", "marrakesh", "brisbane")


def by_aer(circuit: Circuit, device: str, inputs: torch.Tensor, weights: torch.Tensor) -> NDArray:
    """Words of single Z or X, one sample a row: Aer's density matrix of the same circuit."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    backend = fake_device(device)
    on = line(backend.target, circuit.qubits)
    noise = NoiseModel.from_backend(backend)
    errors = {
        tuple(qubits): np.array(error["probabilities"])
        for error in noise.to_dict(serializable=True)["errors"]
        if error["type"] == "roerror"
        for qubits in error["gate_qubits"]
    }
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    lowered = lower(circuit)
    isa = transpiled(to_qiskit(lowered.circuit), backend, on)
    bound = []
    for row in lowered.angles(inputs, weights)[0].numpy():
        for change in basis_changes(circuit):
            whole = isa.compose(transpiled(_of(change, circuit.qubits), backend, on))
            whole.save_probabilities(qubits=list(on))
            bound.append(whole.assign_parameters({p: row[p.index] for p in whole.parameters}))
    found = simulator.run(bound).result()  # at once: reading the noise of a whole device is slow
    values = []
    for number in range(len(bound)):
        outcomes = outcomes_from_qiskit(np.asarray(found.data(number)["probabilities"]))
        each = outcomes.reshape((2,) * circuit.qubits)
        for wire, qubit in enumerate(on):
            others = tuple(other for other in range(circuit.qubits) if other != wire)
            read = each.sum(others) @ errors[(qubit,)]
            values.append(read[0] - read[1])
    return np.array(values).reshape(inputs.shape[1], -1)


@pytest.mark.parametrize("device", DEVICES)
def test_aer_finds_the_same_noisy_values(device: str) -> None:
    circuit = layered(3, 3, reupload=True, readout="z+x")
    inputs, weights = (part.detach() for part in angles(circuit, 0, samples=2))
    ours = Noisy(DeviceNoise(device))(circuit, inputs, weights)[0].numpy()
    exact = simulate(circuit, inputs, weights)[0].numpy()
    assert np.abs(ours - exact).max() > 100 * AGREES  # there is noise to agree on
    np.testing.assert_allclose(ours, by_aer(circuit, device, inputs, weights), atol=AGREES)


def test_aer_agrees_on_rotations_of_every_kind() -> None:
    circuit = layered(3, 2, encoding="ry+rz", rotation="rot", entangler="cnot_chain", readout="z+x")
    inputs, weights = (part.detach() for part in angles(circuit, 1, samples=2))
    ours = Noisy(DeviceNoise("marrakesh"))(circuit, inputs, weights)[0].numpy()
    np.testing.assert_allclose(ours, by_aer(circuit, "marrakesh", inputs, weights), atol=AGREES)


def test_noise_grows_with_its_strength_from_none() -> None:
    circuit = layered(3, 3, reupload=True, readout="z+x")
    inputs, weights = (part.detach() for part in angles(circuit, 2, samples=20))
    exact = simulate(circuit, inputs, weights)
    off = [
        (Noisy(DeviceNoise("torino", strength))(circuit, inputs, weights) - exact).abs().mean()
        for strength in (0, 0.5, 1, 2, 4)
    ]
    assert off[0] < 1e-12
    assert off == sorted(off)


@pytest.mark.parametrize("name", ["marrakesh", "fake_marrakesh", "Fake_Marrakesh"])
def test_a_device_has_one_name_and_is_found_by_several(name: str) -> None:
    assert fake_device(name).name == "fake_marrakesh"
    assert "fake_marrakesh" in fake_names()


def test_a_misspelt_device_is_guessed() -> None:
    with pytest.raises(UsageError, match="mean 'fake_marrakesh'"):
        fake_device("fake_marakesh")


@pytest.mark.parametrize("qubits", [1, 2, 6, 8])
def test_a_line_is_of_coupled_qubits_that_differ(qubits: int) -> None:
    target = fake_device("marrakesh").target
    found = line(target, qubits)
    assert len(set(found)) == qubits
    for a, b in itertools.pairwise(found):
        assert (a, b) in target["cz"] or (b, a) in target["cz"]


def test_a_line_is_better_than_most_others() -> None:
    target = fake_device("marrakesh").target

    def gates(path: tuple[int, ...]) -> float:
        pairs = itertools.pairwise(path)
        return sum(
            target["cz"][pair if pair in target["cz"] else pair[::-1]].error for pair in pairs
        )

    best, others = gates(line(target, 5)), [gates(path) for path in lines(target, 5, 15)[1:]]
    assert best < np.median(others)


def test_sixteen_circuits_of_eight_qubits_fit_side_by_side() -> None:
    found = lines(fake_device("marrakesh").target, 8, 16)
    assert len(found) >= 12
    qubits = [qubit for path in found for qubit in path]
    assert len(set(qubits)) == len(qubits)


def test_a_circuit_longer_than_the_device_is_refused() -> None:
    with pytest.raises(UsageError, match="has none; take a larger one"):
        line(fake_device("manila").target, 6)


def test_a_ring_does_not_fit_a_line() -> None:
    circuit = layered(4, 2, entangler="cz_ring")
    inputs, weights = (part.detach() for part in angles(circuit, 0, samples=1))
    with pytest.raises(UsageError, match="a chain, not a ring"):
        Noisy(DeviceNoise("marrakesh"))(circuit, inputs, weights)


def test_words_over_several_qubits_are_read_with_noise() -> None:
    """<ZZ> of a noisy Bell pair is below 1 and above what two independent read-outs would give."""
    bell = Circuit(2, layered(2, 1).operations, Expectations(("ZZ", "ZI")))
    inputs = torch.zeros(1, 1, 2, dtype=torch.float64)
    weights = torch.zeros(1, 2, dtype=torch.float64)
    value = Noisy(DeviceNoise("manila"))(bell, inputs, weights)[0, 0, 0]
    assert 0.8 < value < 1


@pytest.mark.parametrize("strength", [-1.0, float("inf"), float("nan")])
def test_an_impossible_strength_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match="must be at least 0"):
        DeviceNoise("manila", strength)
