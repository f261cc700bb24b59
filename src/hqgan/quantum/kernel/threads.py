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
        self.begin = threading.Lock()
        self.begin.acquire()
        self.end = threading.Lock()
        self.task: Task = int
        self.done = True
        self.result = 0
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        while True:
            self.begin.acquire()
            end = self.end
            try:
                self.result, self.error = self.task(), None
            except BaseException as error:
                self.error = error
            self.done = True
            end.release()

    def give(self, task: Task) -> None:
        self.end = threading.Lock()  # of this task alone: an interrupted wait leaves nothing behind
        self.end.acquire()
        self.task, self.done = task, False
        self.begin.release()

    def wait(self) -> BaseException | None:
        """Until the task is done, also through a Ctrl-C, which is returned: memory is in use."""
        interrupt = None
        while not self.done:
            try:
                self.end.acquire()
            except BaseException as error:
                interrupt = error
        return interrupt or self.error


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
        used = helpers[: len(tasks) - 1]
        try:
            for helper, task in zip(used, tasks[1:], strict=True):
                helper.give(task)
            total = tasks[0]()
        finally:
            errors = [helper.wait() for helper in used]
        for error in errors:
            if error is not None:
                raise error
        return total + sum(helper.result for helper in used)
    finally:
        _busy.release()
