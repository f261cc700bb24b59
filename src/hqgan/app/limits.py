"""What one visitor may ask for, so that a page stays quick and a disk stays free.

Whoever sends the numbers is not believed to have used the page: each is checked where it arrives.
"""

import math
from dataclasses import dataclass
from typing import Any

from hqgan.errors import UsageError

MEGABYTE = 1_000_000

MOST_IMAGES = 64
"""Images of one order: one batch, so that they are those of `hqgan sample` bit for bit."""
STEPS = (3, 16)
"""Images of a walk."""
SHOTS = (1, 100_000)
"""Measurements of each circuit."""
MOST_SHOTS = 1_000_000
"""Images times shots of one order: two seconds, for which everybody else waits."""
SEEDS = (0, 2**31 - 1)

SIZES = (32, 64)
"""Edges, in pixels, that train in minutes on a CPU."""
KIMG = (0.2, 20.0)
"""Thousands of images that a training on the page sees; more is for the command line."""
MOST_SECONDS = 3600.0
"""Of one training; then it is saved and stopped, as by Cancel."""
WAITING = 3
"""Trainings that may wait for the running one."""

SESSIONS = 400
"""Visitors whose pictures and files are kept; of more, one without upload goes first."""
GRACE = 60.0
"""Seconds that a session outlives its page: connections break and come back."""
IDLE = 4 * 3600.0
"""Seconds after which a session that asks for nothing ends."""

REQUESTS = 512
"""Orders that may wait in the queue of the page, the first of each visitor before any second."""
REQUESTS_OF_ADDRESS = 384
"""Of one address, so that others find room."""
REQUESTS_OF_SESSION = 8
"""Of one open page; it needs four at once."""
UNREAD = 400
"""Messages to a page that does not read them, before it may ask for more."""

CONNECTIONS = 1500
"""Open at once; of more, those go that wait for nothing, longest first, else the new one."""
CONNECTIONS_OF_ADDRESS = 1100
PATIENCE = 10.0
"""Seconds for the head of a request, for a whole small one, and between two pieces of an upload."""
READING = 30.0
"""Seconds in which a visitor must take in 64 kB of an answer."""
MOST_JSON = 32_000
"""Bytes of a request that is no upload; the page's own have about a thousand."""

UPLOADS = 32
"""At once; for a new one the slowest is cut off."""
UPLOADS_OF_ADDRESS = 24
SLOWEST = 20_000
"""Bytes a second that an upload must reach on average, once it is older than PATIENCE."""
UPLOADS_OF_VISITOR = 2
"""Uploads that wait to be looked at, and that come at once: of more, the oldest goes."""
UPLOADS_WAITING = 10
"""Largest uploads for which there is room in all, before they are looked at."""
UPLOAD_AGE = 600.0
"""Seconds after which an upload that nobody looked at is deleted."""
STORED = 20
"""Largest unpacked uploads for which there is room in all, trainings included."""
MADE_BYTES = 1000 * MEGABYTE
"""Pictures and zips that can be downloaded; of more, the oldest go."""
MADE_AGE = 3600.0
SPARE = 200 * MEGABYTE
"""Bytes of the disk that are left free."""


@dataclass(frozen=True)
class UploadLimits:
    """What a zip may hold.

    Attributes:
        zip_bytes: of the file itself.
        unpacked_bytes: of all that is in it.
        files: entries, folders included.
        ratio: unpacked over packed bytes of an entry and of the whole.
        name_bytes: of one entry's whole name.
        pixels: of one image.
    """

    zip_bytes: int = 50 * MEGABYTE
    unpacked_bytes: int = 200 * MEGABYTE
    files: int = 3000
    ratio: float = 100.0
    name_bytes: int = 240
    pixels: int = 25_000_000

    @classmethod
    def of_megabytes(cls, most: float) -> "UploadLimits":
        """The limits for zips of at most so many megabytes."""
        return cls(zip_bytes=round(most * MEGABYTE), unpacked_bytes=round(4 * most * MEGABYTE))


def whole(name: str, value: Any, bounds: tuple[int, int]) -> int:
    """A whole number within bounds; UsageError says which."""
    low, high = bounds
    number = _number(name, value)
    if not number.is_integer() or not low <= number <= high:
        raise UsageError(
            f"{name} is {number:g}, but must be a whole number from {low:,} to {high:,}."
        )
    return int(number)


def real(name: str, value: Any, bounds: tuple[float, float]) -> float:
    """A number within bounds; UsageError says which."""
    low, high = bounds
    number = _number(name, value)
    if not low <= number <= high:
        raise UsageError(f"{name} is {number:g}, but must lie from {low:g} to {high:g}.")
    return number


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name} is not a number; please give one.")
    return number
