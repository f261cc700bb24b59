"""Arrays of results on disk, .npz files: whole or not at all, and without code in them."""

import io
from pathlib import Path

import numpy as np

from hqgan.errors import RunError
from hqgan.training.runs import write_atomically

# More than any mitigation makes of an expectation value, which is in [-1, 1].
LARGEST = 100.0


def are_expectations(values: np.ndarray) -> bool:
    """Whether an array may hold expectation values, mitigated or not, or errors of such."""
    return values.dtype.kind == "f" and bool((np.abs(values) <= LARGEST).all())  # not so of NaN


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
        OSError: it cannot be read.
        ValueError: it is damaged, or an array holds no real numbers.
    """
    with file.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        except Exception as error:  # numpy and zipfile raise whatever damaged bytes lead them to
            raise ValueError(str(error) or type(error).__name__) from error
    for name, array in arrays.items():
        if array.dtype.kind not in "iufb":
            raise ValueError(f"the array {name!r:.40} holds {array.dtype}, expected numbers")
    return arrays
