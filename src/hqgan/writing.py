"""What cannot be written, as an error for people."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hqgan.errors import RunError


@contextmanager
def writing(place: object, advice: str = "choose another --out") -> Iterator[None]:
    """Inside, what cannot be written is a RunError; `advice` says what to do then."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {place}: {error.strerror}; {advice}") from error


def make_writable(folder: Path) -> None:
    """Make a folder, with those above it; OSError where that fails or it is closed to writing."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
