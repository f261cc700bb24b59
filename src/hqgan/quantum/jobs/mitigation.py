"""What can be done against the errors of a device, and the part of it that is done here.

Two methods are done here, in the same way on every device, from one job that gives the raw values
too:

- trex: each qubit's read-out errors are measured by two more circuits (all qubits in 0, all in 1)
  and inverted, shot by shot. Errors of neighbours are taken to be independent.
- zne: each circuit runs with its two-qubit gates once, three and five times over, which leaves its
  meaning and multiplies their noise; a straight line through the three is read at no noise. Three
  times the QPU time, and a standard error 1.2 times as large as that of one of the runs.

Two are the device's own: dd fills the waiting times of qubits with pulses that cancel, and twirling
puts random Pauli gates around gates and measurements, which makes systematic errors random. IBM's
service offers both. A simulated device has none of the errors that they are against.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgan.errors import HqganError, UsageError, did_you_mean

METHODS = ("trex", "dd", "twirling", "zne")
HERE = frozenset({"trex", "zne"})

FOLDS = (1, 3, 5)
"""How often each two-qubit gate is run under zne."""

LEAST_CONTRAST = 0.1
"""P(0|0) - P(0|1) below which a qubit's read-out says nothing that could be inverted."""


@dataclass(frozen=True)
class Correction:
    """Read-out errors of the Q qubits of a line: E[z read | z true] = offset + contrast z."""

    offset: NDArray[np.float64]
    contrast: NDArray[np.float64]

    @classmethod
    def from_calibration(cls, zeros: NDArray[np.bool_], ones: NDArray[np.bool_]) -> "Correction":
        """From what (shots, Q) was read of qubits in 0 and of qubits in 1.

        Raises:
            HqganError: a qubit whose read-out does not tell 0 from 1.
        """
        wrong_zero, wrong_one = zeros.mean(0), 1 - ones.mean(0)
        contrast = 1 - wrong_zero - wrong_one
        if contrast.min() < LEAST_CONTRAST:
            qubit = int(contrast.argmin())
            raise HqganError(
                f"qubit {qubit} of a line was read as 1 in {wrong_zero[qubit]:.0%} of the shots in "
                f"0 and in {1 - wrong_one[qubit]:.0%} of those in 1: its read-out is broken and "
                "cannot be corrected. Take another device, or the values without 'trex'"
            )
        return cls(wrong_one - wrong_zero, contrast)

    def signs(self) -> NDArray[np.float64]:
        """(Q, 2): what a read 0 and a read 1 count for, so that the mean is the true <Z>."""
        read = np.array([1.0, -1.0])
        return (read - self.offset[:, None]) / self.contrast[:, None]

    def inverses(self) -> NDArray[np.float64]:
        """(Q, 2, 2): from probabilities of what is read to those of what is true."""
        signs = self.signs()
        return np.stack([(1 + signs) / 2, (1 - signs) / 2], 1)


def methods_of(mitigation: str) -> frozenset[str]:
    """The methods in "trex+zne"; none in "none".

    Raises:
        UsageError: an unknown method.
    """
    if mitigation == "none":
        return frozenset()
    found = mitigation.split("+")
    for method in found:
        if method not in METHODS:
            raise UsageError(
                f"mitigation {method!r} is not known; it is none, or some of {', '.join(METHODS)} "
                f'joined by "+", such as "trex+zne".{did_you_mean(method, METHODS)}'
            )
    return frozenset(found)


def folds_of(methods: frozenset[str]) -> tuple[int, ...]:
    """How often two-qubit gates are run, for each copy of the circuits."""
    return FOLDS if "zne" in methods else (1,)


def folded(circuit: Any, times: int) -> Any:
    """A transpiled circuit with each two-qubit gate G as G (G^-1 G)^((times - 1) / 2).

    Barriers keep a compiler from taking the copies out again.

    Raises:
        UsageError: a gate whose inverse is another gate, which the device may not have.
    """
    result = circuit.copy_empty_like()
    for instruction in circuit.data:
        result.append(instruction)
        operation = instruction.operation
        if len(instruction.qubits) < 2 or operation.name == "barrier":
            continue
        inverse = operation.inverse()
        if inverse.name != operation.name:
            raise UsageError(
                f"zne repeats the two-qubit gates of the device, but {operation.name!r} is not its "
                "own inverse there; leave 'zne' out"
            )
        for copy in [inverse, operation] * (times // 2):
            result.barrier(instruction.qubits)
            result.append(copy, instruction.qubits)
    return result


def no_noise(folds: Sequence[int]) -> NDArray[np.float64]:
    """Weights of the values at each fold in the straight line's value at 0 (least squares)."""
    line = np.stack([np.ones(len(folds)), np.array(folds, dtype=float)], 1)
    return np.linalg.pinv(line)[0] if len(folds) > 1 else np.ones(1)
