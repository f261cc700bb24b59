"""Calibrated devices: their names, lines of qubits on them, and their noise."""

import numpy as np
import pytest
import torch

from hqgan.errors import UsageError
from hqgan.quantum import Circuit, Expectations, Noisy, layered, simulate
from random_circuits import angles

pytest.importorskip("qiskit_ibm_runtime", reason="the extra quantum is not installed")

import itertools

from hqgan.quantum.devices import (
    DeviceNoise,
    fake_device,
    fake_names,
    line,
    lines,
)


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


def test_a_barrier_is_no_gate() -> None:
    """What follows it counts as if it were not there."""
    from qiskit import QuantumCircuit

    plain, parted = QuantumCircuit(2), QuantumCircuit(2)
    for circuit in (plain, parted):
        circuit.x(0)
        if circuit is parted:
            circuit.barrier()
        circuit.cx(0, 1)
    noise, target = DeviceNoise("manila"), fake_device("manila").target
    with_it, without = (noise.steps(c, target, (0, 1), {}) for c in (parted, plain))
    assert len(with_it) == len(without) == 4  # two gates, and the noise of each
    for one, other in zip(with_it, without, strict=True):
        assert one.wires == other.wires
        np.testing.assert_array_equal(one.matrix, other.matrix)


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
