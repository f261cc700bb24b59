"""Whether the exported files say what the generator says: measured for every export."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hqgan.data import to_uint8
from hqgan.errors import RunError
from hqgan.models import Generator, latents
from hqgan.quantum import simulate
from hqgan.workflows.exporting.onnx_files import OnnxFile
from hqgan.workflows.exporting.split import Angles, Cut
from hqgan.workflows.exporting.standalone.circuits import measured, read_circuits
from hqgan.workflows.exporting.standalone.latents import latents as latents_in_numpy

IMAGES = 16  # at least, over all classes
BATCHES = (1, 3)  # and the rest at once
SEED = 0
TOLERANCE = 1e-4
"""Of images in [-1, 1], where a grey level is 0.0078. Float32 sums taken in another order moved the
models of this package by up to 1e-5; what is beyond is a wrong graph."""
MOST_AMPLITUDES = 2**20  # of all circuits that the check runs in numpy: some seconds


@dataclass(frozen=True)
class Check:
    """Largest differences of ONNX Runtime from torch; the part `check` of --json.

    Attributes:
        images: compared, of all classes.
        angles: radians; None without circuits.
        images_from_values: of [-1, 1], from the same exact values; None without circuits.
        images_from_latents: of [-1, 1], the whole way: latents in numpy, ONNX, circuits in numpy
            from their files, ONNX.
        whole_way: images that were compared so.
        grey_levels: of 255, of 8-bit images the whole way.
        tolerance: of images and angles.
    """

    images: int
    angles: float | None
    images_from_values: float | None
    images_from_latents: float
    whole_way: int
    grey_levels: int
    tolerance: float = TOLERANCE

    def lines(self) -> list[str]:
        """For people."""
        said = []
        if self.images_from_values is not None:
            said.append(
                f"same values, same images: {self.images} images differ by at most "
                f"{self.images_from_values:.2g} in [-1, 1] (allowed {self.tolerance:g})"
            )
        said.append(
            f"the whole way without torch: {self.whole_way} images differ by at most "
            f"{self.images_from_latents:.2g}, {self.grey_levels} of 255 grey levels"
        )
        return said


@torch.no_grad()
def check(generator: Generator, cut: Cut | None, folder: Path, files: dict[str, str]) -> Check:
    """Run what was written and compare.

    Args:
        generator: in eval mode.
        cut: where it was cut.
        folder: with manifest.json, circuits and ONNX files.
        files: ONNX files by what they make: angles, images.

    Raises:
        RunError: a difference beyond the tolerance, or of more than one grey level.
    """
    labels = [i % generator.classes for i in range(max(IMAGES, generator.classes))]
    z, y = next(latents(generator, labels, SEED, batch=len(labels)))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    exact = generator(z, y).float()
    rows, classes = z.numpy(), y.numpy()
    batches = (*BATCHES, len(labels) - sum(BATCHES))
    decode = OnnxFile(folder / files["images"])
    own_rows = latents_in_numpy(manifest["latents"], classes, SEED)
    angles = images = None
    few = len(labels)
    if cut is None:
        made = decode.in_batches(batches, own_rows, classes)
    else:
        encode = OnnxFile(folder / files["angles"])
        asked = Angles(generator, cut)(z, y)
        angles = largest(encode.in_batches(batches, rows, classes), asked)
        by_circuit = asked.double().permute(2, 0, 1, 3).flatten(1, 2)
        layer = cut.layer
        values = simulate(layer.circuit, by_circuit, layer.weight.double()).float()
        values = values.unflatten(1, (-1, cut.rows)).permute(1, 2, 0, 3)
        images = largest(decode.in_batches(batches, rows, classes, values.numpy()), exact)
        one = cut.rows * layer.circuits * 2**layer.circuit.qubits
        few = max(2, min(few, MOST_AMPLITUDES // one))
        own_rows, classes, exact = own_rows[:few], classes[:few], exact[:few]
        circuits = read_circuits(folder, manifest)
        made = decode(own_rows, classes, measured(circuits, encode(own_rows, classes)))
    shown = torch.from_numpy(np.nan_to_num(made))  # what is not finite fails by its difference
    grey = to_uint8(shown).astype(int) - to_uint8(exact)
    found = Check(len(labels), angles, images, largest(made, exact), few, int(np.abs(grey).max()))
    require_equal(found)
    return found


def require_equal(found: Check) -> None:
    """RunError where differences are not those of rounding."""
    seen = [found.angles, found.images_from_values, found.images_from_latents]
    worst = max(number for number in seen if number is not None)
    if not worst <= TOLERANCE or found.grey_levels > 1:
        raise RunError(
            f"ONNX Runtime differs from torch by {worst:.3g} ({found.grey_levels} grey levels), "
            f"but at most {TOLERANCE:g} is rounding; nothing was kept. Another --opset, or another "
            "version of onnxruntime or torch, may do"
        )


def largest(theirs: np.ndarray, ours: torch.Tensor) -> float:
    """The largest absolute difference; infinite where something is not finite."""
    difference = float(np.abs(theirs - ours.numpy()).max())
    return difference if np.isfinite(difference) else float("inf")
