"""`Bill`: what a job on a device will cost, with the formula in words, before it is sent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 1e9  # seconds
USUAL_DELAY = 250e-6
"""Seconds between two shots, in which qubits relax, where a device does not say."""


@dataclass(frozen=True)
class Bill:
    """What a job will take of a device, known before it is sent.

    Args:
        backend: name of the device.
        calibrated: when it was last calibrated, ISO 8601; None where the device does not say.
        layout: the lines of physical qubits that are used, each of which runs one circuit.
        depth: of one transpiled circuit, all lines at once.
        two_qubit_gates: in one transpiled circuit, on all lines.
        circuits: parameter sets to run in each basis, those with folded gates included.
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
        """Read what `to_dict` wrote, also through `json`; ValueError for a time that is none."""
        layout = tuple(tuple(line) for line in data["layout"])
        if not is_time(data["qpu_seconds"]):
            raise ValueError(f"qpu_seconds is {data['qpu_seconds']!r:.40}, expected a time")
        return cls(**{**data, "layout": layout})


def is_time(seconds: object) -> bool:
    """Whether a value is a number of seconds: a NaN or a negative one would void every ceiling."""
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return known and 0 <= seconds <= LONGEST  # type: ignore[operator]  # it is a number


def estimate(
    backend: Any,
    layout: Sequence[tuple[int, ...]],
    circuits: Sequence[Any],
    calibrations: Sequence[Any] = (),
    *,
    rows: int,
    bases: int,
    shots: int,
) -> Bill:
    """Make the bill of a job.

    Args:
        backend: the `BackendV2`; None where a vendor's estimator hides it.
        layout: lines of physical qubits.
        circuits: transpiled ones that run all rows, the first without folded gates.
        calibrations: transpiled ones that run once.
        rows: parameter sets of the packed circuit.
        bases: measurement bases.
        shots: of each parameter set.
    """
    delay = _number(getattr(backend, "default_rep_delay", None))
    known = "" if delay is not None else "assumed "
    delay = USUAL_DELAY if delay is None else delay
    runs: dict[float | None, int] = {}
    for many, times in ((circuits, rows), (calibrations, 1)):
        for circuit in many:
            duration = _duration(circuit, backend)
            runs[duration] = runs.get(duration, 0) + times
    seconds = sum(n * shots * (delay + (duration or 0.0)) for duration, n in runs.items())
    each = [
        f"{n} x {shots} shots x ({known}repetition delay {1e6 * delay:.4g} us + "
        + ("unknown circuit duration" if d is None else f"circuit duration {1e6 * d:.3g} us")
        + ")"
        for d, n in runs.items()
    ]
    folds = len(circuits) // bases
    split = f"{rows * folds} circuit{'s' * (rows * folds > 1)} x {bases} bas{'ie'[bases > 1]}s"
    if calibrations:
        split += f" and {len(calibrations)} for read-out calibration"
    return Bill(
        backend=getattr(backend, "name", None) or "unnamed",
        calibrated=_calibrated(backend),
        layout=tuple(layout),
        depth=circuits[0].depth(),
        two_qubit_gates=circuits[0].num_nonlocal_gates(),
        circuits=rows * folds,
        bases=bases,
        shots=shots,
        qpu_seconds=seconds,
        formula=f"{split}: {' + '.join(each)} = {seconds:.3g} s",
    )


def _duration(circuit: Any, backend: Any) -> float | None:
    """Seconds from first gate to last read-out, None where the device does not time its gates."""
    from qiskit.exceptions import QiskitError

    if backend is None:
        return None
    try:
        return _number(circuit.estimate_duration(backend.target, unit="s"))
    except (QiskitError, TypeError):  # a target without durations, or without dt
        return None


def _calibrated(backend: Any) -> str | None:
    properties = getattr(backend, "properties", None)
    found = properties() if callable(properties) else None
    updated = getattr(found, "last_update_date", None)
    return None if updated is None else str(updated.isoformat())


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
