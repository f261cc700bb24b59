"""Finite shots: right on average, as noisy as statistics says, and the same for the same seed."""

import copy
import pickle

import pytest
import torch

from hqgan.quantum import Circuit, Expectations, Probabilities, QuantumLayer, layered, simulate
from hqgan.quantum.gradients import parameter_shift
from hqgan.quantum.shots import Shots
from random_circuits import angles

SHOTS = 4000
DEVIATIONS = 5  # a fixed seed is judged: the chance was one in a million when it was drawn


def seeded(seed: int = 0, shots: int = SHOTS) -> Shots:
    return Shots(shots, torch.Generator().manual_seed(seed))


def test_expectation_values_have_the_standard_error_of_shots() -> None:
    circuit = layered(3, 2, encoding="ry+rz", rotation="rot", readout="z+x")
    inputs, weights = angles(circuit, 0, samples=200, count=2)
    exact = simulate(circuit, inputs, weights).detach()
    error = (seeded()(circuit, inputs, weights) - exact) / ((1 - exact**2) / SHOTS).sqrt()
    assert error.abs().max() < DEVIATIONS
    assert 0.9 < error.std() < 1.1


@pytest.mark.parametrize("ancillas", [(), (1,)])
def test_frequencies_come_near_probabilities(ancillas: tuple[int, ...]) -> None:
    circuit = Circuit(3, layered(3, 2).operations, Probabilities((0, 2), ancillas))
    inputs, weights = angles(circuit, 1, samples=5)
    seen = seeded()(circuit, inputs, weights)
    torch.testing.assert_close(seen.sum(-1), torch.ones_like(seen[..., 0]))
    assert (seen - simulate(circuit, inputs, weights)).abs().max() < DEVIATIONS * SHOTS**-0.5


def test_words_of_one_basis_share_their_shots() -> None:
    circuit = Circuit(2, layered(2, 1).operations, Expectations(("ZI", "IZ", "ZZ")))
    inputs, weights = angles(circuit, 2, samples=1)
    z0, z1, both = seeded(shots=1)(circuit, inputs, weights)[0, 0].tolist()
    assert both == z0 * z1


def test_the_same_seed_gives_the_same_values() -> None:
    circuit = layered(2, 1)
    parameters = angles(circuit, 3, samples=3)
    assert torch.equal(seeded(7)(circuit, *parameters), seeded(7)(circuit, *parameters))
    assert not torch.equal(seeded(7)(circuit, *parameters), seeded(8)(circuit, *parameters))


@pytest.mark.parametrize("samples", [0, 2])
def test_counted_values_have_no_derivative(samples: int) -> None:
    """Not even those of no sample, so that a wrong use is seen at once."""
    inputs, weights = angles(layered(2, 1), 3, samples=samples)
    assert weights.requires_grad
    assert not seeded()(layered(2, 1), inputs, weights).requires_grad


def test_the_shift_rule_on_shots_gives_the_gradient_on_average() -> None:
    circuit = layered(2, 2)
    inputs, weights = (part.detach() for part in angles(circuit, 4, samples=1))
    gradient = torch.ones(1, 1, 2, dtype=inputs.dtype)
    exact = parameter_shift(circuit, inputs, weights, gradient)
    noisy = parameter_shift(circuit, inputs, weights, gradient, seeded(shots=200_000))
    for mine, theirs in zip(noisy, exact, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0.02, rtol=0)


def test_a_layer_with_shots_trains() -> None:
    layer = QuantumLayer(layered(2, 1), shots=500, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.2)
    inputs = torch.zeros(4, 2)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = layer(inputs).sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0] < losses[0]
    assert "shots=500" in repr(layer)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other(inputs).shape == (4, 2)


def test_unusable_shots_are_refused() -> None:
    for shots in (0, -1, 1.5, "many"):
        with pytest.raises(ValueError, match=f"shots={shots!r}: at least one"):
            QuantumLayer(layered(2, 1), shots=shots)
    with pytest.raises(ValueError, match="'backprop' differentiates exact values"):
        QuantumLayer(layered(2, 1), shots=10, diff_method="backprop")
