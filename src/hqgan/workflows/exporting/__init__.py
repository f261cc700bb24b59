"""A trained generator for other runtimes: classical parts in ONNX, circuits in OpenQASM and JSON.

| step | file |
| --- | --- |
| cut at the circuits | split.py |
| a half as ONNX | onnx_files.py |
| circuits, latents, in words and files | circuit_files.py, latent_rule.py |
| what is copied beside them, numpy alone | standalone/ |
| README.md of the folder | card.py |
| is it the same? | checking.py |
| `hqgan export` | export.py |
"""

from hqgan.workflows.exporting.checking import Check as Check
from hqgan.workflows.exporting.export import Exported as Exported
from hqgan.workflows.exporting.export import export as export
from hqgan.workflows.exporting.onnx_files import OPSET as OPSET
