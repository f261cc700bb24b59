"""Where the runs of a comparison are computed: here, one after the other, or on a Ray cluster.

A task is a module-level function and one picklable argument; what it makes lies in its own folder,
so that a task done twice, or begun on one node and finished on another, costs only time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.training import Interrupted

Task = TypeVar("Task")
Answer = TypeVar("Answer")

EXECUTORS = ("local", "ray")
RETRIES = 3  # of a task whose node or process died


def run_all(
    function: Callable[[Task], Answer], tasks: Sequence[Task], executor: str = "local"
) -> Iterator[tuple[int, Answer]]:
    """Yield (index, answer) of every task as it is done, in any order.

    Args:
        function: module-level, called once for each task.
        tasks: picklable for "ray".
        executor: "local": in this process, in order. "ray": on the cluster that RAY_ADDRESS names,
            or on this machine alone; each task takes as many cores as the smallest node has, and
            all nodes must see the same files. A node that dies or is told to stop costs the tasks
            it was at, which are given to others.

    Raises:
        UsageError: an unknown executor.
        MissingExtra: "ray" without Ray.
        HqganError: a task that failed, as it raised it; or one that was lost too often.
    """
    require_executor(executor)
    if executor == "ray":
        yield from on_ray(function, tasks)
        return
    for index, task in enumerate(tasks):
        yield index, function(task)


def require_executor(executor: str) -> None:
    """Raise UsageError for an unknown one."""
    if executor not in EXECUTORS:
        raise UsageError(f"executor is {executor!r}, but must be one of {', '.join(EXECUTORS)}")


def on_ray(
    function: Callable[[Task], Answer], tasks: Sequence[Task]
) -> Iterator[tuple[int, Answer]]:
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
        pending: dict[Any, int] = {remote.remote(task): i for i, task in enumerate(tasks)}
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
