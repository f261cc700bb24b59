"""Jobs on IBM's quantum computers, through qiskit-ibm-runtime.

Circuits are measured by the runtime's Sampler: the client-side one (0.47 and later), or `SamplerV2`
where that is missing, which is deprecated since 0.50. A sampler rather than an estimator, because
one job then gives raw and mitigated values, its bits can be read again by any later version of this
package, and trex and zne are the same on a simulated device, where they are tested. Jobs run in job
mode, which every plan has; no session is opened.

The account is what Qiskit has saved (`QiskitRuntimeService.save_account`) or QISKIT_IBM_TOKEN. Only
the runtime reads it; here no token is taken, kept or written anywhere.
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.quantum.jobs.orders import DeviceError, Status

ACCOUNT = (
    "save one with qiskit_ibm_runtime's QiskitRuntimeService.save_account(token=..., "
    "instance=...), or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE; a free token comes from "
    "https://quantum.cloud.ibm.com"
)

OPENING = "opening the account"

STATUSES: dict[str, Status] = {
    "INITIALIZING": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "DONE": "done",
    "ERROR": "error",
    "CANCELLED": "cancelled",
}

LEAST_CEILING = 1
"""Seconds; the service takes whole ones."""


class IbmService:
    """Jobs of one of IBM's machines; a `Service`.

    Args:
        runtime: a `QiskitRuntimeService`.
        machine: one of its backends.
    """

    primitive: Literal["sampler"] = "sampler"
    offers = frozenset({"dd", "twirling"})
    whole_seconds = True

    def __init__(self, runtime: Any, machine: Any):
        self.name = f"ibm:{machine.name}"
        self._runtime = runtime
        self._machine = machine

    def backend(self) -> Any:
        """The machine."""
        return self._machine

    def run(
        self,
        pubs: list[Any],
        *,
        shots: int,
        tag: str,
        methods: frozenset[str],
        ceiling: float | None,
    ) -> str:
        """Send a job; the service stops it at the ceiling, in whole seconds."""
        with explained(f"sending a job to {self.name}"):
            sampler = sampler_for(self._machine, tag=tag, methods=methods, ceiling=ceiling)
            return str(sampler.run(pubs, shots=shots).job_id())

    def find(self, tag: str) -> list[str]:
        """Ids of the account's jobs with this tag, where the machine's jobs are kept."""
        # By itself the runtime looks into the instance that it used last, which may be another;
        # that of a machine has no public name.
        instance = getattr(self._machine, "_instance", None)
        with explained("looking for a job"):
            jobs = self._runtime.jobs(limit=None, instance=instance, job_tags=[tag])
            return [str(job.job_id()) for job in jobs]

    def status(self, job_id: str) -> Status:
        """How far a job is."""
        with explained(f"asking for the job {job_id}"):
            return STATUSES[str(self._runtime.job(job_id).status())]

    def result(self, job_id: str) -> Any:
        """The result of a job that is done."""
        with explained(f"fetching the job {job_id}"):
            job = self._runtime.job(job_id)
            status = STATUSES[str(job.status())]
            if status in ("queued", "running"):
                raise DeviceError(f"job {job_id} is {status}; ask again later", transient=True)
            if status == "cancelled":
                raise DeviceError(f"job {job_id} was cancelled; send it again if that was a slip")
            if status == "error":
                raise DeviceError(
                    f"job {job_id} failed on {self.name}: {hidden(str(job.error_message()))}. "
                    "What it used is charged all the same; mend the cause before sending it again"
                )
            return job.result()

    def qpu_seconds(self, job_id: str) -> float | None:
        """What was charged for a job, None while the service has not counted it."""
        with explained(f"asking for the usage of the job {job_id}"):
            usage = (self._runtime.job(job_id).metrics() or {}).get("usage", {})
            seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
            pending = usage.get("status") == "pending"
            return None if seconds is None or pending else float(seconds)


def connect(name: str) -> IbmService:
    """Open a machine by name, or "least_busy", with the account that Qiskit knows.

    Raises:
        DeviceError: no account, a token or instance that is refused, an unknown or retired machine,
            no network (`transient`).
        MissingExtra: qiskit-ibm-runtime is not installed.
    """
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
    except ImportError as error:
        raise MissingExtra("qiskit-ibm-runtime", "quantum", "a quantum computer of IBM") from error
    with explained(OPENING):
        runtime = QiskitRuntimeService()
    with explained(f"opening {name}"):
        if name == "least_busy":
            machine = runtime.least_busy(operational=True, simulator=False)
        else:
            machine = runtime.backend(name)
    return IbmService(runtime, machine)


def sampler_for(machine: Any, *, tag: str, methods: frozenset[str], ceiling: float | None) -> Any:
    """The runtime's sampler with our options: the tag, the ceiling, dd and twirling.

    Raises:
        UsageError: a ceiling below a second.
    """
    if ceiling is not None and ceiling < LEAST_CEILING:
        raise UsageError(f"a ceiling of {ceiling:g} QPU seconds; the service takes at least 1")
    twirling = "twirling" in methods
    options: dict[str, Any] = {
        "environment": {"job_tags": [tag]},
        "dynamical_decoupling": {"enable": "dd" in methods, "sequence_type": "XY4"},
        "twirling": {"enable_gates": twirling, "enable_measure": twirling},
    }
    if ceiling is not None and math.isfinite(ceiling):
        options["max_execution_time"] = int(ceiling)
    try:
        from qiskit_ibm_runtime.executor_sampler import Sampler
    except ImportError:  # before 0.47
        from qiskit_ibm_runtime import SamplerV2 as Sampler
    return Sampler(mode=machine, options=options)


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the runtime raises into a `DeviceError` that says what to do."""
    try:
        yield
    except HqganError:
        raise
    except Exception as error:  # the runtime raises its own, Qiskit's, requests' and built-in ones
        raise explanation(doing, error) from error


