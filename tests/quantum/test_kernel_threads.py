"""Threads that are kept and sleep: all tasks are done, errors arrive, callers do not mix."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hqgan.quantum.kernel.threads import add_up_in_threads


def test_each_task_runs_once_and_results_are_added() -> None:
    done: list[int] = []

    def task(i: int) -> int:
        done.append(i)
        return 10**i

    for _ in range(20):
        done.clear()
        assert add_up_in_threads([lambda i=i: task(i) for i in range(5)]) == 11111
        assert sorted(done) == list(range(5))


def test_tasks_run_at_the_same_time() -> None:
    meet = threading.Barrier(3, timeout=30)
    add_up_in_threads([lambda: meet.wait() * 0] * 3)


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_an_error_reaches_the_caller_and_the_threads_live_on(culprit: int) -> None:
    def task(i: int) -> int:
        if i == culprit:
            raise RuntimeError(f"task {i}")
        return 1

    with pytest.raises(RuntimeError, match=f"task {culprit}"):
        add_up_in_threads([lambda i=i: task(i) for i in range(3)])
    assert add_up_in_threads([lambda: 1] * 3) == 3


def test_callers_at_the_same_time_get_their_own_sums() -> None:
    with ThreadPoolExecutor(4) as pool:
        sums = pool.map(lambda n: add_up_in_threads([lambda: n] * 3), range(50))
        assert list(sums) == [3 * n for n in range(50)]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_work_of_others(interruptible: None) -> None:
    """What the other threads write to must live until they are done."""
    finished = threading.Event()

    def slow() -> int:
        time.sleep(0.3)
        finished.set()
        return 1

    def interrupted() -> int:
        signal.raise_signal(signal.SIGINT)
        return 1

    with pytest.raises(KeyboardInterrupt):
        add_up_in_threads([interrupted, slow])
    assert finished.is_set()
    waiting = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    waiting.start()
    finished.clear()
    with pytest.raises(KeyboardInterrupt):
        add_up_in_threads([lambda: 1, slow])
    assert finished.is_set()
    assert add_up_in_threads([lambda: 1] * 3) == 3


def test_a_forked_process_has_threads_of_its_own() -> None:
    assert add_up_in_threads([lambda: 1] * 2) == 2
    child = multiprocessing.get_context("fork").Process(target=add_up_in_threads, args=([int] * 2,))
    child.start()
    child.join(timeout=30)
    assert child.exitcode == 0
