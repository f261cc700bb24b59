"""`Device`: a quantum computer or a stand-in for one, which takes jobs and answers later.

What talks to a particular provider is a `Service`: see `primitives` for those that run in this
process, and `ibm`.
"""

import io
import math
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from hqgan.errors import HqganError, UsageError
from hqgan.quantum.circuit import Circuit
from hqgan.quantum.devices import transpiled
from hqgan.quantum.jobs import estimating, sampling
from hqgan.quantum.jobs.bill import estimate, is_time
from hqgan.quantum.jobs.layout import layout_of
from hqgan.quantum.jobs.mitigation import HERE, methods_of
from hqgan.quantum.jobs.orders import DeviceError, Measured, Order, Status
from hqgan.quantum.jobs.packing import bases_of, rows_of
from hqgan.quantum.lowering import lower

SHOTS = 4096
"""What a device takes of each circuit where no number is given."""

SAFE_QPY = 13  # the version from which on Qiskit's files hold no pickles
PATIENCE = 20
"""How many failures of the network in a row are waited out."""

LONGEST_WAIT = 10.0
"""Seconds between two questions whether a job is done."""


class Service(Protocol):
    """Where jobs go: what a `Device` needs of a provider. A `python:` factory may return one.

    Every method may raise a `DeviceError`, a transient one where the network failed. Four
    attributes may be left out: `primitive`, "sampler" (taken for granted) or "estimator", says what
    kind of PUBs `run` takes, `offers` which of "dd" and "twirling" it can switch on, `lasting`,
    taken for granted, whether jobs outlive the process that sent them, and `whole_seconds` whether
    it rounds ceilings down to those.

    Attributes:
        name: of the device, as a spec.
    """

    name: str

    def backend(self) -> Any:
        """The provider's `BackendV2`; None only for an estimator that transpiles by itself."""

    def run(
        self,
        pubs: list[Any],
        *,
        shots: int,
        tag: str,
        methods: frozenset[str],
        ceiling: float | None,
    ) -> str:
        """Send PUBs as one job and return its id.

        `methods` are those of `offers` that were asked for, `ceiling` the most QPU seconds that
        may be charged.
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
        mitigation: none, or methods joined by "+"; see `hqgan.quantum.jobs.mitigation`.
        pack: whether to run circuits side by side on disjoint lines of qubits.
        seed: of the transpiler.

    Raises:
        UsageError: a method of mitigation that the service cannot do, or no shots.
    """

    def __init__(
        self,
        service: Service,
        *,
        shots: int = SHOTS,
        mitigation: str = "none",
        pack: bool = True,
        seed: int = 0,
    ):
        if shots < 1:
            raise UsageError(f"shots={shots}: at least one measurement is needed")
        self.service = service
        self.name = service.name
        self.shots = shots
        self.mitigation = mitigation
        self.methods = methods_of(mitigation)
        self.pack = pack
        self.seed = seed
        self.primitive: str = getattr(service, "primitive", "sampler")
        self.lasting: bool = getattr(service, "lasting", True)
        self.whole_seconds: bool = getattr(service, "whole_seconds", False)
        self._jobs: Any = sampling if self.primitive == "sampler" else estimating
        self._kept: dict[tuple[Circuit, tuple[tuple[int, ...], ...]], list[Any]] = {}
        self._check_methods()

    def order(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Order:
        """Prepare a job for inputs (C or 1, B, I) and weights (C or 1, P); nothing is sent.

        The circuit is lowered, copied onto as many disjoint lines of qubits as there are, at most
        one for each of the C B evaluations, and transpiled once.

        Raises:
            UsageError: a circuit that the device has no line of qubits for; no samples.
            DeviceError: the service could not be asked for the device's calibration.
        """
        lowered = lower(circuit)
        angles = lowered.angles(inputs.detach().cpu().double(), weights.detach().cpu().double())
        count, samples = angles.shape[:2]
        if not count * samples:
            raise UsageError("a job needs at least one sample, and the batch is empty")
        with self._explained("asking for its calibration"):
            backend = self.service.backend()
        if backend is None:
            layout: tuple[tuple[int, ...], ...] = (tuple(range(circuit.qubits)),)
        else:
            layout = layout_of(backend, circuit.qubits, count * samples, pack=self.pack)
        rows = rows_of(angles.numpy(), len(layout))
        programs = self._programs(lowered.circuit, backend, layout)
        calibrations = 2 if "trex" in self.methods else 0
        bases = len(bases_of(circuit)) if self.primitive == "sampler" else 1
        bill = estimate(
            backend,
            layout,
            programs[: len(programs) - calibrations],
            programs[len(programs) - calibrations :],
            rows=len(rows),
            bases=bases,
            shots=self.shots,
        )
        return Order(
            backend=self.name,
            circuit=circuit,
            circuits=count,
            samples=samples,
            angles=rows,
            lines=layout,
            shots=self.shots,
            mitigation=self.mitigation,
            bill=bill,
            program=_to_qpy(programs),
        )

    def submit(self, order: Order, tag: str, *, ceiling: float | None = None) -> str:
        """Send the job under a tag that `find` finds it by, and return its id.

        Args:
            order: of this device.
            tag: one of its own for every job.
            ceiling: the most QPU seconds that may be charged; the service stops a job beyond it.

        Raises:
            UsageError: the bill is beyond the ceiling; nothing was sent.
            DeviceError: the service refused, or could not be reached (`transient`: then `find` says
                whether the job arrived).
        """
        if order.backend != self.name:
            raise ValueError(f"an order for {order.backend} cannot be sent to {self.name}")
        if ceiling is not None and math.isfinite(ceiling) and self.whole_seconds:
            ceiling = math.floor(ceiling)  # where the service would stop it, and charge for it
        if ceiling is not None and order.bill.qpu_seconds > ceiling:
            raise UsageError(
                f"the job needs about {order.bill.qpu_seconds:.3g} QPU seconds, more than the "
                f"ceiling of {ceiling:g}: {order.bill.formula}. Ask for fewer samples or shots"
            )
        try:
            pubs = self._jobs.pubs(order, _from_qpy(order.program))
        except HqganError:
            raise
        except Exception as error:  # qiskit raises whatever an edited order leads it to
            raise HqganError(
                f"the order contradicts itself ({type(error).__name__}: {error}); nothing was "
                "sent. Order anew, into another --out"
            ) from error
        with self._explained("sending a job"):
            return self.service.run(
                pubs,
                shots=order.shots,
                tag=tag,
                methods=methods_of(order.mitigation) - HERE,
                ceiling=ceiling,
            )

    def find(self, tag: str) -> list[str]:
        """Ids of the jobs that the service knows under a tag: was it sent before the crash?

        Jobs of this process are known to it alone.

        Raises:
            DeviceError: the service could not be reached (`transient`).
        """
        with self._explained("looking for a job"):
            return self.service.find(tag)

    def status(self, job_id: str) -> Status:
        """How far a job is.

        Raises:
            DeviceError: unknown job, or the service could not be reached (`transient`).
        """
        with self._explained(f"asking for the job {job_id}"):
            return self.service.status(job_id)

    def result(self, order: Order, job_id: str) -> Measured:
        """Fetch the outcomes of a job that is done, and turn them into values.

        Raises:
            DeviceError: the job failed, was cancelled or is not done; or the service could not be
                reached (`transient`).
        """
        with self._explained(f"fetching the job {job_id}"):
            answer = self.service.result(job_id)
        with self._explained(f"reading the answer to the job {job_id}"):
            values, errors, raw = map(torch.from_numpy, self._jobs.read(order, answer))
            if not all(found.isfinite().all() for found in (values, errors, raw)):
                raise ValueError("it holds NaN or infinite values")
        seconds = None
        try:
            seconds = self.qpu_seconds(job_id)
        except DeviceError as error:
            if error.transient:
                raise  # else: values are not lost because nobody says what they cost
        return Measured(values, errors, raw, seconds, order.mitigation)

    def qpu_seconds(self, job_id: str) -> float | None:
        """What was charged for a job; None where the service does not say.

        Raises:
            DeviceError: unknown job, or the service could not be reached (`transient`).
        """
        with self._explained(f"asking for the usage of the job {job_id}"):
            seconds = self.service.qpu_seconds(job_id)
        return seconds if is_time(seconds) else None

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Order, submit, wait, and return (C, B, outputs) in the dtype of the inputs."""
        order = self.order(circuit, inputs, weights)
        job_id = self.submit(order, f"hqgan-{uuid.uuid4()}")
        return self.wait(order, job_id).values.to(inputs)

    def wait(self, order: Order, job_id: str) -> Measured:
        """Ask until the job is done, waiting out failures of the network, and fetch its result.

        Raises:
            DeviceError: the job failed or was cancelled, or the network did not come back.
        """
        pause, failures = 0.01, 0
        while True:
            try:
                if self.status(job_id) not in ("queued", "running"):
                    return self.result(order, job_id)
                failures = 0
            except DeviceError as error:
                failures += 1
                if not error.transient or failures > PATIENCE:
                    raise
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_WAIT)

    def _programs(
        self, circuit: Circuit, backend: Any, layout: tuple[tuple[int, ...], ...]
    ) -> list[Any]:
        key = circuit, layout
        if key not in self._kept:
            on = tuple(qubit for line in layout for qubit in line)

            def transpile(one: Any) -> Any:
                return one if backend is None else transpiled(one, backend, on, self.seed)

            self._kept[key] = self._jobs.programs(circuit, len(layout), self.methods, transpile)
        return self._kept[key]

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn what a vendor's code raises into a `DeviceError`."""
        try:
            yield
        except HqganError:
            raise
        except Exception as error:
            raise DeviceError(
                f"{self.name}: {doing} failed: {type(error).__name__}: {error}. This comes from "
                "the code behind the device; mend the cause there"
            ) from error

    def _check_methods(self) -> None:
        offers: frozenset[str] = getattr(self.service, "offers", frozenset())
        here = HERE if self.primitive == "sampler" else frozenset()
        for method in sorted(self.methods - here - offers):
            if self.primitive == "estimator":
                advice = "set it as an option of the estimator that your factory returns"
            else:
                advice = (
                    "it is against coherent and slow errors, which a simulated device has not, and "
                    "which vendors treat by options of their own; use it with ibm:, or take trex "
                    "or zne"
                )
            raise UsageError(f"mitigation {method!r} is not available on {self.name}: {advice}")


def _to_qpy(circuits: list[Any]) -> bytes:
    from qiskit import qpy

    written = io.BytesIO()
    qpy.dump(circuits, written)
    return written.getvalue()


def _from_qpy(program: bytes) -> list[Any]:
    """The circuits; ValueError for a format in which a file could run code (CVE-2025-2000)."""
    from qiskit import qpy

    if program[:6] != b"QISKIT" or program[6] < SAFE_QPY:
        raise ValueError("the transpiled circuits are of an old format of Qiskit, or of none")
    return list(qpy.load(io.BytesIO(program)))
