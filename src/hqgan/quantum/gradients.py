"""Gradients without autograd: the adjoint method, and the parameter-shift rule, as on hardware.

The adjoint method walks back through the state vector gate by gate and keeps none of the states
between; it is the reference for the fused kernel, and saves memory on any device.

For a rotation exp(-i angle P / 2) an expectation value f of the angle is a + b cos + c sin, so that
df/dangle = (f(angle + pi/2) - f(angle - pi/2)) / 2 exactly: two more runs for each gate, and no
access to the state. A slot that several gates share collects the sum over them.

Mitarai et al., arXiv 1803.00745; Schuld et al., arXiv 1811.11184.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hqgan.quantum.circuit import Circuit, Operation, Probabilities, Slot
from hqgan.quantum.statevector import Run, apply_gate, measure, simulate, state

Rule = Callable[[Circuit, Tensor, Tensor, Tensor, Run], tuple[Tensor, Tensor]]


def adjoint(
    circuit: Circuit, inputs: Tensor, weights: Tensor, gradient: Tensor, run: Run = simulate
) -> tuple[Tensor, Tensor]:
    """Turn the gradient by the outputs into gradients by the inputs and weights, on the way back.

    From the final state, and from the state that the loss sends back through the read-out, gate
    after gate is undone; between the two lies each angle's derivative. Needs the state: `run` is
    not asked. Jones and Gacon, arXiv 2009.02823.

    Args and results as for `parameter_shift`, for any read-out.

    Cost:
        Memory of a few states of the whole batch, however deep the circuit; time of about three
        runs gate by gate.
    """
    with torch.enable_grad():
        ket = state(circuit, inputs.detach(), weights.detach()).requires_grad_()
        (bra,) = torch.autograd.grad(measure(circuit.readout, ket), ket, gradient)
    pair = torch.stack([ket.detach(), bra])  # (2, C, B, 2^Q)
    by_input, by_weight = torch.zeros_like(inputs), torch.zeros_like(weights)
    for operation in reversed(circuit.operations):
        slot = operation.angle
        if isinstance(slot, Slot):
            turned = apply_gate(pair[0], Operation(operation.gate, operation.wires, math.pi))
            derivative = (pair[1].conj() * turned).real.sum(-1) / 2  # (C, B)
            if slot.source == "input":
                angle = inputs[..., slot.index]
                by_input[..., slot.index] += derivative.sum_to_size(angle.shape)
            else:
                angle = weights[:, slot.index, None]
                by_weight[:, slot.index] += derivative.sum(1)
            pair = apply_gate(pair, operation, -angle)
        elif slot is None:
            pair = apply_gate(pair, operation)  # these gates are their own inverse
        else:
            pair = apply_gate(pair, replace(operation, angle=-slot))
    return by_input, by_weight


def parameter_shift(
    circuit: Circuit, inputs: Tensor, weights: Tensor, gradient: Tensor, run: Run = simulate
) -> tuple[Tensor, Tensor]:
    """Turn the gradient by the outputs into gradients by the inputs and weights, gate by gate.

    Args:
        circuit: Q qubits, I inputs, P weights, and G rotations that take a slot.
        inputs: (C or 1, B, I) radians.
        weights: (C, P) radians.
        gradient: (C, B, outputs), of a loss by the outputs.
        run: what measures; exact by default. A noisy one gives unbiased, noisy gradients.

    Returns:
        Gradients of the shapes of `inputs` and `weights`.

    Cost:
        2 G runs of the whole batch.

    Raises:
        ValueError: for a post-selected read-out, a quotient for which the rule does not hold.
    """
    if isinstance(circuit.readout, Probabilities) and circuit.readout.ancillas:
        raise ValueError(
            "the parameter-shift rule does not hold for a post-selected read-out: read the "
            f"probabilities of wires and ancillas {circuit.readout.ancillas} together"
        )
    apart, slots = _with_own_slots(circuit)
    batch = gradient.shape[:2]
    angles = [
        inputs[..., slot.index].expand(batch)
        if slot.source == "input"
        else weights[:, slot.index, None].expand(batch)
        for slot in slots
    ]
    values = torch.stack(angles, -1) if angles else inputs.new_zeros(*batch, 0)
    nothing = weights.new_zeros(weights.shape[0], 0)
    by_input, by_weight = torch.zeros_like(inputs), torch.zeros_like(weights)
    for gate, slot in enumerate(slots):
        shift = torch.zeros_like(values)
        shift[..., gate] = math.pi / 2
        difference = run(apart, values + shift, nothing) - run(apart, values - shift, nothing)
        derivative = (gradient * difference).sum(-1) / 2  # (C, B)
        if slot.source == "input":
            by_input[..., slot.index] += derivative.sum_to_size(inputs.shape[:2])
        else:
            by_weight[:, slot.index] += derivative.sum(1)
    return by_input, by_weight


def _with_own_slots(circuit: Circuit) -> tuple[Circuit, list[Slot]]:
    """The circuit with an input of its own for each gate that has a slot, and these slots."""
    slots: list[Slot] = []
    operations: list[Operation] = []
    for operation in circuit.operations:
        if isinstance(operation.angle, Slot):
            slots.append(operation.angle)
            operation = replace(operation, angle=Slot("input", len(slots) - 1))
        operations.append(operation)
    return replace(circuit, operations=tuple(operations)), slots


class Differentiated(torch.autograd.Function):
    """What runs circuits, with one of the rules above for its backward pass.

    Called by `apply(run, rule, circuit, inputs, weights)`; differentiable once.
    """

    @staticmethod
    def forward(
        ctx: Any, run: Run, rule: Rule, circuit: Circuit, inputs: Tensor, weights: Tensor
    ) -> Tensor:
        ctx.run, ctx.rule, ctx.circuit = run, rule, circuit
        ctx.save_for_backward(inputs, weights)
        return run(circuit, inputs, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        inputs, weights = ctx.saved_tensors
        by_both = ctx.rule(ctx.circuit, inputs, weights, gradients[0], ctx.run)
        return None, None, None, *by_both
