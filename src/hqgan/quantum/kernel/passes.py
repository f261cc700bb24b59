"""Passes over a state: its beginning as a product, layers of gates, and the way back.

A state is a flat array of 2^Q amplitudes in lanes, qubit 0 the most significant bit of the index.
Two neighbouring qubits are rotated in one pass (`radix4`). An entangler costs nothing of its own:
the last pass of its layer stores each amplitude where the entangler sends it. Backward runs the
same passes in reverse on the ket and the bra at once.

In all that follows `like` says what an amplitude is, and `gate_like` what a gate's a and b are;
`wide` is explained in `radix4`.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import (
    Amplitude,
    add_torque,
    book_torque,
    fold,
    inverse,
    load,
    load_moved,
    no_torque,
    one,
    phase_torque,
    store,
    store_moved,
    store_torque,
    times,
    turn,
)
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.radix4 import (
    add_torques,
    load_four,
    spare_bits,
    spread,
    store_four,
    turn_all,
    turn_four,
    undo_all,
)

RUN = 4
"""Bits of the neighbouring amplitudes that a sweep over high qubits takes along."""


@inline
def fetch(first: bool, old: Any, new: Any, entangler: Any, x: int, like: Amplitude) -> Amplitude:
    """Amplitude x: before the first pass of the way back it is still where the entangler put it."""
    if first:
        return load_moved(old, entangler, x, like)
    return load(new, x, like)


@inline
def put(last: bool, old: Any, new: Any, entangler: Any, x: int, value: Amplitude) -> None:
    """Amplitude x: from the last pass of a layer it goes where the entangler sends it."""
    if last:
        store_moved(new, entangler, x, value)
    else:
        store(old, x, value)


@inline
def note_phase(
    phased: bool, entangler: Any, terms: Any, x: int, bra: Amplitude, ket: Amplitude
) -> None:
    """Keep what amplitude x contributes to torques about Z, before and after the entangler."""
    if len(ket) == 2:  # noqa: SIM102 - numba leaves out what is inside, if this is all it asks
        if phased:
            term = phase_torque(bra, ket)
            store(terms[0], x, (term,))
            store(terms[1], entangler[0][x], (term,))


@function
def product_state(
    gates: Any, qubits: int, work: Any, state: Any, entangler: Any, like: Amplitude
) -> None:
    """First columns (a, b) of each qubit's first gate, multiplied out; `work` is overwritten."""
    store(work, 0, one(like))
    for qubit in range(qubits):
        a, b = load(gates, 2 * qubit, like), load(gates, 2 * qubit + 1, like)
        last = qubit + 1 == qubits
        for x in range((1 << qubit) - 1, -1, -1):  # downward: 2x and 2x + 1 are free by then
            prefix = load(work, x, like)
            put(last, work, state, entangler, 2 * x, times(a, prefix))
            put(last, work, state, entangler, 2 * x + 1, times(b, prefix))


@function
def undo_product_state(
    gates: Any,
    qubits: int,
    ket: Any,
    bra: Any,
    new_ket: Any,
    new_bra: Any,
    entangler: Any,
    phased: bool,
    terms: Any,
    torques: Any,
    like: Amplitude,
) -> None:
    """Fold qubit after qubit back to |0>, whose amplitude of 1 is then zero and not computed."""
    for qubit in range(qubits - 1, -1, -1):
        a, b = load(gates, 2 * qubit, like), load(gates, 2 * qubit + 1, like)
        torque = no_torque(like)
        first = qubit + 1 == qubits
        for x in range(1 << qubit):
            ket0 = fetch(first, ket, new_ket, entangler, 2 * x, like)
            ket1 = fetch(first, ket, new_ket, entangler, 2 * x + 1, like)
            bra0 = fetch(first, bra, new_bra, entangler, 2 * x, like)
            bra1 = fetch(first, bra, new_bra, entangler, 2 * x + 1, like)
            if first:
                note_phase(phased, entangler, terms, 2 * x, bra0, ket0)
                note_phase(phased, entangler, terms, 2 * x + 1, bra1, ket1)
            torque = add_torque(torque, bra0, bra1, ket0, ket1)
            store(new_ket, x, fold(a, b, ket0, ket1))
            store(new_bra, x, fold(a, b, bra0, bra1))
        store_torque(torques, qubit, torque)


