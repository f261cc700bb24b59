"""Amplitudes in lanes, and what gates do to pairs of them.

An amplitude is a tuple: of one `Lanes` in a circuit of real gates, of two (real and imaginary part)
otherwise. Numba knows a tuple's length when it compiles, so each function below is two: `len` picks
the branch, and the other one leaves no trace. An argument `parts` is a tuple of that length whose
contents do not matter.

A gate is a rotation, up to a phase that no measurement sees: [[a, -b*], [b, a*]].
"""

from typing import Any

from hqgan.quantum.kernel.compiling import inline
from hqgan.quantum.kernel.lanes import load_lanes, splat, store_lanes
from hqgan.quantum.kernel.plan import LANES

Amplitude = tuple[Any, ...]


@inline
def load(array: Any, index: int, parts: Amplitude) -> Amplitude:
    """Amplitude number `index` of an array of them."""
    if len(parts) == 1:
        return (load_lanes(array, index * LANES),)
    return load_lanes(array, 2 * index * LANES), load_lanes(array, (2 * index + 1) * LANES)


@inline
def store(array: Any, index: int, x: Amplitude) -> None:
    """The opposite of `load`."""
    if len(x) == 1:
        store_lanes(array, index * LANES, x[0])
    else:
        store_lanes(array, 2 * index * LANES, x[0])
        store_lanes(array, (2 * index + 1) * LANES, x[1])


@inline
def scale(lanes: Any, x: Amplitude) -> Amplitude:
    """Real lanes times an amplitude."""
    if len(x) == 1:
        return (lanes * x[0],)
    return lanes * x[0], lanes * x[1]


@inline
def load_signed(array: Any, target: Any, sign: Any, x: int, parts: Amplitude) -> Amplitude:
    """What an entangler has moved from x to target[x] and multiplied by sign[x], taken back."""
    return scale(splat(sign[x]), load(array, target[x], parts))


@inline
def store_signed(array: Any, target: Any, sign: Any, x: int, value: Amplitude) -> None:
    """An amplitude of index x goes where the entangler sends it."""
    store(array, target[x], scale(splat(sign[x]), value))


@inline
def times(a: Amplitude, x: Amplitude) -> Amplitude:
    """a x."""
    if len(a) == 1:
        return (a[0] * x[0],)
    return a[0] * x[0] - a[1] * x[1], a[0] * x[1] + a[1] * x[0]


@inline
def turn(a: Amplitude, b: Amplitude, x: Amplitude, y: Amplitude) -> tuple[Amplitude, Amplitude]:
    """The gate on (x, y): (a x - b* y, b x + a* y), as chains of fused multiply-adds."""
    if len(a) == 1:
        return (a[0] * x[0] - b[0] * y[0],), (b[0] * x[0] + a[0] * y[0],)
    return (
        (
            a[0] * x[0] - a[1] * x[1] - b[0] * y[0] - b[1] * y[1],
            a[0] * x[1] + a[1] * x[0] - b[0] * y[1] + b[1] * y[0],
        ),
        (
            b[0] * x[0] - b[1] * x[1] + a[0] * y[0] + a[1] * y[1],
            b[0] * x[1] + b[1] * x[0] + a[0] * y[1] - a[1] * y[0],
        ),
    )


@inline
def inverse(a: Amplitude, b: Amplitude) -> tuple[Amplitude, Amplitude]:
    """The gate that undoes (a, b)."""
    if len(a) == 1:
        return a, (-b[0],)
    return (a[0], -a[1]), (-b[0], -b[1])


@inline
def no_torque(parts: Amplitude) -> Amplitude:
    """Zero, to start `add_torque` with."""
    zero = splat(0.0)
    if len(parts) == 1:
        return (zero,)
    return zero, zero, zero


@inline
def add_torque(
    torque: Amplitude, bra0: Amplitude, bra1: Amplitude, ket0: Amplitude, ket1: Amplitude
) -> Amplitude:
    """Add Re <bra| -i P |ket> of one pair, for P = X, Y, Z; for Y alone where all is real.

    With bra = g O ket at the loss g <ket| O |ket>, the sum over all pairs is the derivative of the
    loss by the angle of one more rotation about P, see `rotations`.
    """
    if len(torque) == 1:
        return (torque[0] + bra1[0] * ket0[0] - bra0[0] * ket1[0],)
    return (
        torque[0] + bra0[0] * ket1[1] - bra0[1] * ket1[0] + bra1[0] * ket0[1] - bra1[1] * ket0[0],
        torque[1] + bra1[0] * ket0[0] + bra1[1] * ket0[1] - bra0[0] * ket1[0] - bra0[1] * ket1[1],
        torque[2] + bra0[0] * ket0[1] - bra0[1] * ket0[0] - bra1[0] * ket1[1] + bra1[1] * ket1[0],
    )


@inline
def load_torque(array: Any, gate: int, parts: Amplitude) -> Amplitude:
    """The torque on gate number `gate`."""
    if len(parts) == 1:
        return (load_lanes(array, gate * LANES),)
    start = 3 * gate * LANES
    return (
        load_lanes(array, start),
        load_lanes(array, start + LANES),
        load_lanes(array, start + 2 * LANES),
    )


@inline
def store_torque(array: Any, gate: int, torque: Amplitude) -> None:
    """The opposite of `load_torque`."""
    if len(torque) == 1:
        store_lanes(array, gate * LANES, torque[0])
    else:
        store_lanes(array, 3 * gate * LANES, torque[0])
        store_lanes(array, (3 * gate + 1) * LANES, torque[1])
        store_lanes(array, (3 * gate + 2) * LANES, torque[2])


@inline
def book_torque(array: Any, gate: int, torque: Amplitude) -> None:
    """Add one block's torque: to sum all of a large state in a row would add up roundings."""
    known = load_torque(array, gate, torque)
    if len(torque) == 1:
        store_torque(array, gate, (known[0] + torque[0],))
    else:
        x, y, z = known[0] + torque[0], known[1] + torque[1], known[2] + torque[2]
        store_torque(array, gate, (x, y, z))


@inline
def squared_modulus(x: Amplitude) -> Any:
    """|x|^2, lanes."""
    if len(x) == 1:
        return x[0] * x[0]
    return x[0] * x[0] + x[1] * x[1]


@inline
def overlap(x: Amplitude, y: Amplitude) -> Any:
    """Re x* y, lanes."""
    if len(x) == 1:
        return x[0] * y[0]
    return x[0] * y[0] + x[1] * y[1]


@inline
def one(parts: Amplitude) -> Amplitude:
    """The amplitude 1."""
    if len(parts) == 1:
        return (splat(1.0),)
    return splat(1.0), splat(0.0)


@inline
def add_scaled(s: Amplitude, lanes: Any, x: Amplitude) -> Amplitude:
    """s + lanes x."""
    if len(x) == 1:
        return (s[0] + lanes * x[0],)
    return s[0] + lanes * x[0], s[1] + lanes * x[1]
