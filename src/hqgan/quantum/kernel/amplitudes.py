"""Amplitudes in lanes, and what gates do to pairs of them.

An amplitude is a tuple: of one `Lanes` in a circuit of real gates, of two (real and imaginary part)
otherwise. Numba knows a tuple's length when it compiles, so each function below is two or three:
`len` picks the branch, and the others leave no trace. An argument `like` is any amplitude of the
kind that is meant, or such a tuple with lengths in place of lanes (`shape` in `plan`).

A gate is a rotation, up to a phase that no measurement sees: [[a, -b*], [b, a*]], of which the
first layer needs the column (a, b) alone. Later gates are real where all that is not real has been
taken out of them (see `plan`), also if the state is not, and are then given as `turn` says.
"""

from typing import Any

from hqgan.quantum.kernel.compiling import inline
from hqgan.quantum.kernel.lanes import lanes_in, load_lanes, minus, plus, splat, store_lanes

Amplitude = tuple[Any, ...]


@inline
def load(array: Any, index: int, like: Amplitude) -> Amplitude:
    """Amplitude number `index` of an array of them."""
    lanes = lanes_in(like[0])
    if len(like) == 1:
        return (load_lanes(array, index * lanes, like[0]),)
    start = 2 * index * lanes
    return load_lanes(array, start, like[0]), load_lanes(array, start + lanes, like[0])


@inline
def store(array: Any, index: int, x: Amplitude) -> None:
    """The opposite of `load`."""
    lanes = lanes_in(x[0])
    if len(x) == 1:
        store_lanes(array, index * lanes, x[0])
    else:
        store_lanes(array, 2 * index * lanes, x[0])
        store_lanes(array, (2 * index + 1) * lanes, x[1])


@inline
def one(like: Amplitude) -> Amplitude:
    """The amplitude 1."""
    if len(like) == 1:
        return (splat(1.0, like[0]),)
    return splat(1.0, like[0]), splat(0.0, like[0])


@inline
def scale(lanes: Any, x: Amplitude) -> Amplitude:
    """Real lanes times an amplitude."""
    if len(x) == 1:
        return (lanes * x[0],)
    return lanes * x[0], lanes * x[1]


@inline
def add_scaled(s: Amplitude, lanes: Any, x: Amplitude) -> Amplitude:
    """s + lanes x."""
    if len(x) == 1:
        return (plus(s[0], lanes, x[0]),)
    return plus(s[0], lanes, x[0]), plus(s[1], lanes, x[1])


@inline
def times(a: Amplitude, x: Amplitude) -> Amplitude:
    """a x, both of one kind."""
    if len(a) == 1:
        return (a[0] * x[0],)
    return minus(a[0] * x[0], a[1], x[1]), plus(a[0] * x[1], a[1], x[0])


@inline
def squared_modulus(x: Amplitude) -> Any:
    """|x|^2, lanes."""
    if len(x) == 1:
        return x[0] * x[0]
    return plus(x[0] * x[0], x[1], x[1])


@inline
def overlap(x: Amplitude, y: Amplitude) -> Any:
    """Re x* y, lanes."""
    if len(x) == 1:
        return x[0] * y[0]
    return plus(x[0] * y[0], x[1], y[1])


@inline
def store_moved(array: Any, entangler: Any, x: int, value: Amplitude) -> None:
    """An amplitude of index x goes where the entangler sends it, times its sign or phase.

    `entangler` is (targets, phase) with `phase` a tuple of one array (signs), or of two (cosines
    and sines), the same for every sample.
    """
    target, phase = entangler
    store(array, target[x], multiply_by_entry(phase, x, value))


@inline
def load_moved(array: Any, entangler: Any, x: int, like: Amplitude) -> Amplitude:
    """What `store_moved` has moved from x, taken back."""
    target, phase = entangler
    return divide_by_entry(phase, x, load(array, target[x], like))


@inline
def multiply_by_entry(phase: Any, x: int, value: Amplitude) -> Amplitude:
    """An amplitude times entry x of a table of signs or phases."""
    if len(phase) == 1:
        return scale(splat(phase[0][x], value[0]), value)
    return times((splat(phase[0][x], value[0]), splat(phase[1][x], value[0])), value)


@inline
def divide_by_entry(phase: Any, x: int, value: Amplitude) -> Amplitude:
    """The opposite of `multiply_by_entry`."""
    if len(phase) == 1:
        return scale(splat(phase[0][x], value[0]), value)
    return times((splat(phase[0][x], value[0]), -splat(phase[1][x], value[0])), value)


