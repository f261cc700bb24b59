"""A runtime service in memory that behaves as a real one: queues, failures, bills.

It is what a `Device` needs of a provider (`hqgan.quantum.backends.Service`). Jobs are computed by
Qiskit's reference sampler, without noise, when they arrive; what is scripted is all around it.
`python:fake_runtime:service` opens the one that is `current`, so that it outlives a command.
"""

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from hqgan.quantum.backends import DeviceError, Status
from hqgan.workflows.hardware import jobs

SECONDS_PER_JOB = 3.0


class Killed(BaseException):
    """The process dies here; nothing catches it."""


@dataclass
class Kept:
    """A job as the service keeps it."""

    tag: str
    result: Any
    shots: int
    ceiling: float | None
    statuses: deque[Status]
    charged: float | None = SECONDS_PER_JOB


@dataclass
class FakeRuntime:
    """A service with jobs in memory.

    Args:
        device: name of the fake device that circuits are laid out for.
        statuses: what a job's status is, poll after poll; the last stays.
        scripts: the same for the next jobs, before `statuses` holds for all.
        trouble: by method, what happens at its next calls: None lets one pass, an exception is
            raised before anything is done; of "run", `after(error)` is raised once the job arrived.
    """

    device: str = "fake_manila"
    statuses: tuple[Status, ...] = ("queued", "running", "done")
    scripts: list[tuple[Status, ...]] = field(default_factory=list)
    trouble: dict[str, list[BaseException | Callable[[], BaseException] | None]] = field(
        default_factory=dict
    )
    name: str = "python:fake_runtime:service"
    primitive: Literal["sampler"] = "sampler"
    offers: frozenset[str] = frozenset({"dd", "twirling"})
    jobs: dict[str, Kept] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def backend(self) -> Any:
        from hqgan.quantum.devices import fake_device

        return fake_device(self.device)

    def run(
        self,
        pubs: list[Any],
        *,
        shots: int,
        tag: str,
        methods: frozenset[str],
        ceiling: float | None,
    ) -> str:
        from qiskit.primitives import StatevectorSampler

        del methods
        after = self._trouble("run")
        result = StatevectorSampler(seed=len(self.jobs)).run(pubs, shots=shots).result()
        id = f"job-{len(self.jobs) + 1}"
        statuses = self.scripts.pop(0) if self.scripts else self.statuses
        self.jobs[id] = Kept(tag, result, shots, ceiling, deque(statuses))
        if after is not None:
            raise after
        return id

    def find(self, tag: str) -> list[str]:
        self._trouble("find")
        return [id for id, job in self.jobs.items() if job.tag == tag]

    def status(self, job_id: str) -> Status:
        self._trouble("status")
        statuses = self._job(job_id).statuses
        return statuses.popleft() if len(statuses) > 1 else statuses[0]

    def result(self, job_id: str) -> Any:
        self._trouble("result")
        job = self._job(job_id)
        if job.statuses[0] == "error":
            raise DeviceError(f"job {job_id} failed at the service: Internal error 9999")
        return job.result

    def qpu_seconds(self, job_id: str) -> float | None:
        return self._job(job_id).charged

    @property
    def charged(self) -> float:
        """What all jobs were charged."""
        return sum(job.charged or 0.0 for job in self.jobs.values())

    def _job(self, job_id: str) -> Kept:
        if job_id not in self.jobs:
            raise DeviceError(f"the service knows no job {job_id}")
        return self.jobs[job_id]

    def _trouble(self, method: str) -> BaseException | None:
        self.calls.append(method)
        script = self.trouble.get(method)
        happens = script.pop(0) if script else None
        if callable(happens):
            return happens()
        if happens is not None:
            raise happens
        return None


def after(error: BaseException) -> Callable[[], BaseException]:
    """Raise the error once the job has arrived."""
    return lambda: error


def offline() -> DeviceError:
    """The network is away."""
    return DeviceError("the service cannot be reached: connection reset", transient=True)


current = FakeRuntime()


def renewed(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """A new service that is `current`; nobody waits for it long."""
    monkeypatch.setattr(sys.modules[__name__], "current", FakeRuntime())
    for name in ("GRACE", "PATIENCE", "FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(jobs, name, 0.02)
    return current


def service() -> FakeRuntime:
    """What `python:fake_runtime:service` opens."""
    return current
