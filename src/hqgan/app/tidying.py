"""Room on the disk: what was made to be downloaded goes when it is old, or when it is too much."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import time

from hqgan.app.limits import MADE_AGE, MADE_BYTES


def tidy(
    folder: Path,
    names: Iterable[set[str]],
    most_bytes: int = MADE_BYTES,
    age: float = MADE_AGE,
) -> int:
    """Delete files in the folders of `folder`, oldest first; returns how many.

    Args:
        folder: holds a folder for each file; files right in it, or deeper, are others' business.
        names: sets of paths, from which those of deleted files go: Gradio's, which grow otherwise.
        most_bytes: that may stay.
        age: seconds a file may stay.
    """
    found = []
    for file in folder.glob("*/*"):
        with suppress(FileNotFoundError):
            if len(file.parent.name) == 64:  # a checksum
                about = file.stat()
                found.append((about.st_mtime, about.st_size, file))
    left, gone = sum(size for _, size, _ in found), set()
    for modified, size, file in sorted(found):
        if left <= most_bytes and time() - modified <= age:
            break
        file.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            file.parent.rmdir()
        left -= size
        gone.add(str(file))
    for one in names:
        one.difference_update(gone)
    return len(gone)


def bytes_below(folder: Path) -> int:
    """Bytes of all files of a folder; what is deleted meanwhile may count or not."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.lstat().st_size
    return total
