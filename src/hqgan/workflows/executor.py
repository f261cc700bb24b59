"""Where the runs of a comparison are computed: here, in worker processes, or on a Ray cluster.

A task is a module-level function and one picklable argument; what it makes lies in its own folder,
so that a task done twice, or begun on one node and finished on another, costs only time.
"""

import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from hqgan.data.loading import usable_cores
from hqgan.durations import duration
from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.training import Callbacks, Interrupted
from hqgan.workflows.processes import on_processes

Task = TypeVar("Task")
Answer = TypeVar("Answer")

EXECUTORS = ("local", "processes", "ray")
RETRIES = 3  # of a task whose node or process died


@dataclass(frozen=True)
class Executor:
    """How tasks are computed.

    The number of threads decides last bits and, on a CPU, the precision of a study's classifiers:
    what was begun with one number should be finished with it.

    Attributes:
        name: "local": in this process, one after the other, with all threads.
            "processes": in worker processes on this machine, one task each at a time. Most models
            are too small for several threads: two trainings with one thread each see more images
            than one with two. Each worker needs the memory of a whole training, 0.4 GB at least.
            "ray": on the cluster that RAY_ADDRESS names, or on this machine alone; each task takes
            as many cores as the smallest node has, and all nodes must see the same files. A node
            that dies or is told to stop costs the tasks it was at, which are given to others.
        workers: number of "processes"; None is one for each usable core.

    Raises:
        UsageError: an unknown name, workers below 1, or workers of another executor.
    """

    name: str = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.name not in EXECUTORS:
            known = ", ".join(EXECUTORS)
            raise UsageError(f"executor is {self.name!r}, but must be one of {known}")
        if self.workers is None:
            return
        if self.name != "processes":
            raise UsageError(
                f"workers is {self.workers}, but the executor {self.name} has none; add "
                "--executor processes, or leave --workers out"
            )
        if self.workers < 1:
            raise UsageError(f"workers is {self.workers}, but at least 1 is needed")

    @property
    def threads(self) -> int:
        """Of each task: all of this process, or a worker's share of the cores.

        OMP_NUM_THREADS, where it is set, is what a worker has. Unknown for "ray", where this says
        what this process has.
        """
        if self.name != "processes":
            return torch.get_num_threads()
        wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        if wanted.isdigit() and int(wanted):
            return int(wanted)
        return max(1, usable_cores() // self.processes)

    @property
    def processes(self) -> int:
        """How many there are at most."""
        return self.workers or usable_cores()


LOCAL = Executor()


def run_all(
    function: Callable[[Task, Callbacks | None], Answer],
    tasks: Sequence[Task],
    executor: Executor = LOCAL,
    callbacks: Callbacks | None = None,
) -> Generator[tuple[int, Answer]]:
    """Yield (index, answer) of every task as it is done, in any order but the local one.

    Close it where not all answers are taken (`contextlib.closing`): that ends worker processes.

    Args:
        function: module-level, called once for each task as function(task, callbacks).
        tasks: picklable for all executors but "local".
        executor: see `Executor`.
        callbacks: receivers of messages and progress. Worker processes send messages only, a
            cluster nothing.

    Raises:
        MissingExtra: "ray" without Ray.
        Interrupted: Ctrl-C or SIGTERM; worker processes have saved their states and ended.
        HqganError: a task that failed, as it raised it; or one whose process died.
    """
    if executor.name == "ray":
        yield from on_ray(function, tasks)
        return
    if executor.name == "processes":
        tell = callbacks or Callbacks()
        yield from on_processes(function, tasks, executor.processes, executor.threads, tell)
        return
    for index, task in enumerate(tasks):
        yield index, function(task, callbacks)


def still(started: float, done: int, tasks: Sequence[Any]) -> str:
    """How long the other tasks take, should they be like those done since `started` (monotonic)."""
    left = len(tasks) - done
    if not left:
        return ""
    return f", about {duration((time.monotonic() - started) / done * left)} left"


def on_ray(
    function: Callable[[Task, Callbacks | None], Answer], tasks: Sequence[Task]
) -> Generator[tuple[int, Answer]]:
    """`run_all` on a cluster."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", "cluster", "--executor ray") from error
    joined = ray.is_initialized()
    if not joined:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        # A training keeps all cores of a node busy, so a task asks for as many as the smallest has.
        cores = min(n["Resources"]["CPU"] for n in ray.nodes() if n["Resources"].get("CPU"))
        decorate: Any = ray.remote  # its annotations know no list of exceptions
        remote = decorate(num_cpus=cores, max_retries=RETRIES, retry_exceptions=[Interrupted])(
            function
        )
        pending: dict[Any, int] = {remote.remote(task, None): i for i, task in enumerate(tasks)}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            try:
                answer = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise HqganError(
                    f"task {pending[done] + 1} of {len(tasks)} was lost {RETRIES + 1} times with "
                    f"its node ({type(error).__name__}); what is done is kept, and the same "
                    "command continues"
                ) from error
            yield pending.pop(done), answer
    finally:
        if not joined:
            ray.shutdown()
