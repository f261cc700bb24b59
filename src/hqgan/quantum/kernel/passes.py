"""Passes over a state: its beginning as a product, layers of gates, and the way back.

A state is a flat array of 2^Q amplitudes in lanes, qubit 0 the most significant bit of the index.
Two neighbouring qubits are rotated in one pass (radix 4): four amplitudes are loaded once for two
gates. An entangler costs nothing of its own: the last pass of its layer stores each amplitude where
the entangler sends it. Backward runs the same passes in reverse on the ket and the bra at once.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import (
    Amplitude,
    add_torque,
    book_torque,
    inverse,
    load,
    load_signed,
    no_torque,
    one,
    store,
    store_signed,
    store_torque,
    times,
    turn,
)
from hqgan.quantum.kernel.compiling import function, inline

RUN = 4
"""Bits of the neighbouring amplitudes that a sweep over high qubits takes along."""


@inline
def spread(t: int, low: int, low_bits: int, run_bits: int, zeros: int, base: int) -> int:
    """Index number t of a sweep with `zeros` bits set to 0 above the `low` lowest group bits."""
    run = t & ((1 << run_bits) - 1)
    bits = t >> run_bits
    kept = bits & ((1 << low) - 1)
    return base + ((((bits >> low) << (low + zeros)) | kept) << low_bits) + run


@function
def product_state(
    gates: Any, qubits: int, work: Any, state: Any, target: Any, sign: Any, parts: Amplitude
) -> None:
    """First columns (a, b) of each qubit's first gate, multiplied out; `work` is overwritten."""
    store(work, 0, one(parts))
    for qubit in range(qubits):
        a, b = load(gates, 2 * qubit, parts), load(gates, 2 * qubit + 1, parts)
        last = qubit + 1 == qubits
        for x in range((1 << qubit) - 1, -1, -1):  # downward: 2x and 2x + 1 are free by then
            prefix = load(work, x, parts)
            if last:
                store_signed(state, target, sign, 2 * x, times(a, prefix))
                store_signed(state, target, sign, 2 * x + 1, times(b, prefix))
            else:
                store(work, 2 * x, times(a, prefix))
                store(work, 2 * x + 1, times(b, prefix))


@function
def undo_product_state(
    gates: Any,
    qubits: int,
    ket: Any,
    bra: Any,
    new_ket: Any,
    new_bra: Any,
    target: Any,
    sign: Any,
    torques: Any,
    parts: Amplitude,
) -> None:
    """Fold qubit after qubit back to |0>, whose amplitude of 1 is then zero and not computed."""
    for qubit in range(qubits - 1, -1, -1):
        a, b = inverse(load(gates, 2 * qubit, parts), load(gates, 2 * qubit + 1, parts))
        torque = no_torque(parts)
        first = qubit + 1 == qubits
        for x in range(1 << qubit):
            if first:
                ket0 = load_signed(ket, target, sign, 2 * x, parts)
                ket1 = load_signed(ket, target, sign, 2 * x + 1, parts)
                bra0 = load_signed(bra, target, sign, 2 * x, parts)
                bra1 = load_signed(bra, target, sign, 2 * x + 1, parts)
            else:
                ket0, ket1 = load(new_ket, 2 * x, parts), load(new_ket, 2 * x + 1, parts)
                bra0, bra1 = load(new_bra, 2 * x, parts), load(new_bra, 2 * x + 1, parts)
            torque = add_torque(torque, bra0, bra1, ket0, ket1)
            store(new_ket, x, turn(a, b, ket0, ket1)[0])
            store(new_bra, x, turn(a, b, bra0, bra1)[0])
        store_torque(torques, qubit, torque)


@function
def layer(
    gates: Any,
    first_gate: int,
    qubits: int,
    groups: Any,
    state: Any,
    new_state: Any,
    target: Any,
    sign: Any,
    parts: Amplitude,
) -> None:
    """Rotate every qubit of `state` and store it entangled to `new_state`.

    `state` is overwritten. It may be the same array, if the entangler moves nothing.
    """
    for group in range(len(groups)):
        top, bottom = groups[group, 0], groups[group, 1]
        low_bits = qubits - bottom
        run_bits = min(low_bits, RUN)
        for block in range(1 << (top + low_bits - run_bits)):
            high = block >> (low_bits - run_bits)
            low_part = block & ((1 << (low_bits - run_bits)) - 1)
            base = (high << (qubits - top)) + (low_part << run_bits)
            for qubit in range(top, bottom, 2):
                last = top == 0 and qubit + 2 >= bottom
                gate = 2 * (first_gate + qubit)
                a, b = load(gates, gate, parts), load(gates, gate + 1, parts)
                if qubit + 1 == bottom:
                    step = 1 << low_bits
                    for t in range(1 << (bottom - top - 1 + run_bits)):
                        x = spread(t, 0, low_bits, run_bits, 1, base)
                        s0, s1 = load(state, x, parts), load(state, x + step, parts)
                        s0, s1 = turn(a, b, s0, s1)
                        if last:
                            store_signed(new_state, target, sign, x, s0)
                            store_signed(new_state, target, sign, x + step, s1)
                        else:
                            store(state, x, s0)
                            store(state, x + step, s1)
                    continue
                c, d = load(gates, gate + 2, parts), load(gates, gate + 3, parts)
                below = bottom - qubit - 2
                step = 1 << (below + low_bits)
                for t in range(1 << (bottom - top - 2 + run_bits)):
                    x = spread(t, below, low_bits, run_bits, 2, base)
                    s0, s1 = load(state, x, parts), load(state, x + step, parts)
                    s2, s3 = load(state, x + 2 * step, parts), load(state, x + 3 * step, parts)
                    s0, s2 = turn(a, b, s0, s2)
                    s1, s3 = turn(a, b, s1, s3)
                    s0, s1 = turn(c, d, s0, s1)
                    s2, s3 = turn(c, d, s2, s3)
                    if last:
                        store_signed(new_state, target, sign, x, s0)
                        store_signed(new_state, target, sign, x + step, s1)
                        store_signed(new_state, target, sign, x + 2 * step, s2)
                        store_signed(new_state, target, sign, x + 3 * step, s3)
                    else:
                        store(state, x, s0)
                        store(state, x + step, s1)
                        store(state, x + 2 * step, s2)
                        store(state, x + 3 * step, s3)


