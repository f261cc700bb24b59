"""Jobs that run in this process: on a simulated device, or on whatever a user's factory returns.

Any `BackendV2` is run by Qiskit's `BackendSamplerV2`, and any `BaseEstimatorV2` as it is, so that a
vendor who offers either needs no code here. A job lives as long as the process: what a vendor's
backend charges for one is lost with it, and `find` finds nothing after a crash.
"""

import importlib
import uuid
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Literal

from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.quantum.jobs.device import Service
from hqgan.quantum.jobs.orders import DeviceError, Status

SERVICE_METHODS = ("backend", "run", "find", "status", "result", "qpu_seconds")


class LocalService:
    """Runs each job in a thread of its own process, one after the other; a `Service`.

    Args:
        name: the spec.
        primitive: a `BaseSamplerV2` or `BaseEstimatorV2`, or what is called like one.
        backend: what circuits are transpiled for; None for an estimator that does it by itself.
        kind: which of the two `primitive` is.
    """

    offers: frozenset[str] = frozenset()
    lasting = False

    def __init__(
        self,
        name: str,
        primitive: Any,
        backend: Any,
        kind: Literal["sampler", "estimator"] = "sampler",
    ):
        self.name = name
        self.primitive = kind
        self._primitive = primitive
        self._backend = backend
        self._threads = ThreadPoolExecutor(max_workers=1)
        self._jobs: dict[str, tuple[Future[Any], str]] = {}

    def backend(self) -> Any:
        """What circuits are transpiled for."""
        return self._backend

    def run(
        self,
        pubs: list[Any],
        *,
        shots: int,
        tag: str,
        methods: frozenset[str],
        ceiling: float | None,
    ) -> str:
        """Put a job in line; an estimator's PUBs carry its precision, so `shots` is a sampler's."""
        job_id = f"local-{uuid.uuid4()}"
        options = {"shots": shots} if self.primitive == "sampler" else {}
        future = self._threads.submit(lambda: self._primitive.run(pubs, **options).result())
        self._jobs[job_id] = future, tag
        return job_id

    def find(self, tag: str) -> list[str]:
        """Ids of this process's jobs with a tag."""
        return [job_id for job_id, (_, known) in self._jobs.items() if known == tag]

    def status(self, job_id: str) -> Status:
        """How far a job is."""
        future = self._job(job_id)
        if future.cancelled():
            return "cancelled"
        if not future.done():
            return "running" if future.running() else "queued"
        return "done" if future.exception() is None else "error"

    def result(self, job_id: str) -> Any:
        """The result of a job that is done.

        Raises:
            DeviceError: it is not, or what the backend raised.
        """
        future = self._job(job_id)
        if not future.done():
            raise DeviceError(f"job {job_id} is not done yet; wait for it", transient=True)
        try:
            return future.result()
        except HqganError:
            raise
        except CancelledError:
            raise DeviceError(f"job {job_id} was cancelled; send it again") from None
        except Exception as error:  # a vendor's code may raise anything
            raise DeviceError(
                f"{self.name} failed: {type(error).__name__}: {error}. Nothing was kept of the "
                "job; mend the cause and send it again"
            ) from error

    def qpu_seconds(self, job_id: str) -> float | None:
        """Unknown."""
        return None

    def _job(self, job_id: str) -> Future[Any]:
        if job_id not in self._jobs:
            raise DeviceError(
                f"{self.name} does not know the job {job_id}: jobs of a local device end with the "
                "process that sent them. Send it again"
            )
        return self._jobs[job_id][0]


def fake_service(name: str, device: str, seed: int = 0) -> LocalService:
    """A fake device, simulated by Aer from its calibration; see `hqgan.quantum.aer`."""
    from hqgan.quantum.aer import AerSampler
    from hqgan.quantum.devices import fake_device

    backend = fake_device(device)
    return LocalService(name, AerSampler(backend, seed), backend)


def python_service(name: str, path: str, seed: int = 0) -> Service:
    """What a user's factory returns, as a service.

    Args:
        name: the whole spec.
        path: "package.module:factory"; the factory takes no arguments and returns a `BackendV2`, a
            `BaseEstimatorV2`, or a `Service`.
        seed: of a simulator that takes one.

    Raises:
        UsageError: no such module or factory, or it returns something else.
        DeviceError: the factory failed.
    """
    made = _call(path)
    if all(callable(getattr(made, method, None)) for method in SERVICE_METHODS):
        found: Service = made
        return found
    try:
        from qiskit.primitives import BackendSamplerV2, BaseEstimatorV2
        from qiskit.providers import BackendV2
    except ImportError as error:
        raise MissingExtra("qiskit", "quantum", f"running circuits on {name}") from error
    if isinstance(made, BackendV2):
        sampler = BackendSamplerV2(backend=made, options={"seed_simulator": seed})
        return LocalService(name, sampler, made)
    if isinstance(made, BaseEstimatorV2):
        backend = getattr(made, "backend", None)  # a property in Qiskit, a method in the runtime
        backend = backend() if callable(backend) and not isinstance(backend, BackendV2) else backend
        return LocalService(
            name, made, backend if isinstance(backend, BackendV2) else None, "estimator"
        )
    raise UsageError(
        f"{path} returned a {type(made).__name__}; a factory returns a qiskit BackendV2 or a "
        "BaseEstimatorV2"
    )


def _call(path: str) -> Any:
    module, _, factory = path.partition(":")
    if not module or not factory:
        raise UsageError(f"python:{path} names no factory; write python:package.module:factory")
    try:
        function = getattr(importlib.import_module(module), factory)
    except ImportError as error:
        raise UsageError(
            f"cannot import {module!r}: {error}. Is it on PYTHONPATH or installed?"
        ) from error
    except AttributeError:
        raise UsageError(f"the module {module!r} has no {factory!r}") from None
    except HqganError:
        raise
    except Exception as error:  # from SyntaxError to whatever the module raises
        raise UsageError(f"cannot import {module!r}: {type(error).__name__}: {error}") from error
    try:
        return function()
    except HqganError:
        raise
    except Exception as error:  # a user's or vendor's code may raise anything
        raise DeviceError(f"{path} failed: {type(error).__name__}: {error}") from error
