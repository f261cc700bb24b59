"""Passwords that are tried: a few at once, then one every few seconds.

Three buckets of tries that fill again by themselves: of an address, of an account from all
addresses together, and of a browser that has got into an account before. The last stands by itself,
so that nobody who guesses at an account keeps its owner out.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from hqgan.app.door.refusing import Refused
from hqgan.app.door.visitors import Visitor

OF_ADDRESS = (10, 6.0)  # tries at once, seconds for one more
OF_ACCOUNT = (30, 2.0)
OF_KNOWN = (10, 6.0)
MOST = 10_000  # buckets; of more, those used least lately are forgotten
LONGEST = 100  # letters of an account that tell it from others


@dataclass
class Bucket:
    """Tries that are left, and when they were counted."""

    left: float
    seen: float


class Attempts:
    """Who may try a password now.

    Args:
        clock: seconds; another one for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self._buckets: OrderedDict[tuple[str, ...], Bucket] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, who: Visitor, user: str) -> None:
        """Count a try; Refused, with the seconds to wait, where there were too many."""
        buckets = [(self._filled(key, *size), size[1]) for key, size in self._keys(who, user)]
        wait = max((1 - bucket.left) * seconds for bucket, seconds in buckets)
        if wait > 0:
            raise Refused(429, f"Too many tries; wait {max(1, round(wait))} s.", retry=wait)
        for bucket, _ in buckets:
            bucket.left -= 1

    def succeeded(self, who: Visitor, user: str) -> None:
        """It was the right password: the try does not count, and the browser is known."""
        for key, (most, seconds) in self._keys(who, user):
            bucket = self._filled(key, most, seconds)
            bucket.left = min(most, bucket.left + 1)
        if not who.is_new:
            self._known[who.word, user] = None
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def _keys(self, who: Visitor, user: str) -> list[tuple[tuple[str, ...], tuple[int, float]]]:
        if (who.word, user) in self._known:
            return [(("known", who.word, user), OF_KNOWN)]
        account = user[:LONGEST]
        return [(("address", who.network), OF_ADDRESS), (("account", account), OF_ACCOUNT)]

    def _filled(self, key: tuple[str, ...], most: int, seconds: float) -> Bucket:
        now = self.clock()
        bucket = self._buckets.setdefault(key, Bucket(most, now))
        bucket.left = min(most, bucket.left + (now - bucket.seen) / seconds)
        bucket.seen = now
        self._buckets.move_to_end(key)
        while len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        return bucket
