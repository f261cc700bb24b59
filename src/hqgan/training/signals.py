"""Ctrl-C and SIGTERM as a question that the loop asks after each step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether to stop; a second signal stops at once, as usual."""
    received: list[int] = []
    originals: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, originals[number])

    try:
        for stop in (signal.SIGINT, signal.SIGTERM):
            originals[stop] = signal.signal(stop, note)
    except ValueError:  # not the main thread: whoever owns it handles signals
        pass
    try:
        yield lambda: bool(received)
    finally:
        for number, original in originals.items():
            signal.signal(number, original)
