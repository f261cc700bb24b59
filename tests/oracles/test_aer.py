"""Aer finds the noisy values that we do: its density matrix of the same transpiled circuit."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hqgan.quantum import Circuit, Noisy, layered, simulate
from random_circuits import angles

pytest.importorskip("qiskit_ibm_runtime", reason="the extra quantum is not installed")
pytest.importorskip("qiskit_aer", reason="the extra quantum is not installed")

from hqgan.quantum.devices import DeviceNoise, _of, fake_device, line, transpiled
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
