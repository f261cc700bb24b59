"""From angles to gates, and from torques on gates to gradients of angles.

All rotations of one qubit between two entanglers are one gate: a chain of RX, RY, RZ, each with its
angle from an input (its own in each lane) or a weight (the same in all lanes; a constant is a
weight that nobody learns). A gate [[a, -b*], [b, a*]] is a unit quaternion (Re a, Im a, Re b, Im b)
and one more rotation turns two planes of it by half the angle.

Backward, the same picture turns around. Let T be the torque: the derivative of the loss by a last
small rotation about X, Y, Z. The derivative by the chain's last angle is T's component along its
axis. Seen from before that rotation, T is turned back by it, in one plane, by the whole angle; then
the next angle is due.

A real gate's chain is RZ ... RY ... RZ ..., of which the gate is the RYs (`plan.BEFORE`, `Y`,
`AFTER`). Rotations about one axis turn no other's torque, so each part has its torque as it stands.
"""

import math
from typing import Any

import numpy as np

from hqgan.quantum.kernel.amplitudes import Amplitude, load_torque
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.lanes import (
    lane_sum,
    lanes_in,
    load_lanes,
    minus,
    multiply_add_exactly,
    nearest,
    plus,
    sign_of,
    splat,
    store_lanes,
)
from hqgan.quantum.kernel.plan import FROM_INPUT, X, Y

LARGE = 1e4  # radians; beyond, a float32 is known to few digits, and half turns are too many
PI_HIGH = float(np.float32(math.pi))
PI_LOW = math.pi - PI_HIGH
COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(7, -1, -1))
SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(7, -1, -1))


