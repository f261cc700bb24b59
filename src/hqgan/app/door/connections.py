"""Connections that take their time: cut off, so that they cost others nothing.

Uvicorn waits for the head of a request without end, and takes as many connections as come. Here a
connection that says nothing, drips, or does not read its answer is closed after some seconds, and
where there are too many, those go first that wait for nothing.
"""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hqgan.app.door.visitors import network
from hqgan.app.limits import CONNECTIONS, CONNECTIONS_OF_ADDRESS, PATIENCE, READING

LOOK = 0.5  # seconds between two looks at all connections
TEXT = b"Too many connections are open; please try again in a moment."
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"retry-after: 5\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(TEXT), TEXT)
)
SLOW_TEXT = b"The request took too long to arrive."
SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(SLOW_TEXT), SLOW_TEXT)
)


class Patient(asyncio.Protocol):
    """One connection: Uvicorn's own protocol, watched.

    Args:
        watch: who looks at all of them.
        given: what Uvicorn gives its protocols.
    """

    def __init__(self, watch: "Watch", **given: Any):
        from uvicorn.protocols.http.h11_impl import H11Protocol  # comes with Gradio

        self.watch = watch
        self.inner = H11Protocol(**given)
        self.transport: Any = None
        self.network = ""
        self.handled: object = None  # the latest request, and since when it is over
        self.idle_since = time.monotonic()
        self.spoke = False
        self.stuck_since: float | None = None  # it does not read what it asked for

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        name = transport.get_extra_info("peername")
        self.network = network(name[0]) if isinstance(name, tuple) else ""
        if not self.watch.admits(self):
            transport.write(FULL)
            transport.close()
            return
        self.inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.watch.open:
            self.watch.open.discard(self)
            self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self in self.watch.open:
            self.spoke = True
            self.inner.data_received(data)

    def eof_received(self) -> None:
        self.inner.eof_received()

    def pause_writing(self) -> None:
        self.stuck_since = time.monotonic()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.stuck_since = None
        self.inner.resume_writing()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        cycle = self.inner.cycle
        return cycle is not None and not cycle.response_complete

    def look(self, now: float, patience: float, reading: float) -> None:
        """Close it where it has taken too long."""
        if self.stuck_since is not None and now - self.stuck_since > reading:
            self.transport.abort()
        if self.is_busy:
            return
        if self.inner.cycle is not self.handled:
            self.handled, self.idle_since = self.inner.cycle, now
        if now - self.idle_since > patience and not self.transport.is_closing():
            # Browsers open connections that they may need; after an answer it would be a second.
            if self.spoke and self.handled is None:
                self.transport.write(SLOW)
            self.transport.close()


@dataclass(eq=False)
class Watch:
    """All connections of a server.

    Args:
        most, of_address: connections.
        patience: seconds for the head of a request.
        reading: seconds in which something of an answer must be read.
    """

    most: int = CONNECTIONS
    of_address: int = CONNECTIONS_OF_ADDRESS
    patience: float = PATIENCE
    reading: float = READING
    open: set[Patient] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None
    _looking: bool = False

    def protocol(self, **given: Any) -> Patient:
        """A protocol for Uvicorn's `http`."""
        return Patient(self, **given)

    def admits(self, new: Patient) -> bool:
        """Whether there is room for a connection, or another one makes it."""
        self._loop = asyncio.get_running_loop()
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK, self._look)
        places = Counter(one.network for one in self.open)
        full = len(self.open) >= self.most
        if full or places[new.network] >= self.of_address:
            idle = [one for one in self.open if not one.is_busy]
            if not full:
                idle = [one for one in idle if one.network == new.network]
            if not idle:
                return False
            oldest = min(idle, key=lambda one: one.idle_since)
            oldest.transport.abort()
            self.open.discard(oldest)
            oldest.inner.connection_lost(None)
        self.open.add(new)
        return True

    def close(self) -> None:
        """Cut off all that are still open; may be called from any thread."""

        def cut() -> None:
            for one in list(self.open):
                one.transport.abort()

        if self._loop is not None:
            with suppress(RuntimeError):  # the server has ended
                self._loop.call_soon_threadsafe(cut)

    def _look(self) -> None:
        now = time.monotonic()
        for one in list(self.open):
            one.look(now, self.patience, self.reading)
        self._looking = bool(self.open)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK, self._look)
