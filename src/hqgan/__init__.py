"""HybridQ: a hybrid classical-quantum GAN for small, imbalanced sets of colour skin images.

Source: arXiv 2506.21015. Importing this costs nothing: a name is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hqgan.api import evaluate as evaluate
    from hqgan.api import load as load
    from hqgan.api import sample as sample
    from hqgan.api import train as train
    from hqgan.models import HybridQGenerator as HybridQGenerator
    from hqgan.quantum import QuantumLayer as QuantumLayer
    from hqgan.quantum import layered as layered

__version__ = "0.1.0"

PUBLIC = {
    "HybridQGenerator": "hqgan.models",
    "QuantumLayer": "hqgan.quantum",
    "evaluate": "hqgan.api",
    "layered": "hqgan.quantum",
    "load": "hqgan.api",
    "sample": "hqgan.api",
    "train": "hqgan.api",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(
            f"module 'hqgan' has no attribute {name!r}; it has {', '.join(PUBLIC)}"
        )
    value = globals()[name] = getattr(importlib.import_module(PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC} - {"importlib", "TYPE_CHECKING", "Any", "PUBLIC"})