def explanation(doing: str, error: Exception) -> DeviceError:
    """What an error of the runtime means for the user."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = hidden(str(error)).strip("'\" .") or type(error).__name__
    code = getattr(error, "status_code", None)
    if code in (None, -1):  # the runtime often keeps it in the text alone
        found = re.search(r"\b([45]\d\d) (?:Client|Server) Error", text)
        code = int(found[1]) if found else None
    what = f"{doing} failed: {text}"
    if "AccountNotFoundError" in kinds:
        return DeviceError(f"IBM's service needs an account, and none is known here: {ACCOUNT}")
    if "channel" in text.lower():
        return DeviceError(f"{what}. Unset QISKIT_IBM_CHANNEL, or make it ibm_quantum_platform")
    if "unable to retrieve instances" in text.lower():  # said of a bad token and of no network
        return DeviceError(f"{what}. Either the token is wrong or there is no network: {ACCOUNT}")
    if "IBMNotAuthorizedError" in kinds or "IBMAccountError" in kinds or code in (401, 403):
        return DeviceError(f"{what}. The token or instance was not accepted: {ACCOUNT}")
    if "QiskitBackendNotFoundError" in kinds:
        return DeviceError(
            f"{what}. The machine is unknown, retired or not open to this account; "
            "QiskitRuntimeService().backends() lists those that are, ibm:least_busy takes one"
        )
    if "RuntimeJobNotFound" in kinds or code == 404:
        return DeviceError(f"{what}. It belongs to another account or instance, or was deleted")
    if code is not None and (code >= 500 or code in (408, 429)):
        return DeviceError(f"{what}. The service is busy; try again later", transient=True)
    if kinds & {"ConnectionError", "Timeout", "TimeoutError", "MaxRetryError"} or _offline(text):
        return DeviceError(f"{what}. Is there a network? Try again later", transient=True)
    if "session" in text.lower():
        return DeviceError(f"{what}. Sessions need a paid plan; run outside of one, as a plain job")
    if "IBMError" not in kinds and doing == OPENING:  # it stumbles over a crippled instance
        return DeviceError(f"{what}. Is QISKIT_IBM_INSTANCE a whole resource name (crn:...)?")
    return DeviceError(f"{what}. See https://quantum.cloud.ibm.com/docs/errors")


def hidden(text: str) -> str:
    """The text without the token of the environment, should the service ever repeat it."""
    token = os.environ.get("QISKIT_IBM_TOKEN")
    return text.replace(token, "***") if token else text


def _offline(text: str) -> bool:
    signs = ("Max retries exceeded", "NameResolution", "Connection", "timed out", "unreachable")
    return any(sign.lower() in text.lower() for sign in signs)
