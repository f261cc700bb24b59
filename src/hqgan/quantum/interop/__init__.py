"""Circuits in the languages of others: Qiskit, OpenQASM 3, PennyLane and JSON.

Qubit q is qubit q everywhere. What differs is how bits and Pauli words are written down: `order`
turns that round, and nothing else does.
"""

from hqgan.quantum.interop.order import outcomes_from_qiskit as outcomes_from_qiskit
from hqgan.quantum.interop.order import word_from_qiskit as word_from_qiskit
from hqgan.quantum.interop.order import word_to_qiskit as word_to_qiskit
from hqgan.quantum.interop.qiskit_circuits import from_qiskit as from_qiskit
from hqgan.quantum.interop.qiskit_circuits import qiskit_observables as qiskit_observables
from hqgan.quantum.interop.qiskit_circuits import to_qiskit as to_qiskit
