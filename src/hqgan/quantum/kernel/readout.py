"""Measured values of a state, and the bra they send back.

Everything diagonal comes from the probabilities p(x). The Walsh transform of p holds the
expectation value of every word of Z, at the index whose bits are the word's: halve p into sums and
differences, and go on with each half that leads to a word. Backward the gradients are placed at
these indices and take the same steps in reverse order. A word of X pairs x with x ^ bits.
"""

from typing import Any

import numpy as np

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
from hqgan.quantum.kernel.lanes import lanes_in, load_lanes, splat, store_lanes

BLOCK = 256
"""Terms summed in a row: sums of sums add up fewer roundings."""


@inline
def butterfly(values: Any, start: int, half: int, like: Amplitude) -> None:
    """Sums of two neighbouring runs of values to the first, differences to the second."""
    lanes = lanes_in(like[0])
    for x in range(start, start + half):
        p = load_lanes(values, x * lanes, like[0])
        q = load_lanes(values, (x + half) * lanes, like[0])
        store_lanes(values, x * lanes, p + q)
        store_lanes(values, (x + half) * lanes, p - q)


@inline
def highest_bit(bits: int) -> int:
    """The largest power of two in `bits`."""
    bit = 1
    while 2 * bit <= bits:
        bit *= 2
    return bit


@function
def measure(program: Any, state: Any, values: Any, results: Any, like: Amplitude) -> None:
    """Write each output's lanes to `results` (outputs); `values` (N) is overwritten."""
    size, lanes = 1 << program.qubits, lanes_in(like[0])
    if len(program.z_words):
        for x in range(size):
            store_lanes(values, x * lanes, squared_modulus(load(state, x, like)))
        for b in range(len(program.butterflies)):
            butterfly(values, program.butterflies[b, 0], program.butterflies[b, 1], like)
        for word in range(len(program.z_words)):
            output, bits = program.z_words[word, 0], program.z_words[word, 1]
            store_lanes(results, output * lanes, load_lanes(values, bits * lanes, like[0]))
    for word in range(len(program.x_words)):
        output, bits = program.x_words[word, 0], program.x_words[word, 1]
        step = highest_bit(bits)
        total = splat(0.0, like[0])
        for block in range(0, size >> 1, BLOCK):
            part = splat(0.0, like[0])
            for pair in range(block, min(block + BLOCK, size >> 1)):
                x = pair + (pair & -step)  # the highest bit of the word is 0 in x
                part = part + overlap(load(state, x, like), load(state, x ^ bits, like))
            total = total + part
        store_lanes(results, output * lanes, total + total)
    if len(program.outcome):
        for place in range(len(results)):
            results[place] = 0.0
        for x in range(size):
            place = program.outcome[x] * lanes
            p = squared_modulus(load(state, x, like))
            store_lanes(results, place, load_lanes(results, place, like[0]) + p)


@function
def measure_backward(
    program: Any,
    state: Any,
    values: Any,
    gradients: Any,
    ket: Any,
    bra: Any,
    like: Amplitude,
) -> None:
    """Copy the state to `ket` and write bra = sum over outputs k of gradient[k] O[k] |state>."""
    size, lanes = 1 << program.qubits, lanes_in(like[0])
    for place in range(size * lanes):
        values[place] = 0.0
    if len(program.z_words):
        for word in range(len(program.z_words)):
            output, bits = program.z_words[word, 0], program.z_words[word, 1]
            known = load_lanes(values, bits * lanes, like[0])
            gradient = load_lanes(gradients, output * lanes, like[0])
            store_lanes(values, bits * lanes, known + gradient)
        for b in range(len(program.butterflies) - 1, -1, -1):
            butterfly(values, program.butterflies[b, 0], program.butterflies[b, 1], like)
    if len(program.outcome):
        for x in range(size):
            gradient = load_lanes(gradients, program.outcome[x] * lanes, like[0])
            store_lanes(values, x * lanes, gradient)
    for x in range(size):
        amplitude = load(state, x, like)
        store(ket, x, amplitude)
        store(bra, x, scale(load_lanes(values, x * lanes, like[0]), amplitude))
    for word in range(len(program.x_words)):
        output, bits = program.x_words[word, 0], program.x_words[word, 1]
        gradient = load_lanes(gradients, output * lanes, like[0])
        for x in range(size):
            flipped = load(state, x ^ bits, like)
            store(bra, x, add_scaled(load(bra, x, like), gradient, flipped))


@function
def results_from_lanes(
    results: Any,
    samples: int,
    circuits: int,
    circuit: int,
    start: int,
    outputs: Any,
    like: Amplitude,
) -> None:
    """Write the lanes of samples `start` and on to their places in `outputs` (B, C, outputs)."""
    lanes = lanes_in(like[0])
    width = len(results) // lanes
    for lane in range(min(lanes, samples - start)):
        for k in range(width):
            place = ((start + lane) * circuits + circuit) * width + k
            outputs[place] = results[k * lanes + lane]


@function
def gradients_to_lanes(
    gradient: Any,
    samples: int,
    circuits: int,
    circuit: int,
    start: int,
    table: Any,
    like: Amplitude,
) -> None:
    """Rows of `gradient` (B, C, outputs) to lanes; idle ones get 0, and so does all behind them."""
    lanes = lanes_in(like[0])
    width = len(table) // lanes
    for lane in range(lanes):
        for k in range(width):
            value = np.float32(0.0)
            if start + lane < samples:
                value = gradient[((start + lane) * circuits + circuit) * width + k]
            table[k * lanes + lane] = value
