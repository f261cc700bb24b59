"""What `python:` specs of the tests open."""

from typing import Any

import torch

from hqgan.errors import UsageError


def generic() -> Any:
    """A BackendV2 of Qiskit itself: six qubits in a row, with errors."""
    from qiskit.providers.fake_provider import GenericBackendV2
    from qiskit.transpiler import CouplingMap

    line = CouplingMap.from_line(6)
    return GenericBackendV2(6, coupling_map=line, basis_gates=["cz", "sx", "rz", "x"], seed=1)


def small() -> Any:
    """Two qubits, whatever couples them."""
    from qiskit.providers.fake_provider import GenericBackendV2

    return GenericBackendV2(2, basis_gates=["cz", "sx", "rz", "x"], noise_info=False)


def ideal() -> Any:
    """A simulator that couples any two qubits."""
    from qiskit_aer import AerSimulator

    return AerSimulator()


def bare_estimator() -> Any:
    """Takes circuits as they are."""
    from qiskit.primitives import StatevectorEstimator

    return StatevectorEstimator(seed=1)


def estimator() -> Any:
    """Takes circuits of its backend."""
    from qiskit.primitives import BackendEstimatorV2

    return BackendEstimatorV2(backend=generic(), options={"seed_simulator": 1})


def runtime_estimator() -> Any:
    """The runtime's client-side one, in local mode."""
    from qiskit_ibm_runtime.executor_estimator import Estimator

    from hqgan.quantum.devices import fake_device

    return Estimator(mode=fake_device("manila"))


def wrong() -> Any:
    return torch.zeros(1)


def failing() -> Any:
    raise OSError("no key for this vendor")


def refusing() -> Any:
    raise UsageError("this vendor needs a region")
