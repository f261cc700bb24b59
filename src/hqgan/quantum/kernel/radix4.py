"""Two neighbouring qubits in one pass (radix 4): four amplitudes are loaded once for two gates.

A real gate does the same to all numbers that lie side by side: where amplitudes are short (few
samples), passes over higher qubits take several at once, as one real amplitude like `wide`.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import (
    Amplitude,
    add_torque,
    book_torque,
    inverse,
    load,
    no_torque,
    store,
    turn,
)
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.lanes import fold_lanes, lanes_in, repeat_lanes

Four = tuple[Amplitude, Amplitude, Amplitude, Amplitude]


@inline
def spread(t: int, low: int, low_bits: int, run_bits: int, zeros: int, base: int) -> int:
    """Index number t of a sweep with `zeros` bits set to 0 above the `low` lowest group bits."""
    run = t & ((1 << run_bits) - 1)
    bits = t >> run_bits
    kept = bits & ((1 << low) - 1)
    return base + ((((bits >> low) << (low + zeros)) | kept) << low_bits) + run


@inline
def load_four(array: Any, x: int, step: int, like: Amplitude) -> Four:
    """Amplitudes that differ in the bits of two neighbouring qubits; `step` is the lower one's."""
    return (
        load(array, x, like),
        load(array, x + step, like),
        load(array, x + 2 * step, like),
        load(array, x + 3 * step, like),
    )


@inline
def store_four(array: Any, x: int, step: int, four: Four) -> None:
    """The opposite of `load_four`."""
    store(array, x, four[0])
    store(array, x + step, four[1])
    store(array, x + 2 * step, four[2])
    store(array, x + 3 * step, four[3])


@inline
def turn_four(a: Amplitude, b: Amplitude, c: Amplitude, d: Amplitude, s: Four) -> Four:
    """The gate (a, b) on the upper of two qubits, then (c, d) on the lower one."""
    s0, s2 = turn(a, b, s[0], s[2])
    s1, s3 = turn(a, b, s[1], s[3])
    s0, s1 = turn(c, d, s0, s1)
    s2, s3 = turn(c, d, s2, s3)
    return s0, s1, s2, s3


@inline
def add_torques(upper: Amplitude, lower: Amplitude, bra: Four, ket: Four) -> Any:
    """The torques on the gates of two neighbouring qubits."""
    upper = add_torque(upper, bra[0], bra[2], ket[0], ket[2])
    upper = add_torque(upper, bra[1], bra[3], ket[1], ket[3])
    lower = add_torque(lower, bra[0], bra[1], ket[0], ket[1])
    return upper, add_torque(lower, bra[2], bra[3], ket[2], ket[3])


@inline
def widen(x: Amplitude, like: Amplitude) -> Amplitude:
    """A gate's a or b for as many lanes as `like` has; nothing to do if it has these."""
    if len(x) == 1:
        return (repeat_lanes(x[0], like[0]),)
    return x


@inline
def narrow(torque: Amplitude, like: Amplitude) -> Amplitude:
    """The opposite for a torque, a sum over lanes."""
    if len(torque) == 1:
        return (fold_lanes(torque[0], like[0]),)
    return torque


@inline
def spare_bits(like: Amplitude, wide: Amplitude) -> int:
    """Bits of the index whose amplitudes lie side by side in one amplitude like `wide`."""
    numbers = lanes_in(like[0]) * len(like)
    bits = 0
    while numbers << bits < lanes_in(wide[0]) * len(wide):
        bits += 1
    return bits


@function
def turn_all(
    gates: Any,
    qubit: int,
    count: int,
    below: int,
    low_bits: int,
    run_bits: int,
    base: int,
    state: Any,
    gate_like: Amplitude,
    wide: Amplitude,
) -> None:
    """The pass of one block over two qubits, in place: `count` fours of amplitudes like `wide`."""
    a, b = load(gates, 2 * qubit, gate_like), load(gates, 2 * qubit + 1, gate_like)
    c, d = load(gates, 2 * qubit + 2, gate_like), load(gates, 2 * qubit + 3, gate_like)
    wide_a, wide_b, wide_c, wide_d = widen(a, wide), widen(b, wide), widen(c, wide), widen(d, wide)
    step = 1 << (below + low_bits)
    for t in range(count):
        x = spread(t, below, low_bits, run_bits, 2, base)
        four = load_four(state, x, step, wide)
        store_four(state, x, step, turn_four(wide_a, wide_b, wide_c, wide_d, four))


@function
def undo_all(
    gates: Any,
    first_gate: int,
    qubit: int,
    count: int,
    below: int,
    low_bits: int,
    run_bits: int,
    base: int,
    ket: Any,
    bra: Any,
    torques: Any,
    gate_like: Amplitude,
    wide: Amplitude,
) -> None:
    """The opposite of `turn_all` on ket and bra, with the torques on its two gates."""
    a, b = load(gates, 2 * qubit, gate_like), load(gates, 2 * qubit + 1, gate_like)
    c, d = load(gates, 2 * qubit + 2, gate_like), load(gates, 2 * qubit + 3, gate_like)
    a, b = inverse(a, b)
    c, d = inverse(c, d)
    wide_a, wide_b, wide_c, wide_d = widen(a, wide), widen(b, wide), widen(c, wide), widen(d, wide)
    upper, lower = no_torque(wide_a), no_torque(wide_a)
    step = 1 << (below + low_bits)
    for t in range(count):
        x = spread(t, below, low_bits, run_bits, 2, base)
        kets, bras = load_four(ket, x, step, wide), load_four(bra, x, step, wide)
        upper, lower = add_torques(upper, lower, bras, kets)
        store_four(ket, x, step, turn_four(wide_a, wide_b, wide_c, wide_d, kets))
        store_four(bra, x, step, turn_four(wide_a, wide_b, wide_c, wide_d, bras))
    book_torque(torques, first_gate + qubit, narrow(upper, gate_like))
    book_torque(torques, first_gate + qubit + 1, narrow(lower, gate_like))
