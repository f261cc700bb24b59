"""The parameter-shift rule gives what backpropagation gives."""

import pytest
import torch
from hypothesis import assume, given, settings

from hqgan.quantum import Circuit, layered, simulate
from hqgan.quantum.gradients import parameter_shift
from random_circuits import angles, circuits, seeds

ATOL = 1e-8


@settings(max_examples=40)
@given(circuits, seeds)
def test_the_shift_rule_equals_backpropagation(circuit: Circuit, seed: int) -> None:
    assume(not getattr(circuit.readout, "ancillas", ()))
    inputs, weights = angles(circuit, seed, samples=2, count=2)
    for given_inputs in (inputs, inputs[:1]):  # own inputs, and the same for all circuits
        values = simulate(circuit, given_inputs, weights)
        gradient = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).reshape(values.shape)
        assume(values.requires_grad)
        exact = torch.autograd.grad(
            (values * gradient).sum(), (given_inputs, weights), materialize_grads=True
        )
        with torch.no_grad():
            found = parameter_shift(circuit, given_inputs, weights, gradient)
        for mine, theirs in zip(found, exact, strict=True):
            torch.testing.assert_close(mine, theirs, atol=ATOL, rtol=0)


def test_post_selection_is_refused() -> None:
    circuit = layered(3, 1, readout="postselected")
    with pytest.raises(ValueError, match=r"ancillas \(0,\) together"):
        parameter_shift(
            circuit, torch.zeros(1, 1, 3), torch.zeros(1, 3), torch.zeros(1, 1, circuit.outputs)
        )
