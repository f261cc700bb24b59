"""One door to everything that can run a circuit, from exact simulation to a quantum computer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hqgan.errors import UsageError, did_you_mean
from hqgan.quantum.circuit import Circuit
from hqgan.quantum.jobs.bill import Bill as Bill
from hqgan.quantum.jobs.bill import is_time as is_time
from hqgan.quantum.jobs.device import SHOTS
from hqgan.quantum.jobs.device import Device as Device
from hqgan.quantum.jobs.device import Service as Service
from hqgan.quantum.jobs.ibm import connect
from hqgan.quantum.jobs.mitigation import methods_of
from hqgan.quantum.jobs.orders import DeviceError as DeviceError
from hqgan.quantum.jobs.orders import Measured as Measured
from hqgan.quantum.jobs.orders import Order as Order
from hqgan.quantum.jobs.orders import Status as Status
from hqgan.quantum.jobs.primitives import fake_service, python_service
from hqgan.quantum.shots import Shots
from hqgan.quantum.statevector import Run, simulate

SPECS = {
    "exact": "exact values, simulated here",
    "shots:N": "N measurements of each circuit, simulated here",
    "noise:fake_NAME": "the noise of a device's calibration, simulated here and differentiable",
    "aer:fake_NAME": "the same noise in Qiskit Aer, as a density matrix",
    "fake:NAME": "jobs on a simulated device, as a real one would run them",
    "ibm:NAME": "jobs on an IBM quantum computer, by the account saved in Qiskit",
    "ibm:least_busy": "jobs on the IBM quantum computer with the shortest queue",
    "python:PKG.MODULE:FACTORY": "what a function of yours returns: any BackendV2 or estimator",
}
"""What `open_backend` opens, and what it is, for help pages."""


@dataclass(frozen=True)
class Backend:
    """Something that answers at once: a `Run` with a name.

    Args:
        name: the spec that opened it.
        run: circuit, inputs (C or 1, B, I) and weights (C or 1, P) to (C, B, outputs).
    """

    name: str
    run: Run

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Values (C, B, outputs)."""
        return self.run(circuit, inputs, weights)


def open_backend(
    spec: str,
    *,
    shots: int | None = None,
    mitigation: str = "none",
    pack: bool = True,
    seed: int = 0,
) -> Backend | Device:
    """Open what a spec names; see `SPECS`.

    Args:
        spec: such as "exact", "shots:1024", "aer:fake_marrakesh" or "ibm:least_busy".
        shots: measurements of each circuit in each basis; None is no shot noise for `noise:` and
            `aer:`, and 4096 for devices.
        mitigation: of devices: none, or some of trex, dd, twirling and zne joined by "+".
        pack: whether a device runs circuits side by side on disjoint lines of qubits.
        seed: of the transpiler, and of simulated shots.

    Raises:
        UsageError: an unknown spec, device or method of mitigation, or options that do not fit.
        DeviceError: a service that cannot be reached, or an account that it does not accept.
        MissingExtra: Qiskit is not installed.
    """
    kind, separator, rest = spec.partition(":")
    if kind not in _KINDS or (kind != "exact") != bool(separator and rest):
        raise UsageError(f"{spec!r} is no backend; there are: {', '.join(SPECS)}.{_hint(spec)}")
    if shots is not None and shots < 1:
        raise UsageError(f"shots={shots}: at least one measurement is needed")
    if kind in _DEVICES:
        service = _service(spec, kind, rest, seed)
        return Device(service, shots=shots or SHOTS, mitigation=mitigation, pack=pack, seed=seed)
    if methods_of(mitigation):
        raise UsageError(
            f"mitigation {mitigation!r} is for devices (fake:, ibm:, python:), not for {spec}"
        )
    return Backend(spec, _run(spec, kind, rest, shots, seed))


_DEVICES = ("fake", "ibm", "python")
_KINDS = ("exact", "shots", "noise", "aer", *_DEVICES)


def _run(spec: str, kind: str, rest: str, shots: int | None, seed: int) -> Run:
    if kind == "exact":
        if shots is not None:
            raise UsageError(f"exact values take no shots; write shots:{shots} instead of exact")
        return simulate
    if kind == "shots":
        if not rest.isdecimal() or int(rest) < 1 or shots not in (None, int(rest)):
            given = "" if shots is None else f" with shots={shots}"
            raise UsageError(f"{spec!r}{given}: write shots:N with a whole number N, at least 1")
        return Shots(int(rest), torch.Generator().manual_seed(seed))
    if kind == "noise":
        from hqgan.quantum.devices import DeviceNoise
        from hqgan.quantum.noise import Noisy

        generator = None if shots is None else torch.Generator().manual_seed(seed)
        return Noisy(DeviceNoise(rest), shots, generator)
    from hqgan.quantum.aer import AerRun

    return AerRun(rest, shots, seed)


def _service(spec: str, kind: str, rest: str, seed: int) -> Service:
    if kind == "fake":
        return fake_service(spec, rest, seed)
    if kind == "ibm":
        return connect(rest)
    return python_service(spec, rest, seed)


def _hint(spec: str) -> str:
    """A guess at what was meant by a device's name alone."""
    if spec.startswith("fake_"):
        return f" Did you mean aer:{spec} (values at once) or fake:{spec} (jobs)?"
    if spec.startswith("ibm_"):
        return f" Did you mean ibm:{spec}?"
    return did_you_mean(spec.partition(":")[0], _KINDS)