@function
def layer(
    gates: Any,
    qubits: int,
    groups: Any,
    state: Any,
    new_state: Any,
    entangler: Any,
    gate_like: Amplitude,
    like: Amplitude,
    wide: Amplitude,
) -> None:
    """Rotate every qubit of `state` and store it entangled to `new_state`.

    `state` is overwritten. It may be the same array, if the entangler moves nothing.
    """
    spare = spare_bits(like, wide)
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
                a, b = load(gates, 2 * qubit, gate_like), load(gates, 2 * qubit + 1, gate_like)
                if qubit + 1 == bottom:
                    step = 1 << low_bits
                    for t in range(1 << (bottom - top - 1 + run_bits)):
                        x = spread(t, 0, low_bits, run_bits, 1, base)
                        s0, s1 = turn(a, b, load(state, x, like), load(state, x + step, like))
                        put(last, state, new_state, entangler, x, s0)
                        put(last, state, new_state, entangler, x + step, s1)
                    continue
                below, count = bottom - qubit - 2, 1 << (bottom - top - 2 + run_bits)
                if last:
                    c = load(gates, 2 * qubit + 2, gate_like)
                    d = load(gates, 2 * qubit + 3, gate_like)
                    step = 1 << (below + low_bits)
                    for t in range(count):
                        x = spread(t, below, low_bits, run_bits, 2, base)
                        s = turn_four(a, b, c, d, load_four(state, x, step, like))
                        store_moved(new_state, entangler, x, s[0])
                        store_moved(new_state, entangler, x + step, s[1])
                        store_moved(new_state, entangler, x + 2 * step, s[2])
                        store_moved(new_state, entangler, x + 3 * step, s[3])
                elif run_bits >= spare:
                    sides = low_bits - spare, run_bits - spare, base >> spare
                    turn_all(gates, qubit, count >> spare, below, *sides, state, gate_like, wide)
                elif below >= spare and low_bits == 0:
                    sides = 0, 0, base >> spare
                    fewer = count >> spare, below - spare
                    turn_all(gates, qubit, *fewer, *sides, state, gate_like, wide)
                else:
                    sides = low_bits, run_bits, base
                    turn_all(gates, qubit, count, below, *sides, state, gate_like, like)


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
    entangler: Any,
    phased: bool,
    terms: Any,
    torques: Any,
    gate_like: Amplitude,
    like: Amplitude,
    wide: Amplitude,
) -> None:
    """Take ket and bra back through a layer, and write the torque on its gates from `first_gate`.

    If RZs are `phased` into the entangler, `terms` (two arrays of 2^Q lanes) get what `phases`
    makes their torques of.

    A gate's torque is taken after it; the other gates of the layer act on other qubits and do not
    matter. Arrays as in `layer`: the new ones may be the old ones if the entangler moves nothing.
    """
    spare = spare_bits(like, wide)
    for qubit in range(qubits):
        store_torque(torques, first_gate + qubit, no_torque(gate_like))
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
                a, b = load(gates, 2 * qubit, gate_like), load(gates, 2 * qubit + 1, gate_like)
                a, b = inverse(a, b)
                upper = no_torque(gate_like)
                if qubit + 1 == bottom:
                    step = 1 << low_bits
                    for t in range(1 << (bottom - top - 1 + run_bits)):
                        x = spread(t, 0, low_bits, run_bits, 1, base)
                        k0 = fetch(first, ket, new_ket, entangler, x, like)
                        k1 = fetch(first, ket, new_ket, entangler, x + step, like)
                        b0 = fetch(first, bra, new_bra, entangler, x, like)
                        b1 = fetch(first, bra, new_bra, entangler, x + step, like)
                        if first:
                            note_phase(phased, entangler, terms, x, b0, k0)
                            note_phase(phased, entangler, terms, x + step, b1, k1)
                        upper = add_torque(upper, b0, b1, k0, k1)
                        k0, k1 = turn(a, b, k0, k1)
                        b0, b1 = turn(a, b, b0, b1)
                        store(new_ket, x, k0)
                        store(new_ket, x + step, k1)
                        store(new_bra, x, b0)
                        store(new_bra, x + step, b1)
                    book_torque(torques, first_gate + qubit, upper)
                    continue
                below, count = bottom - qubit - 2, 1 << (bottom - top - 2 + run_bits)
                new = new_ket, new_bra, torques, gate_like
                if first:
                    c = load(gates, 2 * qubit + 2, gate_like)
                    d = load(gates, 2 * qubit + 3, gate_like)
                    c, d = inverse(c, d)
                    lower = no_torque(gate_like)
                    step = 1 << (below + low_bits)
                    for t in range(count):
                        x = spread(t, below, low_bits, run_bits, 2, base)
                        y, z, w = x + step, x + 2 * step, x + 3 * step
                        kets = (
                            load_moved(ket, entangler, x, like),
                            load_moved(ket, entangler, y, like),
                            load_moved(ket, entangler, z, like),
                            load_moved(ket, entangler, w, like),
                        )
                        bras = (
                            load_moved(bra, entangler, x, like),
                            load_moved(bra, entangler, y, like),
                            load_moved(bra, entangler, z, like),
                            load_moved(bra, entangler, w, like),
                        )
                        note_phase(phased, entangler, terms, x, bras[0], kets[0])
                        note_phase(phased, entangler, terms, y, bras[1], kets[1])
                        note_phase(phased, entangler, terms, z, bras[2], kets[2])
                        note_phase(phased, entangler, terms, w, bras[3], kets[3])
                        upper, lower = add_torques(upper, lower, bras, kets)
                        store_four(new_ket, x, step, turn_four(a, b, c, d, kets))
                        store_four(new_bra, x, step, turn_four(a, b, c, d, bras))
                    book_torque(torques, first_gate + qubit, upper)
                    book_torque(torques, first_gate + qubit + 1, lower)
                elif run_bits >= spare:
                    sides = low_bits - spare, run_bits - spare, base >> spare
                    undo_all(gates, first_gate, qubit, count >> spare, below, *sides, *new, wide)
                elif below >= spare and low_bits == 0:
                    fewer = count >> spare, below - spare
                    undo_all(gates, first_gate, qubit, *fewer, 0, 0, base >> spare, *new, wide)
                else:
                    sides = low_bits, run_bits, base
                    undo_all(gates, first_gate, qubit, count, below, *sides, *new, like)
