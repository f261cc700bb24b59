"""Circuits in the languages of others: Qiskit, OpenQASM 3, PennyLane and JSON.

Qubit q is qubit q everywhere. What differs is how bits and Pauli words are written down: `order`
turns that round, and nothing else does. All of these take one circuit and one row of weights; a
`QuantumLayer` of C circuits has C rows.
"""

from hqgan.quantum.interop.openqasm import from_openqasm3 as from_openqasm3
from hqgan.quantum.interop.openqasm import to_openqasm3 as to_openqasm3
from hqgan.quantum.interop.order import outcomes_from_qiskit as outcomes_from_qiskit
from hqgan.quantum.interop.order import word_from_qiskit as word_from_qiskit
from hqgan.quantum.interop.order import word_to_qiskit as word_to_qiskit
from hqgan.quantum.interop.pennylane_functions import to_pennylane as to_pennylane
from hqgan.quantum.interop.pennylane_functions import to_qnode as to_qnode
from hqgan.quantum.interop.qiskit_circuits import from_qiskit as from_qiskit
from hqgan.quantum.interop.qiskit_circuits import qiskit_observables as qiskit_observables
from hqgan.quantum.interop.qiskit_circuits import to_qiskit as to_qiskit
from hqgan.quantum.interop.trained import bind as bind
from hqgan.quantum.interop.trained import from_json as from_json
from hqgan.quantum.interop.trained import to_json as to_json
