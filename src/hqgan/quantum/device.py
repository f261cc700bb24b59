"""`Device`: a quantum computer or a stand-in for one, which takes jobs and answers later.

An `Order` is all of a job that must survive a crash, and `Measured` is what came of it. What talks
to a particular provider is a `Service`: see `hqgan.quantum.primitives` and `hqgan.quantum.ibm`.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hqgan.errors import HqganError
from hqgan.quantum.bill import Bill
from hqgan.quantum.circuit import Circuit

Status = Literal["queued", "running", "done", "error", "cancelled"]


class DeviceError(HqganError):
    """A device or its service did not do what was asked; the message says what to do.

    Attributes:
        transient: whether the same call may succeed later (the network, a busy service).
    """

    def __init__(self, message: str, *, transient: bool = False):
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True, eq=False)
class Order:
    """A job as it will be sent: circuits transpiled, angles laid out, the bill known.

    Picklable. For files: `to_dict` is for json, and `angles` goes into an array file beside it.

    Args:
        backend: the spec's name of the device, such as "fake:manila".
        circuit: what was asked for, as the caller gave it.
        circuits: C.
        samples: B.
        angles: (rows, lines x A) radians: a row is one run of the packed circuit.
        lines: physical qubits of each line; one empty line where a vendor's estimator lays out
            circuits by itself.
        shots: of each row in each basis.
        mitigation: as given to `open_backend`.
        bill: what it will cost.
        program: the transpiled circuits in QPY, Qiskit's file format.
    """

    backend: str
    circuit: Circuit
    circuits: int
    samples: int
    angles: NDArray[np.float64]
    lines: tuple[tuple[int, ...], ...]
    shots: int
    mitigation: str
    bill: Bill
    program: bytes

    @property
    def sha256(self) -> str:
        """Hexadecimal fingerprint of everything that decides the result."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return all but `angles` as plain values for `json`."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, data: dict[str, Any], angles: NDArray[np.float64]) -> "Order":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: not an order.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Measured:
    """What a job gave.

    Args:
        values: (C, B, outputs), mitigated as asked, float64.
        errors: standard errors of `values` from the number of shots.
        raw: the same values of the same job without read-out correction and extrapolation.
        qpu_seconds: charged for the job; None where the service does not say.
        mitigation: as ordered.
    """

    values: Tensor
    errors: Tensor
    raw: Tensor
    qpu_seconds: float | None
    mitigation: str


class Service(Protocol):
    """Where jobs go: what a `Device` needs of a provider. A `python:` factory may return one."""

    name: str

    def backend(self) -> Any:
        """The provider's `BackendV2`, with a target to transpile for."""

    def run(
        self,
        pubs: list[Any],
        *,
        shots: int,
        tag: str,
        methods: frozenset[str],
        ceiling: float | None,
    ) -> str:
        """Send sampler PUBs as one job and return its id.

        `methods` are those of "dd" and "twirling" that were asked for, `ceiling` the most QPU
        seconds that may be charged.
        """

    def find(self, tag: str) -> list[str]:
        """Ids of the jobs that were sent with this tag."""

    def status(self, job_id: str) -> Status:
        """How far the job is."""

    def result(self, job_id: str) -> Any:
        """The `PrimitiveResult` of a job that is done."""

    def qpu_seconds(self, job_id: str) -> float | None:
        """What was charged for it."""


class Device:
    """Runs circuits as jobs of a service; `open_backend` makes one.

    `device(circuit, inputs, weights)` orders, submits, waits and returns the values, so that a
    device is a `Run` as `simulate` is. Whoever pays does it step by step and notes the job's id.

    Args:
        service: where jobs go.
        shots: of each circuit in each basis.
        mitigation: see `open_backend`.
        pack: whether to run circuits side by side on disjoint lines of qubits.
        seed: of the transpiler.
    """

    def __init__(
        self,
        service: Service,
        *,
        shots: int = 4096,
        mitigation: str = "none",
        pack: bool = True,
        seed: int = 0,
    ):
        self.service = service
        self.name = service.name
        self.shots = shots
        self.mitigation = mitigation
        self.pack = pack
        self.seed = seed

    def order(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Order:
        """Prepare a job for inputs (C or 1, B, I) and weights (C or 1, P); nothing is sent.

        Raises:
            UsageError: a circuit that the device has no line of qubits for.
        """
        raise NotImplementedError

    def submit(self, order: Order, tag: str, *, ceiling: float | None = None) -> str:
        """Send the job under a tag that `find` finds it by, and return its id.

        Args:
            order: of this device.
            tag: one of its own for every job.
            ceiling: the most QPU seconds that may be charged; the service stops a job beyond it.

        Raises:
            DeviceError: the service refused, or could not be reached (`transient`).
        """
        raise NotImplementedError

    def find(self, tag: str) -> list[str]:
        """Ids of the jobs that the service knows under a tag: was it sent before the crash?"""
        raise NotImplementedError

    def status(self, job_id: str) -> Status:
        """How far a job is.

        Raises:
            DeviceError: unknown job, or the service could not be reached (`transient`).
        """
        raise NotImplementedError

    def result(self, order: Order, job_id: str) -> Measured:
        """Fetch the outcomes of a job that is done, and turn them into values.

        Raises:
            DeviceError: the job failed, was cancelled or is not done.
        """
        raise NotImplementedError

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Order, submit, wait, and return (C, B, outputs) in the dtype of the inputs."""
        raise NotImplementedError
