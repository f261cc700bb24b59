"""A device's noise under error mitigation, simulated: what `hqgan hardware study` varies.

The same two methods as `hqgan.quantum.jobs.mitigation` has for jobs, on the exact noise model: trex
as a read-out without errors, which is what its correction tends to with many calibration shots; zne
with the two-qubit gates run 1, 3 and 5 times, and a straight line through the values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqgan.quantum.channels import Matrix
from hqgan.quantum.circuit import Circuit
from hqgan.quantum.devices import DeviceNoise
from hqgan.quantum.jobs.mitigation import folded, folds_of, methods_of, no_noise
from hqgan.quantum.noise import Noisy
from hqgan.quantum.pauli_transfer import Constant, Step


@dataclass(frozen=True)
class FoldedNoise(DeviceNoise):
    """The noise of a device whose two-qubit gates run `folds` times, an odd number.

    `corrected`: its read-out is without errors.
    """

    folds: int = 1
    corrected: bool = False

    def steps(
        self, circuit: Any, target: Any, on: tuple[int, ...], known: dict[Any, Constant]
    ) -> list[Step]:
        """See `DeviceNoise.steps`."""
        return super().steps(folded(circuit, self.folds), target, on, known)

    def reading(self, target: Any, qubit: int) -> Matrix:
        """See `DeviceNoise.reading`."""
        return np.eye(4) if self.corrected else super().reading(target, qubit)


@dataclass(frozen=True)
class Mitigated:
    """Runs circuits as `Noisy` does, with methods of mitigation.

    Args:
        device: name of a fake device.
        mitigation: none, or some of trex and zne joined by "+".
        shots: of each circuit in each basis, and of each fold; None is without shot noise.
        strength: of the noise.
        generator: where outcomes are drawn from.
    """

    device: str
    mitigation: str = "none"
    shots: int | None = None
    strength: float = 1.0
    generator: torch.Generator | None = None

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C, P) in radians to (C, B, outputs)."""
        methods = methods_of(self.mitigation)
        folds = folds_of(methods)
        value: Tensor | None = None
        for times, weight in zip(folds, no_noise(folds), strict=True):
            noise = FoldedNoise(self.device, self.strength, times, "trex" in methods)
            part = Noisy(noise, self.shots, self.generator)(circuit, inputs, weights)
            value = float(weight) * part if value is None else value + float(weight) * part
        assert value is not None
        return value
