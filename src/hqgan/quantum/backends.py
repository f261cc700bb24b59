"""One door to everything that can run a circuit, from exact simulation to a quantum computer."""

from dataclasses import dataclass

from torch import Tensor

from hqgan.quantum.bill import Bill as Bill
from hqgan.quantum.circuit import Circuit
from hqgan.quantum.device import Device as Device
from hqgan.quantum.orders import DeviceError as DeviceError
from hqgan.quantum.orders import Measured as Measured
from hqgan.quantum.orders import Order as Order
from hqgan.quantum.device import Service as Service
from hqgan.quantum.orders import Status as Status
from hqgan.quantum.statevector import Run

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
    raise NotImplementedError
