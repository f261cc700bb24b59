"""Measured values of a state, and the bra they send back.

Everything diagonal comes from the probabilities p(x). The Walsh transform of p holds the
expectation value of every word of Z at once, at the index whose bits are the word's; it is its own
transpose, so backward the gradients are placed at these indices and transformed once more. A word
of X pairs x with x ^ bits.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import (
    Amplitude,
    add_scaled,
    load,
    overlap,
    scale,
    squared_modulus,
    store,
)
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.lanes import load_lanes, splat, store_lanes
from hqgan.quantum.kernel.plan import LANES

BLOCK = 256
"""Terms summed in a row: sums of sums add up fewer roundings."""


@function
def walsh(values: Any, qubits: int) -> None:
    """In place: values[w] = sum over x of (-1)^(bits that w and x share) values[x], in lanes."""
    for qubit in range(qubits):
        step = 1 << qubit
        for high in range(0, 1 << qubits, 2 * step):
            for x in range(high, high + step):
                p = load_lanes(values, x * LANES)
                q = load_lanes(values, (x + step) * LANES)
                store_lanes(values, x * LANES, p + q)
                store_lanes(values, (x + step) * LANES, p - q)


@inline
def highest_bit(bits: int) -> int:
    """The largest power of two in `bits`."""
    bit = 1
    while 2 * bit <= bits:
        bit *= 2
    return bit


@function
def measure(
    program: Any, qubits: int, state: Any, values: Any, results: Any, parts: Amplitude
) -> None:
    """Write each output's lanes to `results` (outputs); `values` (N) is overwritten."""
    size = 1 << qubits
    if len(program.z_words):
        for x in range(size):
            store_lanes(values, x * LANES, squared_modulus(load(state, x, parts)))
        walsh(values, qubits)
        for word in range(len(program.z_words)):
            output, bits = program.z_words[word, 0], program.z_words[word, 1]
            store_lanes(results, output * LANES, load_lanes(values, bits * LANES))
    for word in range(len(program.x_words)):
        output, bits = program.x_words[word, 0], program.x_words[word, 1]
        step = highest_bit(bits)
        total = splat(0.0)
        for block in range(0, size >> 1, BLOCK):
            part = splat(0.0)
            for pair in range(block, min(block + BLOCK, size >> 1)):
                x = pair + (pair & -step)  # the highest bit of the word is 0 in x
                part = part + overlap(load(state, x, parts), load(state, x ^ bits, parts))
            total = total + part
        store_lanes(results, output * LANES, total + total)
    if len(program.outcome):
        for place in range(len(results)):
            results[place] = 0.0
        for x in range(size):
            place = program.outcome[x] * LANES
            p = squared_modulus(load(state, x, parts))
            store_lanes(results, place, load_lanes(results, place) + p)


@function
def measure_backward(
    program: Any,
    qubits: int,
    state: Any,
    values: Any,
    gradients: Any,
    ket: Any,
    bra: Any,
    parts: Amplitude,
) -> None:
    """Copy the state to `ket` and write bra = sum over outputs k of gradient[k] O[k] |state>."""
    size = 1 << qubits
    for place in range(size * LANES):
        values[place] = 0.0
    if len(program.z_words):
        for word in range(len(program.z_words)):
            output, bits = program.z_words[word, 0], program.z_words[word, 1]
            known = load_lanes(values, bits * LANES)
            store_lanes(values, bits * LANES, known + load_lanes(gradients, output * LANES))
        walsh(values, qubits)
    if len(program.outcome):
        for x in range(size):
            gradient = load_lanes(gradients, program.outcome[x] * LANES)
            store_lanes(values, x * LANES, gradient)
    for x in range(size):
        amplitude = load(state, x, parts)
        store(ket, x, amplitude)
        store(bra, x, scale(load_lanes(values, x * LANES), amplitude))
    for word in range(len(program.x_words)):
        output, bits = program.x_words[word, 0], program.x_words[word, 1]
        gradient = load_lanes(gradients, output * LANES)
        for x in range(size):
            flipped = load(state, x ^ bits, parts)
            store(bra, x, add_scaled(load(bra, x, parts), gradient, flipped))


@function
def results_from_lanes(results: Any, start: int, outputs: Any) -> None:
    """Write the lanes of samples `start` and on to their rows of `outputs` (B, outputs)."""
    samples, width = outputs.shape
    for lane in range(min(LANES, samples - start)):
        for k in range(width):
            outputs[start + lane, k] = results[k * LANES + lane]


@function
def gradients_to_lanes(gradient: Any, start: int, lanes: Any) -> None:
    """Rows of `gradient` (B, outputs) to lanes; idle lanes get 0, and so does all behind them."""
    samples, width = gradient.shape
    for lane in range(LANES):
        for k in range(width):
            value = gradient[start + lane, k] if start + lane < samples else 0.0
            lanes[k * LANES + lane] = value
