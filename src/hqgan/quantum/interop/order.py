"""The order of qubits in what is written down: ours begins with qubit 0, Qiskit's ends with it.

In a `Circuit`, as in PennyLane, the first letter of a Pauli word and the first (most significant)
bit of an outcome belong to qubit 0. In Qiskit they belong to the last qubit.
"""

import math

import numpy as np


def word_to_qiskit(word: str) -> str:
    """Turn a Pauli word or bit-string of ours into Qiskit's, or back: "XZI" to "IZX"."""
    return word[::-1]


word_from_qiskit = word_to_qiskit  # to turn it round twice is to leave it


def outcomes_from_qiskit(values: np.ndarray) -> np.ndarray:
    """Sort probabilities, amplitudes or counts (..., 2^Q) by our basis states, not by Qiskit's.

    Raises:
        ValueError: a last dimension that is no power of two.
    """
    values = np.asarray(values)
    qubits = round(math.log2(max(values.shape[-1], 1)))
    if values.shape[-1] != 2**qubits:
        raise ValueError(f"{values.shape[-1]} outcomes are not those of a whole number of qubits")
    batch = values.shape[:-1]
    joint = values.reshape(*batch, *(2,) * qubits)
    kept = range(len(batch))
    turned = joint.transpose(*kept, *reversed(range(len(batch), len(batch) + qubits)))
    return turned.reshape(values.shape)
