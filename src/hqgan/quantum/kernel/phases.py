"""RZ rotations that are the same for every sample, taken out of the gates.

RZ is diagonal, so the RZs of all qubits on both sides of an entangler multiply each amplitude by
one phase, which its move to another place carries along. What is left of a chain RZ RY RZ is RY: a
real gate, which costs half as much forward and less than half backward.

The phases come from the weights alone and are plain numbers, one table for all samples. Backward,
the torque about Z of every qubit is a signed sum of the same terms, one per amplitude.
"""

from typing import Any

import numpy as np

from hqgan.quantum.kernel.amplitudes import Amplitude
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.lanes import lanes_in, load_lanes, splat, store_lanes
from hqgan.quantum.kernel.plan import AFTER, BEFORE


@inline
def half_turn(program: Any, gate: int, part: int, cosines: Any, sines: Any) -> tuple[Any, Any]:
    """Cosine and sine of half the sum of the gate's angles in `part` of its chain."""
    cosine, sine = np.float32(1.0), np.float32(0.0)
    for k in range(program.chains[gate], program.chains[gate + 1]):
        if program.rotations[k, 0] == part:
            slot = program.rotations[k, 2]
            c, s = cosines[slot], sines[slot]
            cosine, sine = cosine * c - sine * s, sine * c + cosine * s
    return cosine, sine


@function
def multiply_out(
    program: Any, layer: int, part: int, cosines: Any, sines: Any, real: Any, imag: Any
) -> None:
    """The phase of each basis state from the RZs in `part` of all chains of a layer."""
    qubits = program.qubits
    real[0], imag[0] = 1.0, 0.0
    for qubit in range(qubits):
        c, s = half_turn(program, layer * qubits + qubit, part, cosines, sines)
        for x in range((1 << qubit) - 1, -1, -1):  # downward: 2x and 2x + 1 are free by then
            re, im = real[x], imag[x]
            real[2 * x], imag[2 * x] = re * c + im * s, im * c - re * s
            real[2 * x + 1], imag[2 * x + 1] = re * c - im * s, im * c + re * s


@function
def build_phases(program: Any, cosines: Any, sines: Any, phases: Any, work: Any) -> None:
    """Write each layer's phases, its entangler's signs included: 2^Q cosines, then 2^Q sines.

    The first layer's own RZs stay in its gates, which are not real. `work` is overwritten.
    """
    size = 1 << program.qubits
    layers = len(program.entangler)
    for layer in range(layers):
        e = program.entangler[layer]
        target, sign = program.target[e], program.sign[e]
        start = 2 * layer * size
        real, imag = phases[start : start + size], phases[start + size : start + 2 * size]
        if layer > 0:
            multiply_out(program, layer, AFTER, cosines, sines, real, imag)
        else:
            real[:] = 1.0
            imag[:] = 0.0
        if layer + 1 < layers:
            next_real, next_imag = work[:size], work[size : 2 * size]
            multiply_out(program, layer + 1, BEFORE, cosines, sines, next_real, next_imag)
            for x in range(size):
                c, s = next_real[target[x]], next_imag[target[x]]
                real[x], imag[x] = real[x] * c - imag[x] * s, imag[x] * c + real[x] * s
        for x in range(size):
            real[x], imag[x] = sign[x] * real[x], sign[x] * imag[x]


@inline
def phase_torques(
    program: Any, layer: int, phased: bool, terms: Any, torques: Any, like: Amplitude
) -> None:
    """Write the torques on the RZs on both sides of a layer's entangler; overwrites `terms`.

    Terms are one for each amplitude, in the order before the entangler and in that after it.
    """
    qubits = program.qubits
    if phased and layer > 0:
        signed_sums(terms[0], qubits, layer * qubits, AFTER, torques, like)
    if phased and layer + 1 < len(program.entangler):
        signed_sums(terms[1], qubits, (layer + 1) * qubits, BEFORE, torques, like)


@function
def signed_sums(
    values: Any, qubits: int, first_gate: int, part: int, torques: Any, like: Amplitude
) -> None:
    """For each qubit the sum over x of values[x], taken negative where the qubit's bit is 1.

    Qubit 0 halves the list into sums and differences; the sums go on. Overwrites `values`.
    """
    lanes = lanes_in(like[0])
    for qubit in range(qubits):
        half = 1 << (qubits - 1 - qubit)
        even, odd = splat(0.0, like[0]), splat(0.0, like[0])
        for x in range(0, half - 1, 2):  # two at a time: one sum has to wait for itself
            p = load_lanes(values, x * lanes, like[0])
            q = load_lanes(values, (x + half) * lanes, like[0])
            r = load_lanes(values, (x + 1) * lanes, like[0])
            s = load_lanes(values, (x + half + 1) * lanes, like[0])
            even = even + (p - q)
            odd = odd + (r - s)
            store_lanes(values, x * lanes, p + q)
            store_lanes(values, (x + 1) * lanes, r + s)
        if half == 1:
            even = load_lanes(values, 0, like[0]) - load_lanes(values, lanes, like[0])
        store_lanes(torques, (3 * (first_gate + qubit) + part) * lanes, even + odd)
