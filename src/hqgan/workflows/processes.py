"""Tasks in worker processes on this machine, each with its own share of the cores.

The parent sends a worker one task after the other, and the worker sends back what it says and what
comes of them. Ctrl-C, SIGTERM and a hang-up are the parent's alone: it closes the pipe with the
tasks, as happens of itself where it dies, and the worker then stops as a training stops on Ctrl-C,
its state saved. Nothing but a kill ends a worker otherwise.
"""

import _thread
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch

from hqgan.errors import HqganError
from hqgan.training import Callbacks, Interrupted
from hqgan.training.signals import stop_signals

Function = Callable[[Any, Callbacks | None], Any]
CONTEXT = multiprocessing.get_context("spawn")  # a fork of torch's threads hangs
POLL = 0.2  # seconds after which a signal is seen at the latest
KILLED = 9  # SIGKILL, which signal does not name on Windows
SAID, DONE, FAILED = "said", "done", "failed"


def on_processes(
    function: Function, tasks: Sequence[Any], workers: int, threads: int, tell: Callbacks
) -> Iterator[tuple[int, Any]]:
    """`hqgan.workflows.executor.run_all` in at most `workers` processes of `threads` threads each.

    A script that calls this needs the usual `if __name__ == "__main__":`, since workers import it.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; all workers have saved their states and ended.
        HqganError: a worker could not be started or was killed; the others have saved theirs.
    """
    left = deque(enumerate(tasks))
    crew: list[Worker] = []
    with stop_signals() as stopped:
        try:
            for _ in range(min(workers, len(tasks))):
                crew.append(Worker(function, threads))
            for worker in crew:
                worker.take(left)
            while at_work := {worker.news: worker for worker in crew if worker.task is not None}:
                for news in wait(list(at_work), POLL):
                    worker = at_work[news]  # type: ignore[index]  # wait also knows sockets
                    kind, content = worker.hear()
                    if kind == SAID:
                        tell.message(content)
                        continue
                    if kind == FAILED:
                        raise content
                    index = worker.index
                    worker.take(left)
                    yield index, content
                if stopped():
                    break
            if stopped():
                tell.message("stopping: the workers save what they are at")
        finally:
            dismiss(crew, tell)
        if stopped():
            raise Interrupted("stopped; what is done is kept, and the same command continues")


class Worker:
    """A process as its parent sees it: started, given tasks, heard."""

    def __init__(self, function: Function, threads: int):
        self.index, self.task, self.threads = -1, None, threads
        try:
            orders, self.orders = CONTEXT.Pipe(duplex=False)
            self.news, news = CONTEXT.Pipe(duplex=False)
            self.process = CONTEXT.Process(target=work, args=(function, threads, orders, news))
            # The worker has its own ends: with these open nobody would see it die.
            with orders, news, inherited(threads):
                self.process.start()
        except OSError as error:
            raise HqganError(
                f"no worker process can be started ({error.strerror}); give a smaller --workers"
            ) from error

    def take(self, left: deque[tuple[int, Any]]) -> None:
        """Begin the next task; without one, leave, so that the memory is free for the others."""
        self.task = None
        if not left:
            self.orders.close()
            return
        self.index, self.task = left.popleft()
        try:
            self.orders.send(self.task)
        except OSError as error:
            raise self.lost() from error

    def hear(self) -> tuple[str, Any]:
        """What it sends next: SAID and a text, DONE and an answer, FAILED and an exception.

        Raises:
            HqganError: it is dead.
        """
        try:
            kind, content = self.news.recv()
        except (EOFError, OSError) as error:
            raise self.lost() from error
        return kind, content

    def lost(self) -> HqganError:
        """What happened to it."""
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with {code}"
        memory = ", as the system does where memory runs out" * (code == -KILLED)
        return HqganError(
            f"the worker process at {name_of(self.task)} {how}{memory}. What is done is kept, and "
            "the same command continues; a smaller --workers needs less memory (set "
            f"OMP_NUM_THREADS={self.threads} then, so that each keeps the threads it had)"
        )


def dismiss(crew: Sequence[Worker], tell: Callbacks) -> None:
    """Let all workers stop, hear them out, and leave none behind; a second Ctrl-C kills them."""
    try:
        for worker in crew:
            worker.orders.close()
        for worker in crew:
            with suppress(EOFError, OSError):
                while True:
                    kind, content = worker.news.recv()
                    if kind == SAID:
                        tell.message(content)
                    elif kind == FAILED:
                        tell.message(f"{name_of(worker.task)}: {content}")
            worker.process.join()
    finally:
        for worker in crew:
            worker.process.kill()
            worker.process.join()
            worker.news.close()


@contextmanager
def inherited(threads: int) -> Iterator[None]:
    """What a process that is started in this block begins with: its threads, and no signals.

    torch reads the number of threads when it is imported, and idle threads that spin would take
    the cores of other workers.
    """
    variables = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # unblocks all signals when it is started, so first
        stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        yield
    finally:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def work(function: Function, threads: int, orders: Connection, news: Connection) -> None:
    """The worker: do tasks until their pipe closes."""
    torch.set_num_threads(threads)
    # Of the interrupts that `listen` makes: nohup and some shells start programs without.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    inbox = SimpleQueue[bytes | None]()
    try:
        Thread(target=listen, args=(orders, inbox), daemon=True).start()
        while order := inbox.get():
            try:
                task = pickle.loads(order)  # noqa: S301  # from our parent
                news.send((DONE, function(task, Callbacks(message=voice(task, news)))))
            except Exception as error:
                news.send((FAILED, portable(error)))
    except (KeyboardInterrupt, OSError):  # told to stop, or nobody there to hear
        pass


def listen(orders: Connection, inbox: SimpleQueue[bytes | None]) -> None:
    """Pass tasks on to the main thread; when their pipe is closed, do there what Ctrl-C would."""
    try:
        while True:
            inbox.put(orders.recv_bytes())
    except (EOFError, OSError):
        _thread.interrupt_main()
        inbox.put(None)  # wakes it, if it waits for a task


def voice(task: Any, news: Connection) -> Callable[[str], None]:
    """Messages of a task for the parent, each with the task's name in front."""
    prefix = f"{name_of(task)}: "

    def say(text: str) -> None:
        with suppress(OSError):  # the parent is dead, and the training should still be saved
            news.send((SAID, prefix + text.removeprefix(prefix)))

    return say


def name_of(task: Any) -> str:
    """As people call it."""
    return str(getattr(task, "name", task))


def portable(error: Exception) -> Exception:
    """The same for another process, where it can be pickled; what nobody expects says where."""
    if not isinstance(error, HqganError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # made on this line
    except Exception:
        kind = HqganError if isinstance(error, HqganError) else RuntimeError
        return kind("".join(traceback.format_exception_only(error)))
    return error
