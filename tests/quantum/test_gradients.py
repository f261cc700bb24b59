"""The adjoint method and the parameter-shift rule give what backpropagation gives."""

import pytest
import torch
from hypothesis import assume, given, settings

from hqgan.quantum import Circuit, QuantumLayer, layered, simulate
from hqgan.quantum.gradients import adjoint, parameter_shift
from random_circuits import angles, circuits, seeds, well_posed

ATOL = 1e-8


@settings(max_examples=60)
@given(circuits, seeds)
def test_both_rules_equal_backpropagation(circuit: Circuit, seed: int) -> None:
    post_selected = bool(getattr(circuit.readout, "ancillas", ()))
    inputs, weights = angles(circuit, seed, samples=2, count=2)
    assume(well_posed(circuit, inputs, weights))
    for given_inputs in (inputs, inputs[:1]):  # own inputs, and the same for all circuits
        values = simulate(circuit, given_inputs, weights)
        gradient = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).reshape(values.shape)
        assume(values.requires_grad)
        exact = torch.autograd.grad(
            (values * gradient).sum(), (given_inputs, weights), materialize_grads=True
        )
        for rule in (adjoint,) if post_selected else (adjoint, parameter_shift):
            with torch.no_grad():
                found = rule(circuit, given_inputs, weights, gradient)
            for mine, theirs in zip(found, exact, strict=True):
                torch.testing.assert_close(mine, theirs, atol=ATOL, rtol=0)


def test_the_shift_rule_refuses_post_selection() -> None:
    circuit = layered(3, 1, readout="postselected")
    with pytest.raises(ValueError, match=r"ancillas \(0,\) together"):
        parameter_shift(
            circuit, torch.zeros(1, 1, 3), torch.zeros(1, 3), torch.zeros(1, 1, circuit.outputs)
        )


@pytest.mark.parametrize("method", ["adjoint", "parameter-shift"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_layer_is_differentiated_as_asked(method: str, count: int) -> None:
    circuit = layered(3, 2, readout="z+x")
    layer = QuantumLayer(circuit, count, diff_method=method, dtype=torch.float64)
    plain = QuantumLayer(circuit, count, diff_method="backprop", dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    inputs = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    found = [
        torch.autograd.grad(each(inputs).square().sum(), (inputs, each.weight))
        for each in (layer, plain)
    ]
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=ATOL, rtol=0)


def test_a_second_derivative_is_refused() -> None:
    layer = QuantumLayer(layered(2, 1), diff_method="adjoint")
    inputs = torch.randn(3, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
