"""The exact values of hqgan's circuits, in numpy alone: where your own machine may step in.

Part of hqgan, Apache-2.0; copied into this folder by `hqgan export`. Needs numpy and nothing else.
Qubit 0 is the first letter of an observable; angles are radians; a rotation about the Pauli
matrix P is exp(-i angle P / 2).
"""

import json
from pathlib import Path

import numpy as np

PAULI = {
    "x": np.array([[0, 1], [1, 0]], complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.array([[1, 0], [0, -1]], complex),
}
HADAMARD = np.array([[1, 1], [1, -1]], complex) / np.sqrt(2)


def read_circuits(folder: str | Path, manifest: dict) -> list[dict]:
    """The circuits of an exported folder, one for each set of learned angles, in their order."""
    files = (Path(folder) / circuit["json"] for circuit in manifest["circuits"]["files"])
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def measured(circuits: list[dict], angles: np.ndarray) -> np.ndarray:
    """Angles (images, rows, circuits, inputs) to values (images, rows, circuits, outputs), float32.

    Exact: what infinitely many measurements of a perfect machine would give. Every image has
    `rows` runs of each circuit.
    """
    images, rows, _, inputs = angles.shape
    by_circuit = [
        values(circuit, angles[:, :, c].reshape(images * rows, inputs)).reshape(images, rows, -1)
        for c, circuit in enumerate(circuits)
    ]
    return np.stack(by_circuit, 2).astype(np.float32)


def values(circuit: dict, angles: np.ndarray) -> np.ndarray:
    """What one circuit measures, (n, outputs), for input angles (n, inputs).

    Expectation values in [-1, 1]; or probabilities, given that the ancillas are found in |0>.
    """
    body, weights = circuit["circuit"], circuit["weights"]
    state = np.zeros((len(angles), *(2,) * body["qubits"]), complex)
    state.reshape(len(angles), -1)[:, 0] = 1
    for gate, wires, angle in body["operations"]:
        if isinstance(angle, dict):
            at = angle.get("input", angle.get("weight"))
            angle = angles[:, at] if "input" in angle else weights[at]
        state = _applied(state, gate, wires, angle)
    readout = body["readout"]
    if "expectations" in readout:
        return np.stack([_expectation(state, word) for word in readout["expectations"]], 1)
    return _probabilities(state, readout["probabilities"], readout["ancillas"])


def _applied(state: np.ndarray, gate: str, wires: list[int], angle: object) -> np.ndarray:
    if gate in ("cz", "cnot"):
        return _controlled(state, PAULI["z" if gate == "cz" else "x"], *wires)
    if gate == "h" or gate in PAULI:
        return _turned(state, HADAMARD if gate == "h" else PAULI[gate], wires[0])
    half = np.asarray(angle, float)[..., None, None] / 2
    return _turned(state, np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULI[gate[1]], wires[0])


def _turned(state: np.ndarray, matrix: np.ndarray, wire: int) -> np.ndarray:
    """A matrix (2, 2), or one for each row (n, 2, 2), on one wire of states (n, 2, ..., 2)."""
    n = len(state)
    split = state.reshape(n, 2**wire, 2, -1)
    return np.einsum("...ij,...ajb->...aib", matrix, split).reshape(state.shape)


def _controlled(state: np.ndarray, matrix: np.ndarray, control: int, target: int) -> np.ndarray:
    state = state.copy()
    ones = (slice(None),) * (1 + control) + (1,)
    rest = state[ones]  # without the control's axis
    state[ones] = _turned(rest, matrix, target - (target > control))
    return state


def _expectation(state: np.ndarray, word: str) -> np.ndarray:
    turned = state
    for wire, letter in enumerate(word):
        if letter != "I":
            turned = _turned(turned, PAULI[letter.lower()], wire)
    return (state.conj() * turned).real.reshape(len(state), -1).sum(1)


def _probabilities(state: np.ndarray, wires: list[int], ancillas: list[int]) -> np.ndarray:
    joint = np.abs(state) ** 2
    for wire in reversed(range(state.ndim - 1)):
        if wire in ancillas:
            joint = joint.take(0, 1 + wire)
        elif wire not in wires:
            joint = joint.sum(1 + wire)
    kept = joint.reshape(len(state), -1)
    if not ancillas:
        return kept
    return kept / np.maximum(kept.sum(1, keepdims=True), np.finfo(float).tiny)
