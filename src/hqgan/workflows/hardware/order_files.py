"""The two files of an order, as they are read: what is in them is held against what it must be."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqgan.errors import RunError, raise_if_of_the_machine
from hqgan.models import Generator
from hqgan.reading import read_json
from hqgan.workflows.hardware.arrays import load_arrays

ORDER, ARRAYS = "order.json", "order.npz"
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)


def require_latents(generator: Generator, n: int, z: Tensor, y: Tensor) -> None:
    """ValueError unless z (n, z_dim) and y (n,) are latents and classes of the generator."""
    if z.shape != (n, generator.z_dim) or z.dtype != torch.float32 or not z.isfinite().all():
        raise ValueError(f"latents are {z.dtype} {tuple(z.shape)}, or not finite")
    whole = y.dtype == torch.int64 and y.shape == (n,)
    if not (whole and int(y.min()) >= 0 and int(y.max()) < generator.classes):
        raise ValueError(f"classes are {y.dtype} {tuple(y.shape)}, or unknown")


def located(snapshot: Path, folder: Path) -> Path:
    """Where the snapshot of an order is: where it was, or beside a run that was moved whole."""
    beside = folder.absolute().parent.parent / snapshot.name
    return beside if not snapshot.exists() and beside.exists() else snapshot


def read_order(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the two files hold; RunError where they are absent or damaged."""
    if not (folder / ORDER).is_file():
        raise RunError(
            f"{folder} holds no {ORDER}; name a run with results of `hqgan hardware sample`, or "
            "the folder of one of them"
        )
    try:
        return read_json(folder / ORDER), load_arrays(folder / ARRAYS)
    except Exception as error:  # numpy raises whatever damaged bytes lead it to
        raise_if_of_the_machine(error, folder)
        raise damaged(folder, error) from error


def damaged(folder: Path, error: Exception) -> RunError:
    """The refusal of a folder."""
    return RunError(
        f"the order in {folder} cannot be read ({error}); the journal in {folder.name}/jobs.jsonl "
        "still names its jobs. Restore the folder from a copy, or choose another --out"
    )
