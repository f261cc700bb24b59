"""`Order`, all of a job that must survive a crash, and `Measured`, what came of it."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hqgan.errors import HqganError
from hqgan.quantum.circuit import Circuit
from hqgan.quantum.jobs.bill import Bill

Status = Literal["queued", "running", "done", "error", "cancelled"]

MOST = 10**7  # of anything that is counted in an order


class DeviceError(HqganError):
    """A device or its service did not do what was asked; the message says what to do.

    Attributes:
        transient: whether the same call may succeed later (the network, a busy service).
    """

    def __init__(self, message: str, *, transient: bool = False):
        super().__init__(message)
        self.transient = transient

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with what it says about itself."""
        return type(self), self.args, {"transient": self.transient}


@dataclass(frozen=True, eq=False)
class Order:
    """A job as it will be sent: circuits transpiled, angles laid out, the bill known.

    Picklable. For files: `to_dict` is for json, and `angles` goes into an array file beside it.

    Args:
        backend: name of the device, such as "fake:manila"; `open_backend` takes it.
        circuit: what was asked for, as the caller gave it.
        circuits: C.
        samples: B.
        angles: (rows, lines x A) radians: a row is one run of the packed circuit.
        lines: physical qubits of each line.
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
        """Hexadecimal fingerprint of what is asked of which qubits: the same for the same order.

        Without `program`, which names its parameters anew each time it is made.
        """
        written = {k: v for k, v in self.to_dict().items() if k not in ("program", "bill")}
        digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.angles, dtype="<f8").tobytes())
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return all but `angles` as plain values for `json`."""
        return {
            "backend": self.backend,
            "circuit": self.circuit.to_dict(),
            "circuits": self.circuits,
            "samples": self.samples,
            "lines": [list(line) for line in self.lines],
            "shots": self.shots,
            "mitigation": self.mitigation,
            "bill": self.bill.to_dict(),
            "program": base64.b64encode(self.program).decode(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], angles: NDArray[np.float64]) -> "Order":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: not an order.
        """
        words, counts = ("backend", "mitigation"), ("circuits", "samples", "shots")
        try:
            for name in words:
                if not isinstance(data[name], str):
                    raise TypeError(f"{name} is {data[name]!r:.40}")
            for name in counts:
                if type(data[name]) is not int or not 1 <= data[name] <= MOST:
                    raise TypeError(f"{name} is {data[name]!r:.40}")
            return cls(
                backend=data["backend"],
                circuit=Circuit.from_dict(data["circuit"]),
                circuits=data["circuits"],
                samples=data["samples"],
                angles=np.asarray(angles, dtype=np.float64),
                lines=tuple(tuple(line) for line in data["lines"]),
                shots=data["shots"],
                mitigation=data["mitigation"],
                bill=Bill.from_dict(data["bill"]),
                program=base64.b64decode(data["program"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an order written by Order.to_dict: {error!r}") from error


@dataclass(frozen=True, eq=False)
class Measured:
    """What a job gave.

    Args:
        values: (C, B, outputs), mitigated as asked, float64. Mitigated expectation values may lie
            a little outside of [-1, 1].
        errors: standard errors of `values` from the number of shots; the error that read-out
            calibration itself makes, common to all values, is not in them.
        raw: the same values of the same job without trex and zne.
        qpu_seconds: charged for the job; None where the service does not say.
        mitigation: as ordered.
    """

    values: Tensor
    errors: Tensor
    raw: Tensor
    qpu_seconds: float | None
    mitigation: str
