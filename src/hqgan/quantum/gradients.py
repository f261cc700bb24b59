"""Gradients without differentiating the simulator: the parameter-shift rule, as on hardware.

For a rotation exp(-i angle P / 2) an expectation value f of the angle is a + b cos + c sin, so that
df/dangle = (f(angle + pi/2) - f(angle - pi/2)) / 2 exactly: two more runs for each gate, and no
access to the state. A slot that several gates share collects the sum over them.

Mitarai et al., arXiv 1803.00745; Schuld et al., arXiv 1811.11184.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hqgan.quantum.circuit import Circuit, Operation, Probabilities, Slot
from hqgan.quantum.statevector import simulate

Run = Callable[[Circuit, Tensor, Tensor], Tensor]
"""`simulate` or a device: circuit, inputs (C, B, I) and weights (C, P) to (C, B, outputs)."""


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
