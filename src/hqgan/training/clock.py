"""When something is due, and how fast it goes: the clock is images seen."""

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


class Pace:
    """Images a second of the steps since it was last asked for.

    The first step compiles, and would make a training look many times longer than it is; it counts
    only where it is alone.
    """

    def __init__(self) -> None:
        self.images, self.seconds = 0, 0.0
        self.steps = 0

    def add(self, images: int, seconds: float) -> None:
        """One step."""
        if self.steps == 1:
            self.images, self.seconds = 0, 0.0
        self.steps += 1
        self.images += images
        self.seconds += seconds

    def take(self) -> float:
        """Images a second."""
        rate = self.images / max(self.seconds, 1e-9)
        self.images, self.seconds = 0, 0.0
        return rate
