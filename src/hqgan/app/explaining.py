"""What made one image: its circuits with their angles and values, and what they change in it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hqgan.app.generating import Made, running
from hqgan.app.model import Model
from hqgan.data import to_uint8
from hqgan.errors import UsageError
from hqgan.evaluation.probes.streams import images, intervened, outputs, quantum_block
from hqgan.models import HybridQGenerator
from hqgan.models.hybridq import SITES
from hqgan.quantum import Circuit, simulate
from hqgan.workflows.hardware.capture import circuit_call

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Site:
    """One of the circuits of an image, with all its numbers.

    Attributes:
        inputs: (I,) radians, of this image.
        weights: (P,) radians, learned.
        values: (V,) that were read out.
    """

    name: str
    circuit: Circuit
    inputs: Tensor
    weights: Tensor
    values: Tensor

    def figure(self, title: str) -> "Figure":
        """The drawing."""
        from hqgan.report.circuit_figure import circuit_figure

        return circuit_figure(
            self.circuit,
            weights=self.weights,
            inputs=self.inputs,
            values=self.values,
            title=title,
        )


def site_names(model: Model, count: int) -> list[str]:
    """What the circuits of an image are called, in order."""
    if isinstance(model.generator, HybridQGenerator) and count == SITES**2:
        return [f"Site {k + 1}: row {k // SITES + 1}, column {k % SITES + 1}" for k in range(count)]
    return [f"Circuit {k + 1} of {count}" for k in range(count)]


def sites(model: Model, made: Made, i: int) -> list[Site]:
    """All circuits of image `i`, in the order of the map: rows of sites, then columns.

    Values are those that made the image. UsageError for a model without circuits.
    """
    with model.lock:
        call = circuit_call(model.generator, made.z[i : i + 1], made.y[i : i + 1])
    circuit, rows = call.layer.circuit, call.inputs.shape[1]
    if made.values is None:
        with torch.no_grad():
            values = simulate(circuit, call.inputs, call.weights)
    else:
        values = made.values[:, i * rows : (i + 1) * rows].double()
    circuits = values.shape[0]
    inputs = call.inputs.expand(circuits, -1, -1)
    weights = call.weights.expand(circuits, -1)
    names = site_names(model, circuits * rows)
    return [
        Site(names[c * rows + r], circuit, inputs[c, r], weights[c], values[c, r])
        for c in range(circuits)
        for r in range(rows)
    ]


@dataclass(frozen=True, eq=False)
class Switched:
    """An image whose quantum stream was replaced.

    Attributes:
        kind: "zeros" or "shuffled".
        image: uint8 (S, S, 3).
        change: mean absolute difference from the image as it was made, grey levels of 255.
    """

    kind: str
    image: np.ndarray
    change: float


def switched(model: Model, made: Made, i: int) -> list[Switched]:
    """Image `i` with a quantum stream of zeros, and with that of another image of the order.

    Which other image is drawn by the order's seed; of a single image none, so that "shuffled" is
    left out.

    Raises:
        UsageError: a model without a quantum stream.
    """
    if model.without_stream:
        raise UsageError(model.without_stream)
    block = quantum_block(model.generator)
    rng = torch.Generator().manual_seed(made.order.seed)
    one = slice(i, i + 1)
    found = []
    with running(model, made.order):
        values = outputs(model.generator, [block], made.z, made.y)[0]
        for kind in ("zeros", "shuffled") if len(made) > 1 else ("zeros",):
            given = intervened(values, kind, rng)[one]
            image = to_uint8(images(model.generator, made.z[one], made.y[one], given))[0]
            difference = np.abs(image.astype(np.int16) - made.images[i]).mean()
            found.append(Switched(kind, image, float(difference)))
    return found
