"""`lower`: a circuit with as few rotations as hardware needs, and the angles of each.

Neighbouring rotations about one axis are one rotation by the sum of their angles: RY(x) RY(w) costs
a machine two pulses instead of four. The sums are taken here, in torch, so that what reaches a
machine is one circuit shape with a batch of angles, and gradients flow through the sums.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from hqgan.quantum.circuit import Circuit, Operation, Slot


@dataclass(frozen=True)
class Lowered:
    """A circuit whose every rotation takes an angle of its own, and where that angle comes from.

    Attributes:
        circuit: the same gates and read-out, with A inputs, one a rotation, and no weights.
        terms: for each of the A rotations the slots whose angles are added.
        constants: for each of them what is added besides, radians.
    """

    circuit: Circuit
    terms: tuple[tuple[Slot, ...], ...]
    constants: tuple[float, ...]

    def angles(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C or 1, P) to angles (C, B, A), radians."""
        circuits = max(inputs.shape[0], weights.shape[0])
        batch = (circuits, inputs.shape[1])
        columns = []
        for slots, constant in zip(self.terms, self.constants, strict=True):
            angle = inputs.new_full((1, 1), constant)
            for slot in slots:
                by_input = slot.source == "input"
                angle = angle + (
                    inputs[..., slot.index] if by_input else weights[:, slot.index, None]
                )
            columns.append(angle.expand(batch))
        return torch.stack(columns, -1) if columns else inputs.new_zeros(*batch, 0)


@lru_cache(maxsize=256)
def lower(circuit: Circuit) -> Lowered:
    """Join neighbouring rotations about one axis on one wire; the circuit means the same."""
    kept: list[Operation] = []
    terms: list[list[Slot]] = []
    constants: list[float] = []
    last: dict[int, int] = {}  # wire -> number of the rotation that is its latest gate
    for operation in circuit.operations:
        if operation.angle is None:
            kept.append(operation)
            for wire in operation.wires:
                last.pop(wire, None)
            continue
        (wire,) = operation.wires
        here = last.get(wire)
        if here is None or _axis(kept, here) != operation.gate:
            here = len(terms)
            kept.append(replace(operation, angle=Slot("input", here)))
            terms.append([])
            constants.append(0.0)
            last[wire] = here
        if isinstance(operation.angle, Slot):
            terms[here].append(operation.angle)
        else:
            constants[here] += operation.angle
    lowered = replace(circuit, operations=tuple(kept))
    return Lowered(lowered, tuple(map(tuple, terms)), tuple(constants))


def _axis(kept: list[Operation], rotation: int) -> str:
    """The gate of the rotation with this number."""
    return next(o.gate for o in reversed(kept) if o.angle == Slot("input", rotation))
