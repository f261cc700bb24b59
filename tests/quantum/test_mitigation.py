"""Mitigation undoes the errors it is against: exactly where they are known, and on fake devices."""

from itertools import product

import numpy as np
import pytest
import torch

from hqgan.errors import HqganError, UsageError
from hqgan.quantum import Probabilities, layered, simulate
from hqgan.quantum.backends import Device, open_backend
from hqgan.quantum.jobs.mitigation import FOLDS, Correction, folded, methods_of, no_noise
from hqgan.quantum.jobs.packing import measured
from hqgan.quantum.jobs.readings import distribution, expectations
from hqgan.quantum.lowering import lower
from random_circuits import angles

ROUNDING = 1e-10


def every_shot(probabilities: np.ndarray, shots: int) -> np.ndarray:
    """Bits (1, S, Q) in which each outcome comes as often as its probability says, exactly."""
    qubits = probabilities.size.bit_length() - 1
    outcomes = np.array(list(product([False, True], repeat=qubits)))
    return np.repeat(outcomes, np.rint(probabilities * shots).astype(int), axis=0)[None]


def misread(probabilities: np.ndarray, wrong: list[tuple[float, float]]) -> np.ndarray:
    """Outcomes as they are read, where qubit q errs with P(1|0), P(0|1) = wrong[q]."""
    matrix = np.ones((1, 1))
    for one_for_zero, zero_for_one in wrong:
        own = [[1 - one_for_zero, zero_for_one], [one_for_zero, 1 - zero_for_one]]
        matrix = np.kron(matrix, own)
    return matrix @ probabilities


WRONG = [(0.125, 0.25), (0.0, 0.125)]
TRUE = np.array([0.5, 0.125, 0.25, 0.125])
SHOTS = 2**12


def correction() -> Correction:
    zeros, ones = np.eye(4)[0], np.eye(4)[3]
    read = [every_shot(misread(state, WRONG), SHOTS)[0] for state in (zeros, ones)]
    return Correction.from_calibration(read[0], read[1])


def test_known_read_out_errors_are_undone_exactly() -> None:
    bits = every_shot(misread(TRUE, WRONG), SHOTS)
    words = ["ZI", "IZ", "ZZ"]
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    raw, _ = expectations(bits, words)
    np.testing.assert_allclose(raw[0], signs @ misread(TRUE, WRONG), atol=ROUNDING)
    corrected, errors = expectations(bits, words, correction())
    np.testing.assert_allclose(corrected[0], signs @ TRUE, atol=ROUNDING)
    assert (errors[0] > np.sqrt((1 - corrected[0] ** 2) / SHOTS)).all()  # it costs precision


@pytest.mark.parametrize("ancillas", [(), (0,)])
def test_probabilities_are_corrected_before_they_are_conditioned(ancillas: tuple[int, ...]) -> None:
    bits = every_shot(misread(TRUE, WRONG), SHOTS)
    wires = tuple(q for q in (0, 1) if q not in ancillas)
    values, errors = distribution(bits, Probabilities(wires, ancillas), correction())
    expected = TRUE if not ancillas else TRUE[:2] / TRUE[:2].sum()
    np.testing.assert_allclose(values[0], expected, atol=ROUNDING)
    assert (errors > 0).all()


def test_a_condition_that_no_shot_meets_gives_zeros() -> None:
    bits = every_shot(np.array([0, 0, 0.5, 0.5]), 10)
    values, _ = distribution(bits, Probabilities((1,), (0,)))
    np.testing.assert_array_equal(values, [[0, 0]])


def test_standard_errors_are_those_of_repeated_experiments() -> None:
    random = np.random.default_rng(0)
    bits = random.random((2000, 100, 2)) < [0.2, 0.4]
    for made in (
        expectations(bits, ["ZI", "ZZ"]),
        expectations(bits, ["ZI", "ZZ"], correction()),
        distribution(bits, Probabilities((0,), (1,))),
    ):
        np.testing.assert_allclose(made[1].mean(0), made[0].std(0), rtol=0.1)


def test_a_qubit_that_reads_nothing_is_named() -> None:
    blind = np.random.default_rng(0).random((1000, 2)) < 0.5
    with pytest.raises(HqganError, match="read-out is broken"):
        Correction.from_calibration(blind, blind)


def test_a_straight_line_is_read_at_no_noise() -> None:
    assert no_noise(FOLDS) @ (0.7 - 0.05 * np.array(FOLDS)) == pytest.approx(0.7)
    assert np.sqrt((no_noise(FOLDS) ** 2).sum()) == pytest.approx(1.2, abs=0.02)
    np.testing.assert_array_equal(no_noise((1,)), [1])


def test_folding_repeats_two_qubit_gates_and_keeps_the_meaning() -> None:
    qiskit = pytest.importorskip("qiskit")
    (circuit,) = measured(lower(layered(3, 2, final_rotation=True)).circuit, 1)
    thrice = folded(circuit, 3)
    assert thrice.num_nonlocal_gates() == 3 * circuit.num_nonlocal_gates()
    bound = [
        each.remove_final_measurements(inplace=False).assign_parameters(
            np.linspace(0, 3, each.num_parameters)
        )
        for each in (circuit, thrice)
    ]
    states = [qiskit.quantum_info.Statevector(each) for each in bound]
    assert states[0].equiv(states[1])


def test_a_gate_that_is_not_its_own_inverse_is_not_folded() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(2)
    circuit.iswap(0, 1)
    with pytest.raises(UsageError, match="iswap"):
        folded(circuit, 3)


@pytest.mark.parametrize("mitigation", ["trex", "trex+zne"])
def test_on_a_fake_device_mitigated_values_are_nearer_than_raw_ones(mitigation: str) -> None:
    pytest.importorskip("qiskit_aer")
    circuit = layered(3, 4, readout="z+x", final_rotation=True)
    inputs, weights = angles(circuit, 0, samples=6)
    device = open_backend("fake:manila", shots=20_000, mitigation=mitigation, seed=1)
    assert isinstance(device, Device)
    order = device.order(circuit, inputs, weights)
    found = device.wait(order, device.submit(order, "tag"))
    exact = simulate(circuit, inputs, weights).detach()
    raw, mitigated = ((values - exact).abs().mean() for values in (found.raw, found.values))
    assert mitigated < 0.6 * raw
    assert found.mitigation == mitigation
    torch.testing.assert_close(found.raw.shape, found.values.shape)


def test_methods_are_read_from_their_names() -> None:
    assert methods_of("none") == frozenset()
    assert methods_of("trex+zne") == {"trex", "zne"}
    with pytest.raises(UsageError, match="joined by"):
        methods_of("")
