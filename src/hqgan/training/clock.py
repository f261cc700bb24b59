"""When something is due: the clock is images seen."""

from collections.abc import Iterator


def marks(previous: int, seen: int) -> Iterator[int]:
    """Thousands of images at which to snapshot, 1, 2, 5, 10, 20 ..., passed by the last step."""
    decade = 1
    while 1000 * decade <= seen:
        for digit in (1, 2, 5):
            if previous < 1000 * digit * decade <= seen:
                yield digit * decade
        decade *= 10


def crossed(previous: int, seen: int, every: float) -> bool:
    """Whether a multiple of `every` lies in (previous, seen]."""
    return int(seen // every) > int(previous // every)
