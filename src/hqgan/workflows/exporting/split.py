"""A generator cut at its circuits: what asks for angles, and what makes images of their values.

No model knows of this: the circuits' layer is run by something else while the generator runs, as
`QuantumLayer.run_by` offers, and what is not needed for an output falls away when it is traced.
Both halves begin at the latents, so that nothing but angles and values has to cross the cut.

Shapes: B images, R rows of each (runs of the same circuits), C circuits, I inputs, V values.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models import Generator
from hqgan.quantum import Circuit, QuantumLayer


class Cut(NamedTuple):
    """Where a generator is cut: its layer of C circuits, each run R times an image."""

    layer: QuantumLayer
    rows: int


class Angles(nn.Module):
    """Latents (B, z_dim) and class indices (B,) to the circuits' inputs (B, R, C, I), radians."""

    def __init__(self, generator: Generator, cut: Cut):
        super().__init__()
        self.generator, self.cut = generator, cut

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        asked = angles_asked(self.generator, self.cut.layer, latents, classes)[0]
        by_image = asked.expand(self.cut.layer.circuits, -1, -1).unflatten(1, (-1, self.cut.rows))
        return by_image.permute(1, 2, 0, 3)


class Images(nn.Module):
    """The same latents and classes, and values (B, R, C, V), to images (B, 3, S, S) in [-1, 1]."""

    def __init__(self, generator: Generator, cut: Cut):
        super().__init__()
        self.generator, self.cut = generator, cut

    def forward(self, latents: Tensor, classes: Tensor, values: Tensor) -> Tensor:
        def give(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
            del circuit, inputs, weights
            return values.permute(2, 0, 1, 3).flatten(1, 2)

        with self.cut.layer.run_by(give):
            return self.generator(latents, classes).float()


def cut_at_circuits(generator: Generator) -> Cut | None:
    """The one place where a generator can be cut; None where it has no circuits.

    Raises:
        UsageError: several layers of circuits, or one that an image calls more than once.
    """
    layers = [module for module in generator.modules() if isinstance(module, QuantumLayer)]
    if not layers:
        return None
    name = type(generator).__name__
    if len(layers) > 1:
        raise UsageError(
            f"{name} has {len(layers)} layers of circuits, but is exported in two parts, before "
            "and after one; name a run of another model"
        )
    z = generator.sample_z(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        calls = angles_asked(generator, layers[0], z, torch.zeros(1, dtype=torch.long))
    if len(calls) != 1:
        raise UsageError(
            f"{name} calls its circuits {len(calls)} times an image, but is exported in two parts, "
            "before and after one call; name a run of another model"
        )
    return Cut(layers[0], calls[0].shape[1])


def angles_asked(
    generator: Generator, layer: QuantumLayer, latents: Tensor, classes: Tensor
) -> list[Tensor]:
    """The inputs (C or 1, B x R, I) of each call of the layer; nothing is simulated."""
    asked: list[Tensor] = []

    def note(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        asked.append(inputs)
        circuits = max(inputs.shape[0], weights.shape[0])
        return inputs.new_zeros(circuits, inputs.shape[1], circuit.outputs)

    with layer.run_by(note):
        generator(latents, classes)
    return asked
