"""`Bill`: what a job on a device will cost, with the formula in words, before it is sent."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Bill:
    """What a job will take of a device, known before it is sent.

    Args:
        backend: name of the device.
        calibrated: when it was last calibrated, ISO 8601; None where the device does not say.
        layout: the lines of physical qubits that are used, each of which runs one circuit.
        depth: of one transpiled circuit, all lines at once.
        two_qubit_gates: in one transpiled circuit, on all lines.
        circuits: parameter sets to run in each basis, copies with folded gates and read-out
            calibration included.
        bases: measurement bases, each of which runs all circuits once.
        shots: of each circuit in each basis.
        qpu_seconds: estimate of the time that is charged.
        formula: how `qpu_seconds` comes about, in words and numbers.
    """

    backend: str
    calibrated: str | None
    layout: tuple[tuple[int, ...], ...]
    depth: int
    two_qubit_gates: int
    circuits: int
    bases: int
    shots: int
    qpu_seconds: float
    formula: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `json`; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Bill":
        """Read what `to_dict` wrote, also through `json`."""
        layout = tuple(tuple(line) for line in data["layout"])
        return cls(**{**data, "layout": layout})