@inline
def turn(a: Amplitude, b: Amplitude, x: Amplitude, y: Amplitude) -> tuple[Amplitude, Amplitude]:
    """The gate on (x, y), as chains of fused multiply-adds.

    A complex gate gives (a x - b* y, b x + a* y). A real one turns by an angle h of which a is
    tan(h / 2) and b is sin(h): in three shears, x - a y, then y + b x, then x - a y, which are
    three quarters of a rotation's arithmetic.
    """
    if len(a) == 1:
        x = add_scaled(x, -a[0], y)
        y = add_scaled(y, b[0], x)
        return add_scaled(x, -a[0], y), y
    return (
        (
            minus(minus(minus(a[0] * x[0], a[1], x[1]), b[0], y[0]), b[1], y[1]),
            plus(minus(plus(a[0] * x[1], a[1], x[0]), b[0], y[1]), b[1], y[0]),
        ),
        (
            plus(plus(minus(b[0] * x[0], b[1], x[1]), a[0], y[0]), a[1], y[1]),
            minus(plus(plus(b[0] * x[1], b[1], x[0]), a[0], y[1]), a[1], y[0]),
        ),
    )


@inline
def inverse(a: Amplitude, b: Amplitude) -> tuple[Amplitude, Amplitude]:
    """The gate that undoes (a, b)."""
    if len(a) == 1:
        return (-a[0],), (-b[0],)
    return (a[0], -a[1]), (-b[0], -b[1])


@inline
def fold(a: Amplitude, b: Amplitude, x: Amplitude, y: Amplitude) -> Amplitude:
    """a* x + b* y: how much of the column (a, b) is in (x, y)."""
    if len(a) == 1:
        return (plus(a[0] * x[0], b[0], y[0]),)
    return (
        plus(plus(plus(a[0] * x[0], a[1], x[1]), b[0], y[0]), b[1], y[1]),
        minus(plus(minus(a[0] * x[1], a[1], x[0]), b[0], y[1]), b[1], y[0]),
    )


@inline
def no_torque(gate: Amplitude) -> Amplitude:
    """Zero, to start `add_torque` with: as many numbers as such a gate has axes."""
    zero = splat(0.0, gate[0])
    if len(gate) == 1:
        return (zero,)
    return zero, zero, zero


@inline
def add_torque(
    torque: Amplitude, bra0: Amplitude, bra1: Amplitude, ket0: Amplitude, ket1: Amplitude
) -> Amplitude:
    """Add Re <bra| -i P |ket> of one pair, for P = X, Y, Z; for Y alone where gates are real.

    With bra = g O ket at the loss g <ket| O |ket>, the sum over all pairs is the derivative of the
    loss by the angle of one more rotation about P, see `rotations`.
    """
    b0, b1, k0, k1 = bra0, bra1, ket0, ket1
    if len(bra0) == 1:
        return (minus(plus(torque[0], b1[0], k0[0]), b0[0], k1[0]),)
    if len(torque) == 1:
        y = plus(plus(torque[0], b1[0], k0[0]), b1[1], k0[1])
        return (minus(minus(y, b0[0], k1[0]), b0[1], k1[1]),)
    x = minus(plus(torque[0], b0[0], k1[1]), b0[1], k1[0])
    y = plus(plus(torque[1], b1[0], k0[0]), b1[1], k0[1])
    z = minus(plus(torque[2], b0[0], k0[1]), b0[1], k0[0])
    return (
        minus(plus(x, b1[0], k0[1]), b1[1], k0[0]),
        minus(minus(y, b0[0], k1[0]), b0[1], k1[1]),
        plus(minus(z, b1[0], k1[1]), b1[1], k1[0]),
    )


@inline
def phase_torque(bra: Amplitude, ket: Amplitude) -> Any:
    """Re <bra| -i |ket> of one amplitude, lanes; with the signs of Z it adds up to Z's torque."""
    return minus(bra[0] * ket[1], bra[1], ket[0])


@inline
def load_torque(array: Any, gate: int, part: int, like: Amplitude) -> Any:
    """Part number `part` of the three that are kept of each gate's torque, lanes."""
    return load_lanes(array, (3 * gate + part) * lanes_in(like[0]), like[0])


@inline
def store_torque(array: Any, gate: int, torque: Amplitude) -> None:
    """Write the torque on gate number `gate`: about X, Y, Z in this order, or about Y alone."""
    start = 3 * gate * lanes_in(torque[0])
    if len(torque) == 1:
        store_lanes(array, start + lanes_in(torque[0]), torque[0])
    else:
        store_lanes(array, start, torque[0])
        store_lanes(array, start + lanes_in(torque[0]), torque[1])
        store_lanes(array, start + 2 * lanes_in(torque[0]), torque[2])


@inline
def book_torque(array: Any, gate: int, torque: Amplitude) -> None:
    """Add one block's torque: to sum all of a large state in a row would add up roundings."""
    y = load_torque(array, gate, 1, torque)
    if len(torque) == 1:
        store_torque(array, gate, (y + torque[0],))
    else:
        x, z = load_torque(array, gate, 0, torque), load_torque(array, gate, 2, torque)
        store_torque(array, gate, (x + torque[0], y + torque[1], z + torque[2]))
