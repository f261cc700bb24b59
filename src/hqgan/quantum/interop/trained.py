"""Circuits together with what they learned: bound as constants, or written as JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hqgan.quantum.circuit import Circuit, Slot

FORMAT = "hqgan.circuit"
VERSION = 1


def bind(circuit: Circuit, weights: Tensor | Sequence[float]) -> Circuit:
    """Put learned angles into a circuit as constants; its inputs stay.

    Args:
        circuit: any circuit.
        weights: (P,) radians, one row of `QuantumLayer.weight`.

    Raises:
        ValueError: another shape, or angles that are not finite.
    """
    values = _row(circuit, weights)
    operations = []
    for operation in circuit.operations:
        angle = operation.angle
        if isinstance(angle, Slot) and angle.source == "weight":
            operation = replace(operation, angle=values[angle.index])
        operations.append(operation)
    return replace(circuit, operations=tuple(operations))


def to_json(circuit: Circuit, weights: Tensor | Sequence[float] | None = None) -> str:
    """Write all there is to a circuit, and its weights (P,) in radians if given.

    Raises:
        ValueError: weights of another shape, or not finite.
    """
    written = {
        "format": FORMAT,
        "version": VERSION,
        "circuit": circuit.to_dict(),
        "weights": None if weights is None else _row(circuit, weights),
    }
    return json.dumps(written, allow_nan=False)


def from_json(text: str) -> tuple[Circuit, Tensor | None]:
    """Read what `to_json` wrote; weights (P,) are float64, which holds any float32 exactly.

    Raises:
        ValueError: anything else, with the part that could not be read.
    """
    expected = "expected the text that to_json writes"
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}); {expected}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f'no "format": "{FORMAT}" in it; {expected}')
    if data.get("version") != VERSION:
        raise ValueError(
            f"version {data.get('version')!r} of {FORMAT} is not {VERSION}, which this hqgan reads"
        )
    circuit = Circuit.from_dict(data.get("circuit") or {})
    weights = data.get("weights")
    if weights is None:
        return circuit, None
    return circuit, torch.tensor(_row(circuit, weights), dtype=torch.float64)


def _row(circuit: Circuit, weights: Tensor | Sequence[float]) -> list[float]:
    """The weights as numbers, if they are what the circuit takes."""
    try:
        row = torch.as_tensor(weights, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"weights are {circuit.weights} numbers, not {weights!r}") from error
    if row.shape != (circuit.weights,):
        advice = ""
        if row.ndim == 2 and row.shape[1] == circuit.weights:
            advice = "; a layer has one row for each of its circuits, take one: layer.weight[0]"
        raise ValueError(
            f"expected weights of shape ({circuit.weights},), got {tuple(row.shape)}{advice}"
        )
    values: list[float] = row.tolist()
    if not all(map(math.isfinite, values)):
        raise ValueError(f"weight {[math.isfinite(v) for v in values].index(False)} is not finite")
    return values
