"""From bits that were read to the values that a circuit's read-out asks for, with their errors.

Shapes: R rows, S shots, Q qubits; bits are (R, S, Q), qubit 0 first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hqgan.quantum.circuit import Probabilities
from hqgan.quantum.jobs.mitigation import Correction

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]


def expectations(
    bits: Bits, words: Sequence[str], correction: Correction | None = None
) -> tuple[Floats, Floats]:
    """Means (R, words) of Pauli words, whose basis was measured, and their standard errors.

    A corrected mean is not held to [-1, 1]: that would bias it.
    """
    shots, qubits = bits.shape[1:]
    signs = np.tile([1.0, -1.0], (qubits, 1)) if correction is None else correction.signs()
    values, errors = [], []
    for word in words:
        each = np.ones(bits.shape[:2])
        for qubit, letter in enumerate(word):
            if letter != "I":
                each *= np.where(bits[..., qubit], signs[qubit, 1], signs[qubit, 0])
        values.append(each.mean(1))
        errors.append(each.std(1) / np.sqrt(max(shots - 1, 1)))
    return np.stack(values, 1), np.stack(errors, 1)


def distribution(
    bits: Bits, readout: Probabilities, correction: Correction | None = None
) -> tuple[Floats, Floats]:
    """Probabilities (R, 2^wires), given that the ancillas are 0, and their standard errors.

    Zeros where no shot meets the condition. A correction may leave negative probabilities, which
    are set to 0; the errors then count the lost contrast of the wires once each.
    """
    seen = [*readout.ancillas, *readout.wires]
    places = 1 << np.arange(len(seen))[::-1]
    outcomes = bits[..., seen] @ places
    size = 2 ** len(seen)
    flat = outcomes + size * np.arange(len(bits))[:, None]
    counts = np.bincount(flat.ravel(), minlength=size * len(bits)).reshape(len(bits), size)
    joint = counts / bits.shape[1]
    lost = 1.0
    if correction is not None:
        inverses = correction.inverses()[seen]
        for place, inverse in enumerate(inverses):
            axes = joint.reshape(len(joint), 2**place, 2, -1)
            joint = np.einsum("tr,nark->natk", inverse, axes).reshape(joint.shape)
        joint = joint.clip(0)
        lost = float(np.prod(correction.contrast[list(readout.wires)]))
    kept = joint[:, : 2 ** len(readout.wires)]  # the ancillas, all 0, are the leading bits
    weight = kept.sum(1, keepdims=True)
    values = np.divide(kept, weight, out=np.zeros_like(kept), where=weight > 0)
    shots = np.maximum(weight * bits.shape[1], 1)
    return values, np.sqrt(values * (1 - values) / shots) / lost
