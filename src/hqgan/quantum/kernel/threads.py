"""Threads that sleep until there is work, and wake within some ten microseconds.

OpenMP's threads spin while they wait: two spinning threads on two busy cores cost each other a time
slice of 16 ms. A `ThreadPoolExecutor` sleeps, but takes 100 us and more to hand over a task.
"""

import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

Task = Callable[[], int]


class _Helper(threading.Thread):
    """A thread that does one task at a time for whoever holds `_busy`."""

    def __init__(self) -> None:
        super().__init__(name="hqgan-circuits", daemon=True)
        self.begin, self.end = threading.Lock(), threading.Lock()
        self.begin.acquire()
        self.end.acquire()
        self.task: Task = int
        self.result = 0
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        while True:
            self.begin.acquire()
            try:
                self.result, self.error = self.task(), None
            except BaseException as error:
                self.error = error
            self.end.release()


_busy = threading.Lock()


@lru_cache(maxsize=1)
def _helpers(process: int) -> list[_Helper]:
    return []  # for each process its own: a fork inherits no threads


def add_up_in_threads(tasks: Sequence[Task]) -> int:
    """The sum of what the tasks return, each run in a thread of its own.

    While another caller has the threads, this one does its tasks itself.
    """
    if not _busy.acquire(blocking=False):
        return sum(task() for task in tasks)
    try:
        helpers = _helpers(os.getpid())
        helpers.extend(_Helper() for _ in range(len(tasks) - 1 - len(helpers)))
        used = list(zip(helpers, tasks[1:], strict=False))
        for helper, task in used:
            helper.task = task
            helper.begin.release()
        try:
            total = tasks[0]()
        finally:
            for helper, _ in used:
                helper.end.acquire()
        for helper, _ in used:
            if helper.error is not None:
                raise helper.error
            total += helper.result
        return total
    finally:
        _busy.release()
