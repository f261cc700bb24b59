"""The circuits of a generator, taken out of it and put back: what goes in, and what came out.

Shapes: C circuits of one shape, R rows (R / n of them an image, images in order), I inputs,
V values. A hybridq of 4 circuit groups has C = 4 and 4 rows an image: its 16 sites.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from hqgan.errors import UsageError
from hqgan.models import Generator
from hqgan.quantum import Circuit, QuantumLayer, simulate
from hqgan.quantum.noise import MOST_QUBITS
from hqgan.quantum.statevector import Run

BATCH = 64


class Call(NamedTuple):
    """What a generator asks of its circuits: inputs (C or 1, R, I), weights (C, P), float64."""

    layer: QuantumLayer
    inputs: Tensor
    weights: Tensor


def quantum_layer(generator: Generator) -> QuantumLayer:
    """The one layer of circuits of a generator; UsageError with none or several."""
    layers = [module for module in generator.modules() if isinstance(module, QuantumLayer)]
    if len(layers) == 1:
        return layers[0]
    name = type(generator).__name__
    if not layers:
        raise UsageError(
            f"{name} has no circuits to run on a quantum computer; name a run of hybridq or of "
            "another model with circuits, not of a classical model or twin"
        )
    raise UsageError(
        f"{name} has {len(layers)} layers of circuits, but jobs are made of one; name a run of a "
        "model with one"
    )


def circuit_call(generator: Generator, z: Tensor, y: Tensor) -> Call:
    """What the generator asks of its circuits for latents z (n, z_dim) of classes y (n,).

    In eval mode, where images do not depend on their neighbours in a batch.

    Raises:
        UsageError: no layer of circuits, several, or one that an image calls more than once.
    """
    layer = quantum_layer(generator)
    asked: list[Tensor] = []

    def note(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        asked.append(inputs.detach().double())
        return simulate(circuit, inputs, weights)

    batches = 0
    with layer.run_by(note), torch.no_grad():
        for rows, classes in zip(z.split(BATCH), y.split(BATCH), strict=True):
            generator(rows, classes)
            batches += 1
    if len(asked) != batches:
        raise UsageError(
            f"{type(generator).__name__} calls its circuits {len(asked) / batches:g} times an "
            "image, but jobs are made of one call; name a run of another model"
        )
    return Call(layer, torch.cat(asked, 1), layer.weight.detach().double())


def require_simulable(layer: QuantumLayer) -> None:
    """UsageError for circuits that are too large for noise to be simulated."""
    qubits = layer.circuit.qubits
    if qubits > MOST_QUBITS:
        raise UsageError(
            f"the circuits have {qubits} qubits, but noise is simulated up to {MOST_QUBITS}; take "
            "exact values, shots or a device"
        )


@contextmanager
def with_values(generator: Generator, run: Run) -> Iterator[None]:
    """Inside, `run` computes the values of the generator's circuits, whatever it computes them by.

    Values are not differentiated.
    """
    with quantum_layer(generator).run_by(run), torch.no_grad():
        yield


class Replay:
    """A run that gives back values (C, R, V) in order, a batch of rows a call, unseen the angles.

    Raises:
        ValueError: at a call, for more rows than are left or another shape.
    """

    def __init__(self, values: Tensor):
        self.values, self.given = values, 0

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C or 1, P) to the next B rows (C, B, V)."""
        rows = inputs.shape[1]
        shape = max(inputs.shape[0], weights.shape[0]), rows, circuit.outputs
        part = self.values[:, self.given : self.given + rows]
        if part.shape != shape:
            raise ValueError(f"values of shape {tuple(part.shape)} are left for a call of {shape}")
        self.given += rows
        return part.to(inputs)


def decoded(generator: Generator, z: Tensor, y: Tensor, values: Tensor) -> Tensor:
    """Images (n, 3, S, S) in [-1, 1] of latents whose circuits gave `values` (C, R, V)."""
    with with_values(generator, Replay(values)):
        return torch.cat(
            [
                generator(rows, classes).float()
                for rows, classes in zip(z.split(BATCH), y.split(BATCH), strict=True)
            ]
        )
