"""Families of circuits, and how their gradients fare as qubits and layers grow.

A family is everything `layered` makes with the names of one circuit, at any number of qubits and
layers.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from hqgan.evaluation.probes.estimates import Estimate, bootstrap
from hqgan.quantum import ENCODINGS, ENTANGLERS, READOUTS, ROTATIONS, Circuit, layered, simulate

SMALL_SD = 0.1  # radians; QuantumLayer's own
INITIALISATIONS = ("small", "uniform")
CHUNK = 2**22  # amplitudes simulated at once


@dataclass(frozen=True)
class Family:
    """The names that make a circuit out of a number of qubits and of layers."""

    encoding: str
    reupload: bool
    rotation: str
    entangler: str
    readout: str
    final_rotation: bool

    def circuit(self, qubits: int, layers: int) -> Circuit:
        return layered(qubits, layers, **vars(self))


def family_of(circuit: Circuit) -> tuple[Family, int] | None:
    """The family of a circuit and its number of layers; None if no names make this circuit.

    On few qubits different names may make the same circuit; the first that does is taken.
    """
    names = (ENCODINGS, (False, True), ROTATIONS, ENTANGLERS, READOUTS, (False, True))
    for choice in itertools.product(*names):
        family = Family(*choice)
        least = 2 if family.readout in ("zz", "postselected") else 1
        per_layer = circuit.qubits * len(ROTATIONS[family.rotation])
        layers = circuit.weights // per_layer - family.final_rotation
        if circuit.qubits < least or layers < 0:
            continue
        if family.circuit(circuit.qubits, layers) == circuit:
            return family, layers
    return None


@dataclass(frozen=True)
class GradientVariance:
    """Variance of d<O>/dw over random circuits; w the first weight, O the first read-out."""

    qubits: int
    layers: int
    init: str
    variance: Estimate


def gradient_variance(
    circuit: Circuit, init: str, samples: int, seed: int, repeats: int = 1000
) -> Estimate:
    """Variance of the gradient of the first output with respect to the first weight.

    Inputs are uniform in [0, 2 pi), weights "uniform" too, or "small": normal, sd 0.1. By the
    parameter shift (Schuld et al. 2019, arXiv 1811.11184), exact because each weight is the angle
    of one gate; for a post-selected read-out, which it does not cover, by central differences.
    The interval is a bootstrap over `samples` circuits. A variance that falls
    exponentially with the qubits is a barren plateau: McClean et al. 2018, arXiv 1803.11173.
    """
    rng = np.random.default_rng(
        [seed, circuit.qubits, circuit.weights, INITIALISATIONS.index(init)]
    )
    conditional = bool(getattr(circuit.readout, "ancillas", ()))
    shift = 1e-4 if conditional else math.pi / 2
    slope = 2 * shift if conditional else 2.0
    found = []
    for count in chunks(samples, circuit.qubits):
        inputs = torch.from_numpy(rng.uniform(0, 2 * math.pi, (count, 1, circuit.inputs)))
        drawn = (
            rng.normal(0, SMALL_SD, (count, circuit.weights))
            if init == "small"
            else rng.uniform(0, 2 * math.pi, (count, circuit.weights))
        )
        shifted = []
        for sign in (1, -1):
            weights = torch.from_numpy(drawn.copy())
            weights[:, 0] += sign * shift
            shifted.append(simulate(circuit, inputs, weights)[:, 0, 0])
        found.append((shifted[0] - shifted[1]).numpy() / slope)
    gradients = np.concatenate(found)
    moments = np.stack([gradients, gradients**2], 1)
    return bootstrap(moments, lambda m: m[:, 1] - m[:, 0] ** 2, rng, repeats)


def trainability(
    family: Family,
    qubits: tuple[int, ...],
    depths: tuple[int, ...],
    samples: int,
    seed: int,
) -> list[GradientVariance]:
    """`gradient_variance` over qubits, layers and initialisations."""
    return [
        GradientVariance(
            q, layers, init, gradient_variance(family.circuit(q, layers), init, samples, seed)
        )
        for init in INITIALISATIONS
        for layers in depths
        for q in qubits
    ]


def chunks(samples: int, qubits: int) -> Iterator[int]:
    """Sizes of the parts in which so many states are simulated."""
    most = max(1, CHUNK >> qubits)
    return (min(most, samples - start) for start in range(0, samples, most))
