"""Arrays of results on disk, .npz files: whole or not at all, and without code in them."""

import io
from pathlib import Path

import numpy as np

from hqgan.errors import RunError
from hqgan.training.runs import write_atomically


def save_arrays(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz, whole or not at all; RunError where that cannot be done."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its own arguments have other names
    try:
        write_atomically(file, buffer.getbuffer())
    except OSError as error:
        raise RunError(
            f"cannot write {file}: {error.strerror}; make room, and repeat the command: jobs that "
            "were sent are not lost"
        ) from error


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz; nothing in it can run code.

    Raises:
        ValueError: one holds no real numbers.
        Exception: whatever the damaged bytes of a file lead numpy to.
    """
    with np.load(file, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    for name, array in arrays.items():
        if array.dtype.kind not in "iufb":
            raise ValueError(f"the array {name!r:.40} holds {array.dtype}, expected numbers")
    return arrays
