"""Noise channels and gates as Pauli transfer matrices, in numpy.

A state of k qubits is the vector r of its Pauli coefficients, r_P = Tr(P rho), for the 4^k words P
in the order II, IX, IY, IZ, XI, ... (the first qubit varies slowest). A channel L is the matrix
R_PQ = Tr(P L(Q)) / 2^k, and channels one after the other are matrices multiplied. All numbers are
real, half as many as a density matrix has.

Nielsen and Chuang, Quantum Computation and Quantum Information, section 8.3; Greenbaum,
arXiv 1509.02921, for transfer matrices.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from hqgan.quantum.statevector import FIXED, GENERATORS

Matrix = NDArray[np.float64]

PAULIS = "IXYZ"
_LETTERS = {"I": np.eye(2, dtype=complex)} | {
    letter: np.array(FIXED[letter.lower()], dtype=complex) for letter in "XYZ"
}


NEGLIGIBLE = 1e-12
"""Probability of what is left out of a channel."""

ROUNDING = 1e-9
"""What calibrations and products of matrices may be off by."""


def pauli_matrices(qubits: int) -> NDArray[np.complex128]:
    """(4^k, 2^k, 2^k): the words in the order of the coefficients."""
    words = np.stack([_LETTERS[letter] for letter in PAULIS])
    return reduce(_kron_all, [words] * qubits)


def transfer_matrix(kraus: Sequence[NDArray]) -> Matrix:
    """Of the channel rho -> sum_i K_i rho K_i^+, each K_i (2^k, 2^k); of a gate for one K."""
    first = np.asarray(kraus[0])
    words = pauli_matrices(first.shape[0].bit_length() - 1)
    sent = sum(np.asarray(k) @ words @ np.asarray(k).conj().T for k in kraus)
    return np.einsum("pij,qji->pq", words, sent).real / first.shape[0]


def kraus(matrix: Matrix) -> NDArray[np.complex128]:
    """(n, 2^k, 2^k): the fewest K_i with rho -> sum_i K_i rho K_i^+, the weightiest first.

    They are the eigenvectors of the Choi matrix, sum_ij |i><j| for the input and what becomes of it
    for the output, times the roots of its eigenvalues; those below `NEGLIGIBLE` are left out.

    Raises:
        ValueError: the matrix is no channel: an eigenvalue below 0, or a trace not kept.
    """
    words = pauli_matrices((len(matrix).bit_length() - 1) // 2)
    size = words.shape[-1]
    choi = np.einsum("pq,pab,qji->aibj", matrix, words, words, optimize=True) / size
    values, vectors = np.linalg.eigh(choi.reshape(size**2, size**2))
    off = np.abs(matrix[0] - np.eye(len(matrix))[0]).max()
    if values[0] < -ROUNDING or off > ROUNDING:
        raise ValueError(
            "no channel has this transfer matrix: the least eigenvalue of its Choi matrix is "
            f"{values[0]:.3g}, but must be at least 0, and its first row is {off:.3g} off "
            "1, 0, 0, ..., which keeps the trace"
        )
    kept = values > NEGLIGIBLE
    operators = (np.sqrt(values[kept]) * vectors[:, kept]).T.reshape(-1, size, size)
    return operators[::-1]


def gate(name: str) -> Matrix:
    """Of a gate without an angle: h, x, y, z, cz, cnot (control first)."""
    if name in FIXED:
        return transfer_matrix([np.array(FIXED[name], dtype=complex)])
    unitary = np.eye(4, dtype=complex)
    if name == "cz":
        unitary[3, 3] = -1
    elif name == "cnot":
        unitary = unitary[[0, 1, 3, 2]]
    else:
        raise ValueError(f"{name!r} is no gate without an angle")
    return transfer_matrix([unitary])


def rotation_parts(name: str) -> tuple[Matrix, Matrix, Matrix]:
    """(constant, cosine, sine), each (4, 4), of rx, ry or rz: R = constant + cos a C + sin a S."""
    generator = np.array(GENERATORS[name], dtype=complex)

    def turned(angle: float) -> Matrix:
        return transfer_matrix([np.cos(angle / 2) * np.eye(2) + np.sin(angle / 2) * generator])

    quarter, half, none = turned(np.pi / 2), turned(np.pi), turned(0.0)
    constant = (none + half) / 2
    return constant, (none - half) / 2, quarter - constant


def rotation(name: str, angle: float) -> Matrix:
    """Of rx, ry or rz by a fixed angle, radians."""
    constant, cosine, sine = rotation_parts(name)
    return constant + np.cos(angle) * cosine + np.sin(angle) * sine


def depolarizing(probability: float, qubits: int = 1) -> Matrix:
    """rho -> (1 - p) rho + p I / 2^k, with p in [0, 4^k / (4^k - 1)]."""
    most = 4**qubits / (4**qubits - 1)
    _check("depolarizing probability", probability, most)
    matrix = np.eye(4**qubits) * (1 - probability)
    matrix[0, 0] = 1
    return matrix


def pauli_channel(probabilities: Mapping[str, float]) -> Matrix:
    """Each word of I, X, Y, Z happens with its probability; what is left of 1 is no error."""
    words = {word: p for word, p in probabilities.items() if set(word) - {"I"}}
    if not words or len({len(word) for word in words}) > 1 or set("".join(words)) - set(PAULIS):
        raise ValueError(f"errors are words of I, X, Y, Z of one length, not {sorted(words)}")
    for word, p in words.items():
        _check(f"probability of {word}", p, 1)
    _check("sum of the errors' probabilities", sum(words.values()), 1)
    qubits = len(next(iter(words)))
    kept = 1 - sum(words.values())
    unitaries = {word: reduce(np.kron, [_LETTERS[letter] for letter in word]) for word in words}
    return transfer_matrix(
        [np.sqrt(kept) * np.eye(2**qubits)] + [np.sqrt(p) * unitaries[w] for w, p in words.items()]
    )


def amplitude_damping(probability: float) -> Matrix:
    """|1> falls to |0> with this probability."""
    _check("damping probability", probability, 1)
    return _relaxation(probability, np.sqrt(1 - probability))


def phase_damping(probability: float) -> Matrix:
    """Coherences shrink by sqrt(1 - p)."""
    _check("damping probability", probability, 1)
    return _relaxation(0.0, np.sqrt(1 - probability))


def thermal_relaxation(t1: float, t2: float, time: float) -> Matrix:
    """A qubit left alone for `time`: |1> decays with T1, coherence with T2 <= 2 T1, to |0>.

    All in the same unit. A T2 beyond 2 T1, which no qubit has, is cut to it, as calibrations that
    report one mean their own error.
    """
    if not (t1 > 0 and t2 > 0 and time >= 0):
        raise ValueError(f"t1={t1}, t2={t2} must be above 0 and time={time} at least 0")
    return _relaxation(1 - np.exp(-time / t1), np.exp(-time / min(t2, 2 * t1)))


def readout_error(one_for_zero: float, zero_for_one: float) -> Matrix:
    """What a faulty measurement makes of Z; applied last, before Z is read.

    Args:
        one_for_zero: P(1 is read | 0), in [0, 1].
        zero_for_one: P(0 is read | 1).
    """
    for name, p in (("P(1 | 0)", one_for_zero), ("P(0 | 1)", zero_for_one)):
        _check(name, p, 1)
    matrix = np.zeros((4, 4))
    matrix[0, 0] = 1
    matrix[3, 0], matrix[3, 3] = zero_for_one - one_for_zero, 1 - zero_for_one - one_for_zero
    return matrix


def together(matrices: Iterable[NDArray[np.float64]]) -> Matrix:
    """Channels on separate qubits as one on all of them, the first qubit first."""
    whole = np.eye(1)
    for matrix in matrices:
        whole = np.asarray(np.kron(whole, matrix), dtype=np.float64)
    return whole


def average_fidelity(matrix: Matrix) -> float:
    """Mean over pure states of how much of the state a channel keeps; 1 for none lost."""
    dimension = np.sqrt(len(matrix))
    return float((np.trace(matrix) / dimension + 1) / (dimension + 1))


def calibrated(error: float, relaxation: Matrix) -> Matrix:
    """A gate's noise as devices report it: depolarising, then relaxing, of this infidelity in all.

    What relaxation alone does not explain of the error is depolarising; where it explains more,
    nothing is added. This is how Qiskit Aer reads a calibration.

    Args:
        error: 1 - average fidelity of the gate.
        relaxation: of all its qubits during the gate, (4^k, 4^k).
    """
    dimension = round(np.sqrt(len(relaxation)))
    fidelity = average_fidelity(relaxation)
    excess = min(error, dimension / (dimension + 1)) - (1 - fidelity)
    if excess <= 0:
        return relaxation
    most = dimension**2 / (dimension**2 - 1)
    probability = min(dimension * excess / (dimension * fidelity - 1), most)
    return relaxation @ depolarizing(probability, dimension.bit_length() - 1)


def _relaxation(fallen: float, coherence: float) -> Matrix:
    matrix = np.diag([1.0, coherence, coherence, 1 - fallen])
    matrix[3, 0] = fallen
    return matrix


def _kron_all(left: NDArray, right: NDArray) -> NDArray:
    """Every matrix of `left` with every one of `right`, the left index varying slowest."""
    both = left[:, None, :, None, :, None] * right[None, :, None, :, None, :]
    n, m, i, j, k, l = both.shape  # noqa: E741
    return both.reshape(n * m, i * j, k * l)


def _check(what: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"the {what} is {value}, but must be in [0, {most:.4g}]")
