"""The queue of orders: how many may wait, whose turn it is, and what is forgotten.

Gradio's queue is first come, first served, and without bounds for one visitor. Here everybody's
first order comes before anybody's second, and what nobody reads is not kept. This file alone knows
the inside of Gradio's queue; all of it runs in the thread of the server.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hqgan.app.door.refusing import Refused
from hqgan.app.door.visitors import network
from hqgan.app.limits import REQUESTS, REQUESTS_OF_ADDRESS, REQUESTS_OF_SESSION, UNREAD

RETRY = 10.0  # seconds after which there is room again, most likely
FORGOTTEN = 60.0  # seconds that messages are kept for a page that does not fetch them
SWEEP = 5.0
LONG = 30.0  # seconds of waiting after which an order is nobody's first or second any more


class Waiting:
    """The orders that wait.

    Args:
        queue: Gradio's, of the page.
        most, of_address, of_session: orders, see `hqgan.app.limits`.
    """

    def __init__(
        self,
        queue: Any,
        most: int = REQUESTS,
        of_address: int = REQUESTS_OF_ADDRESS,
        of_session: int = REQUESTS_OF_SESSION,
    ):
        self.queue = queue
        self.most, self.of_address, self.of_session = most, of_address, of_session
        self.streams: set[str] = set()  # pages that fetch their messages
        self._coming: list[tuple[str, str]] = []
        self._idle: dict[str, float] = {}
        self._swept = 0.0
        self._new_first = True

    @contextmanager
    def room(self, session: str, place: str) -> Iterator[None]:
        """A place in the queue, held while Gradio takes the order.

        Raises:
            Refused: a page, an address or all together wait for too much.
        """
        self.sweep()
        waiting = [(e.session_hash, _place(e)) for one in self._queues() for e in one]
        waiting += self._coming  # many at the same moment are none in the queue yet
        if len(waiting) >= self.most:
            text = f"{len(waiting)} orders wait, the most this page takes; please try again soon."
            raise Refused(503, text, RETRY)
        if Counter(one for one, _ in waiting)[session] >= self.of_session:
            raise Refused(
                429, f"{self.of_session} orders of yours wait already; let them be made first.", 2
            )
        if Counter(one for _, one in waiting)[place] >= self.of_address:
            text = f"{self.of_address} orders of your address wait already; please try again soon."
            raise Refused(429, text, RETRY)
        unread = self.queue.pending_messages_per_session.get(session)
        if unread is not None and unread.qsize() >= UNREAD:
            raise Refused(429, "The page does not fetch what was made; please reload it.", RETRY)
        self._coming.append((session, place))
        try:
            yield
        finally:
            self._coming.remove((session, place))
            self.take_turns()

    def take_turns(self) -> None:
        """Put the orders of every queue in a fair order.

        Each page's n-th comes before any (n + 1)-th, and among those an address's likewise, so that
        a flood from one place does not hold up who comes from another. That alone would let ever
        new ones pass by who waits, so every second turn goes to whoever has waited for long.
        """
        now = time.monotonic()
        for one in self._queues():
            old = [event for event in one if now - event.enqueue_time > LONG]
            new = [event for event in one if now - event.enqueue_time <= LONG]
            new = _in_turn(new)
            first, second = (new, old) if self._new_first else (old, new)
            pairs = itertools.zip_longest(first, second)
            one[:] = [event for pair in pairs for event in pair if event is not None]
        self._new_first = not self._new_first

    def knows(self, session: str) -> bool:
        """Whether anything was made, or will be, for a page."""
        return session in self.queue.pending_messages_per_session

    def sweep(self) -> None:
        """Forget messages and names of pages that have not fetched anything for a minute."""
        now = time.monotonic()
        if now - self._swept < SWEEP:
            return
        self._swept = now
        busy = {event.session_hash for event in self.queue.event_ids_to_events.values()}
        names = set(self.queue.pending_event_ids_session)
        names |= set(self.queue.pending_messages_per_session)
        self._idle = {name: self._idle.get(name, now) for name in names - busy - self.streams}
        for name, since in self._idle.items():
            if now - since > FORGOTTEN:
                self.queue.pending_event_ids_session.pop(name, None)
                self.queue.pending_messages_per_session.pop(name, None)

    def _queues(self) -> list[list[Any]]:
        return [one.queue for one in self.queue.event_queue_per_concurrency_id.values()]


def _in_turn(events: list[Any]) -> list[Any]:
    """Sorted by the how-manieth of its page each is, then by the how-manieth of its address."""
    turns: list[tuple[int, int, int]] = []
    pages: Counter[str] = Counter()
    places: Counter[tuple[int, str]] = Counter()
    for number, event in enumerate(events):
        page, place = pages[event.session_hash], _place(event)
        turns.append((page, places[page, place], number))
        pages[event.session_hash] += 1
        places[page, place] += 1
    return [events[number] for _, _, number in sorted(turns)]


def _place(event: Any) -> str:
    client = event.request.client
    return network(client.host) if client else ""