@function
def undo_layer(
    gates: Any,
    first_gate: int,
    qubits: int,
    groups: Any,
    ket: Any,
    bra: Any,
    new_ket: Any,
    new_bra: Any,
    target: Any,
    sign: Any,
    torques: Any,
    parts: Amplitude,
) -> None:
    """Take ket and bra back through a layer, and write the torque on each of its gates.

    A gate's torque is taken after it; the other gates of the layer act on other qubits and do not
    matter. Arrays as in `layer`: the new ones may be the old ones if the entangler moves nothing.
    """
    for qubit in range(qubits):
        store_torque(torques, first_gate + qubit, no_torque(parts))
    for group in range(len(groups)):
        top, bottom = groups[group, 0], groups[group, 1]
        low_bits = qubits - bottom
        run_bits = min(low_bits, RUN)
        for block in range(1 << (top + low_bits - run_bits)):
            high = block >> (low_bits - run_bits)
            low_part = block & ((1 << (low_bits - run_bits)) - 1)
            base = (high << (qubits - top)) + (low_part << run_bits)
            for qubit in range(top, bottom, 2):
                first = group == 0 and qubit == top
                gate = first_gate + qubit
                a, b = inverse(load(gates, 2 * gate, parts), load(gates, 2 * gate + 1, parts))
                torque = no_torque(parts)
                if qubit + 1 == bottom:
                    step = 1 << low_bits
                    for t in range(1 << (bottom - top - 1 + run_bits)):
                        x = spread(t, 0, low_bits, run_bits, 1, base)
                        if first:
                            k0 = load_signed(ket, target, sign, x, parts)
                            k1 = load_signed(ket, target, sign, x + step, parts)
                            b0 = load_signed(bra, target, sign, x, parts)
                            b1 = load_signed(bra, target, sign, x + step, parts)
                        else:
                            k0, k1 = load(new_ket, x, parts), load(new_ket, x + step, parts)
                            b0, b1 = load(new_bra, x, parts), load(new_bra, x + step, parts)
                        torque = add_torque(torque, b0, b1, k0, k1)
                        k0, k1 = turn(a, b, k0, k1)
                        b0, b1 = turn(a, b, b0, b1)
                        store(new_ket, x, k0)
                        store(new_ket, x + step, k1)
                        store(new_bra, x, b0)
                        store(new_bra, x + step, b1)
                    book_torque(torques, gate, torque)
                    continue
                c, d = inverse(load(gates, 2 * gate + 2, parts), load(gates, 2 * gate + 3, parts))
                torque_below = no_torque(parts)
                below = bottom - qubit - 2
                step = 1 << (below + low_bits)
                for t in range(1 << (bottom - top - 2 + run_bits)):
                    x = spread(t, below, low_bits, run_bits, 2, base)
                    y, z, w = x + step, x + 2 * step, x + 3 * step
                    if first:
                        k0 = load_signed(ket, target, sign, x, parts)
                        k1 = load_signed(ket, target, sign, y, parts)
                        k2 = load_signed(ket, target, sign, z, parts)
                        k3 = load_signed(ket, target, sign, w, parts)
                        b0 = load_signed(bra, target, sign, x, parts)
                        b1 = load_signed(bra, target, sign, y, parts)
                        b2 = load_signed(bra, target, sign, z, parts)
                        b3 = load_signed(bra, target, sign, w, parts)
                    else:
                        k0, k1 = load(new_ket, x, parts), load(new_ket, y, parts)
                        k2, k3 = load(new_ket, z, parts), load(new_ket, w, parts)
                        b0, b1 = load(new_bra, x, parts), load(new_bra, y, parts)
                        b2, b3 = load(new_bra, z, parts), load(new_bra, w, parts)
                    torque = add_torque(torque, b0, b2, k0, k2)
                    torque = add_torque(torque, b1, b3, k1, k3)
                    torque_below = add_torque(torque_below, b0, b1, k0, k1)
                    torque_below = add_torque(torque_below, b2, b3, k2, k3)
                    k0, k2 = turn(a, b, k0, k2)
                    k1, k3 = turn(a, b, k1, k3)
                    k0, k1 = turn(c, d, k0, k1)
                    k2, k3 = turn(c, d, k2, k3)
                    store(new_ket, x, k0)
                    store(new_ket, y, k1)
                    store(new_ket, z, k2)
                    store(new_ket, w, k3)
                    b0, b2 = turn(a, b, b0, b2)
                    b1, b3 = turn(a, b, b1, b3)
                    b0, b1 = turn(c, d, b0, b1)
                    b2, b3 = turn(c, d, b2, b3)
                    store(new_bra, x, b0)
                    store(new_bra, y, b1)
                    store(new_bra, z, b2)
                    store(new_bra, w, b3)
                book_torque(torques, gate, torque)
                book_torque(torques, gate + 1, torque_below)
