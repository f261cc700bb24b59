"""What is read from files that anybody may have written: plain files of a bounded size."""

import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST = 64 << 20  # bytes of a file that is read whole and is no image and no weights
SMALL = 1 << 20  # bytes of a file that describes something


def read_bytes(file: Path, most: int = LARGEST) -> bytes:
    """The content of a regular file, or of a link to one.

    A pipe or a device would be waited for for ever, or never end.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or larger than `most` bytes.
    """
    require_regular(file)
    with file.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{file.name} is larger than {most:,} bytes")
    return content


def require_regular(file: Path) -> int:
    """The size of a regular file, bytes.

    Raises:
        OSError: there is none.
        ValueError: it is something else: a folder, a pipe, a device.
    """
    found = os.stat(file)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{file.name} is a folder or a device, expected a file")
    return found.st_size


def read_json(file: Path, most: int = LARGEST) -> Any:
    """What a JSON file holds; a key that is there twice is refused, for one of them is hidden.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or brackets stand within brackets within ..., or see
            `read_bytes`.
    """
    try:
        return json.loads(read_bytes(file, most).decode("utf-8"), object_pairs_hook=once_each)
    except RecursionError:
        raise ValueError(f"{file.name} is nested too deeply") from None


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError where a key is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.60} is there twice")
    return found
