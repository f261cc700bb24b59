"""A finite number of measurements instead of exact probabilities, from a seeded generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hqgan.quantum.circuit import Circuit
from hqgan.quantum.statevector import simulate


@dataclass(frozen=True)
class Shots:
    """Runs circuits as `simulate` does, but measures each of them `number` times.

    Expectation values become means over the shots, probabilities become frequencies. Words that
    are measured in one basis share its shots, as on hardware: <Z0> and <Z0 Z1>, but not <X0>. A
    post-selected read-out keeps the shots that meet its condition; where none does, it gives zeros.

    Args:
        number: S >= 1, for each sample and measurement basis.
        generator: of the circuits' device; torch's global one by default.

    Cost:
        Memory C B (S + 2^Q). Values are not differentiable: `parameter_shift` takes an instance as
        its `run`.

    Raises:
        ValueError: for anything but a whole number of shots, at least one.
    """

    number: int
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.number, int) or self.number < 1:
            raise ValueError(f"shots={self.number!r}: at least one measurement is needed")

    @torch.no_grad()
    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C, P) in radians to (C, B, outputs)."""
        return simulate(circuit, inputs, weights, self.frequencies)

    def frequencies(self, probabilities: Tensor) -> Tensor:
        """Probabilities (C, B, 2^Q) of outcomes to how often each came."""
        flat = probabilities.flatten(0, 1)
        if not len(flat):
            return probabilities
        drawn = torch.multinomial(flat, self.number, replacement=True, generator=self.generator)
        counts = torch.zeros_like(flat).scatter_add_(1, drawn, flat.new_ones(drawn.shape))
        return (counts / self.number).view_as(probabilities)