@inline
def turn_plane(cosine: Any, sine: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """(x, y) turned towards x."""
    return plus(cosine * x, sine, y), minus(cosine * y, sine, x)


@inline
def moderate(angle: Any) -> Any:
    """The angle, less full turns of the gate if it is large; NaN if it is not finite."""
    if -LARGE < angle < LARGE:
        return angle
    return np.float32(float(angle) % (4 * math.pi))


@inline
def cosine_and_sine_of_half(angle: Any) -> tuple[Any, Any]:
    """Cosine and sine of half a `moderate` angle, lanes, up to a sign that both share.

    The angle is brought to [-pi, pi] by full turns. Each turns the sign of both, which is a phase
    of the gate that no measurement sees. There Taylor's series are exact in float32.
    """
    turns = nearest(angle * splat(1 / (2 * math.pi), angle))
    h = multiply_add_exactly(turns, splat(-PI_HIGH, angle), angle * splat(0.5, angle))
    h = multiply_add_exactly(turns, splat(-PI_LOW, angle), h)
    hh = h * h
    cosine, sine = splat(0.0, angle), splat(0.0, angle)
    for k in range(len(COSINE)):
        cosine = plus(splat(COSINE[k], angle), cosine, hh)
        sine = plus(splat(SINE[k], angle), sine, hh)
    return cosine, sine * h


@function
def inputs_to_lanes(
    angles: Any,
    samples: int,
    circuits: int,
    circuit: int,
    start: int,
    inputs: int,
    table: Any,
    like: Amplitude,
) -> int:
    """Angles (B, C, I) of samples `start` and on to a table in lanes: cosine and sine of each half.

    Returns the number of angles that are not finite.
    """
    lanes = lanes_in(like[0])
    wrong = 0
    for i in range(inputs):
        place = 2 * i * lanes
        for lane in range(lanes):
            angle = np.float32(0.0)  # an odd batch: the last lanes run idle
            if start + lane < samples:
                angle = moderate(angles[((start + lane) * circuits + circuit) * inputs + i])
                wrong += angle != angle
            table[place + lane] = angle
        cosine, sine = cosine_and_sine_of_half(load_lanes(table, place, like[0]))
        store_lanes(table, place, cosine)
        store_lanes(table, place + lanes, sine)
    return wrong


@function
def weights_to_halves(
    angles: Any, start: int, constants: Any, cosines: Any, sines: Any, like: Amplitude
) -> None:
    """Cosines and sines of half the weights from `start` on, and of half the constants.

    `cosines` and `sines` end with room for a register of lanes.
    """
    lanes = lanes_in(like[0])
    count = len(cosines) - lanes - len(constants)
    for slot in range(count):
        cosines[slot] = moderate(angles[start + slot])
    for slot in range(len(constants)):
        cosines[count + slot] = constants[slot]
    for slot in range(0, count + len(constants), lanes):
        cosine, sine = cosine_and_sine_of_half(load_lanes(cosines, slot, like[0]))
        store_lanes(cosines, slot, cosine)
        store_lanes(sines, slot, sine)


@inline
def half_angle(
    rotation: Any, table: Any, cosines: Any, sines: Any, like: Amplitude
) -> tuple[Any, Any]:
    """Cosine and sine of half the angle of a rotation, in lanes."""
    slot, lanes = rotation[2], lanes_in(like[0])
    if rotation[1] == FROM_INPUT:
        start = 2 * slot * lanes
        return load_lanes(table, start, like[0]), load_lanes(table, start + lanes, like[0])
    return splat(cosines[slot], like[0]), splat(sines[slot], like[0])


@inline
def shears(cosine: Any, sine: Any) -> tuple[Any, Any]:
    """tan(h / 2) and sin(h) for an angle h, or for h + pi, the same gate, if it is the smaller."""
    sign = sign_of(cosine)
    return sine * sign / plus(splat(1.0, cosine), cosine, sign), sine * sign


@function
def build_gates(
    program: Any,
    first: int,
    last: int,
    table: Any,
    cosines: Any,
    sines: Any,
    gates: Any,
    like: Amplitude,
) -> None:
    """Multiply out the chains of gates `first` to `last` - 1; the first goes to gates[0].

    Real gates of the first layer are (cosine, sine), later ones as `turn` wants them.
    """
    lanes = lanes_in(like[0])
    for gate in range(first, last):
        start = 2 * len(like) * (gate - first) * lanes
        chain = range(program.chains[gate], program.chains[gate + 1])
        if len(like) == 1:
            real_a, real_b = splat(1.0, like[0]), splat(0.0, like[0])
            for k in chain:
                if program.rotations[k, 0] == Y:
                    c, s = half_angle(program.rotations[k], table, cosines, sines, like)
                    real_b, real_a = turn_plane(c, s, real_b, real_a)
            if first > 0:
                real_a, real_b = shears(real_a, real_b)
            store_lanes(gates, start, real_a)
            store_lanes(gates, start + lanes, real_b)
        else:
            ar, ai = splat(1.0, like[0]), splat(0.0, like[0])
            br, bi = ai, ai
            for k in chain:
                c, s = half_angle(program.rotations[k], table, cosines, sines, like)
                if program.rotations[k, 0] == X:
                    ar, bi = turn_plane(c, s, ar, bi)
                    br, ai = turn_plane(c, s, br, ai)
                elif program.rotations[k, 0] == Y:
                    br, ar = turn_plane(c, s, br, ar)
                    bi, ai = turn_plane(c, s, bi, ai)
                else:
                    ar, ai = turn_plane(c, s, ar, ai)
                    bi, br = turn_plane(c, s, bi, br)
            store_lanes(gates, start, ar)
            store_lanes(gates, start + lanes, ai)
            store_lanes(gates, start + 2 * lanes, br)
            store_lanes(gates, start + 3 * lanes, bi)


@inline
def add_gradient(rotation: Any, torque: Any, by_input: Any, by_weight: Any) -> None:
    """Book the derivative by one angle: lane by lane for an input, summed up for a weight."""
    slot = rotation[2]
    if rotation[1] == FROM_INPUT:
        start = slot * lanes_in(torque)
        store_lanes(by_input, start, load_lanes(by_input, start, torque) + torque)
    else:
        by_weight[slot] += lane_sum(torque)


@function
def torques_to_gradients(
    program: Any,
    first: int,
    last: int,
    table: Any,
    cosines: Any,
    sines: Any,
    torques: Any,
    by_input: Any,
    by_weight: Any,
    like: Amplitude,
) -> None:
    """Walk the chains of gates `first` to `last` - 1 backward, with the torques of all gates.

    Adds to `by_input` (lanes) and `by_weight` (one per weight).
    """
    rotations = program.rotations
    for gate in range(first, last):
        start, stop = program.chains[gate], program.chains[gate + 1]
        if len(like) == 1:
            for k in range(start, stop):
                torque = load_torque(torques, gate, rotations[k, 0], like)
                add_gradient(rotations[k], torque, by_input, by_weight)
        else:
            x = load_torque(torques, gate, 0, like)
            y = load_torque(torques, gate, 1, like)
            z = load_torque(torques, gate, 2, like)
            for k in range(stop - 1, start - 1, -1):
                c, s = half_angle(rotations[k], table, cosines, sines, like)
                cosine, sine = minus(c * c, s, s), plus(c * s, c, s)
                if rotations[k, 0] == X:
                    add_gradient(rotations[k], x, by_input, by_weight)
                    y, z = turn_plane(cosine, sine, y, z)
                elif rotations[k, 0] == Y:
                    add_gradient(rotations[k], y, by_input, by_weight)
                    z, x = turn_plane(cosine, sine, z, x)
                else:
                    add_gradient(rotations[k], z, by_input, by_weight)
                    x, y = turn_plane(cosine, sine, x, y)


@function
def gradients_from_lanes(
    by_input: Any,
    samples: int,
    circuits: int,
    circuit: int,
    start: int,
    inputs: int,
    gradient: Any,
    like: Amplitude,
) -> None:
    """Write the lanes of samples `start` and on to their places in `gradient` (B, C, I)."""
    lanes = lanes_in(like[0])
    for lane in range(min(lanes, samples - start)):
        for i in range(inputs):
            place = ((start + lane) * circuits + circuit) * inputs + i
            gradient[place] = by_input[i * lanes + lane]
