"""README.md of an exported folder: how to run it, what it is, whose licence extends to it."""

from typing import Any

from hqgan.foreign import in_code, in_markdown
from hqgan.models import About
from hqgan.workflows.exporting.checking import Check

NOTICE = "synthetic images, for research, not for diagnosis"
LICENCE_UNKNOWN = "that of the training data, which is not known here"

WITH_CIRCUITS = """\
```python
import json
import numpy as np
import onnxruntime
from PIL import Image
from circuits import measured, read_circuits
from latents import latents

manifest = json.load(open("manifest.json", encoding="utf-8"))
encode = onnxruntime.InferenceSession("latents_to_angles.onnx")
decode = onnxruntime.InferenceSession("values_to_images.onnx")
circuits = read_circuits(".", manifest)

classes = np.repeat(np.arange(len(manifest["classes"])), 4)  # four images of each class
z = latents(manifest["latents"], classes, seed=0)            # those of `hqgan sample --seed 0`
(angles,) = encode.run(None, {"latents": z, "classes": classes})
values = measured(circuits, angles)                          # or from a machine of yours, see below
(images,) = decode.run(None, {"latents": z, "classes": classes, "values": values})

for number, image in enumerate((np.clip(images, -1, 1) + 1) * 127.5):
    name = f"{manifest['classes'][classes[number]]}-{number:03d}.png".replace("/", "_")
    Image.fromarray(image.round().astype(np.uint8).transpose(1, 2, 0)).save(name)
```
"""

WITHOUT_CIRCUITS = """\
```python
import json
import numpy as np
import onnxruntime
from PIL import Image
from latents import latents

manifest = json.load(open("manifest.json", encoding="utf-8"))
generate = onnxruntime.InferenceSession("latents_to_images.onnx")

classes = np.repeat(np.arange(len(manifest["classes"])), 4)  # four images of each class
z = latents(manifest["latents"], classes, seed=0)            # those of `hqgan sample --seed 0`
(images,) = generate.run(None, {"latents": z, "classes": classes})

for number, image in enumerate((np.clip(images, -1, 1) + 1) * 127.5):
    name = f"{manifest['classes'][classes[number]]}-{number:03d}.png".replace("/", "_")
    Image.fromarray(image.round().astype(np.uint8).transpose(1, 2, 0)).save(name)
```
"""

IN_QISKIT = """\
## The circuits elsewhere

What comes out of `measured` may come from any machine. With Qiskit, for instance
(`pip install qiskit qiskit-qasm3-import`):

```python
from qiskit import qasm3
from qiskit.quantum_info import SparsePauliOp, Statevector

programs = [qasm3.load(file["openqasm"]) for file in manifest["circuits"]["files"]]
words = [SparsePauliOp(word) for word in manifest["circuits"]["values"]["observables_in_qiskit"]]
values = np.empty((*angles.shape[:3], len(words)), np.float32)
for b, r, c in np.ndindex(*angles.shape[:3]):
    inputs = {f"x_{i}": float(angle) for i, angle in enumerate(angles[b, r, c])}
    state = Statevector(programs[c].assign_parameters(inputs))
    values[b, r, c] = [state.expectation_value(word).real for word in words]
```

An Estimator of Qiskit's takes the same circuits and words to a quantum computer.
"""

PROBABILITIES = """\
## The circuits elsewhere

What comes out of `measured` may come from any machine that runs `circuits/*.qasm`: for each run
the probabilities of the outcomes of the qubits `probabilities_of`, given that those of
`given_found_in_0` are found in 0 (manifest.json), the first qubit as the most significant bit.
"""


def card(about: About, manifest: dict[str, Any], found: Check) -> str:
    """The text."""
    circuits = manifest.get("circuits")
    licence = in_markdown(manifest["credit"] or "") or (
        "The licence of the training data extends to these files and the images they make. It is "
        "not known here: look it up and name it before you share them."
    )
    packages = "numpy onnxruntime pillow"
    checked = "\n".join(f"- {line}" for line in found.lines())
    return f"""# {about.generator}, exported: synthetic skin-lesion images without torch

A generator made by [hqgan](https://arxiv.org/abs/2506.21015): preset {in_code(about.preset)},
{about.images_seen:,} images seen, {manifest["size"]} x {manifest["size"]} pixels.
**Every image it makes is synthetic, for research, not for diagnosis.**

Classes: {", ".join(map(in_code, manifest["classes"]))}

## Run it

`pip install {packages}`, then in this folder:

{WITH_CIRCUITS if circuits else WITHOUT_CIRCUITS}
{_elsewhere(circuits)}## What is here

| file | what it is |
| --- | --- |
{_files(circuits)}| `latents.py` | from seed and class to latents, as `hqgan sample` draws them |
| `manifest.json` | classes, shapes, order of values, distribution of latents, licence |

Inputs are `latents` (float32) and `classes` (int64, places in the list above), batches of any size;
images are float32 in [-1, 1], red, green, blue.
Training data (sha256 of the train split): {in_code(about.data_checksum)}

## Checked

When this was exported, ONNX Runtime was compared with torch:

{checked}

## Licence

{licence}

`latents.py`{" and `circuits.py`" if circuits else ""} are part of hqgan, Apache-2.0.
"""


def _elsewhere(circuits: dict[str, Any] | None) -> str:
    if circuits is None:
        return ""
    return (IN_QISKIT if "observables" in circuits["values"] else PROBABILITIES) + "\n"


def _files(circuits: dict[str, Any] | None) -> str:
    if circuits is None:
        return "| `latents_to_images.onnx` | the whole generator |\n"
    shape = circuits["angles"]["shape"]
    return (
        f"| `latents_to_angles.onnx` | the angles of {shape[2]} circuits of {circuits['qubits']} "
        f"qubits, {shape[1]} runs of each an image |\n"
        f"| `circuits/*.qasm`, `*.json` | the circuits, one for each of {shape[2]} sets of learned "
        "angles: OpenQASM 3 with parameters `x_0`, `x_1`, ...; JSON |\n"
        "| `values_to_images.onnx` | images of the values that the circuits read; it takes the "
        "latents once more, for the classical stream |\n"
        "| `circuits.py` | exact values of the circuits in numpy alone |\n"
    )
