"""From angles to gates, and from torques on gates to gradients of angles.

All rotations of one qubit between two entanglers are one gate: a chain of RX, RY, RZ, each with its
angle from an input (its own in each lane) or a weight (the same in all lanes; a constant is a
weight that nobody learns). A gate [[a, -b*], [b, a*]] is a unit quaternion (Re a, Im a, Re b, Im b)
and one more rotation turns two planes of it by half the angle.

Backward, the same picture turns around. Let T be the torque: the derivative of the loss by a last
small rotation about X, Y, Z. The derivative by the chain's last angle is T's component along its
axis. Seen from before that rotation, T is turned back by it, in one plane, by the whole angle; then
the next angle is due. A chain of rotations about one axis, as in real circuits, turns nothing.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import Amplitude, load_torque
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.lanes import lane_sum, load_lanes, splat, store_lanes
from hqgan.quantum.kernel.plan import FROM_INPUT, LANES, X, Y


@inline
def turn_plane(cosine: Any, sine: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """(x, y) turned towards x."""
    return cosine * x + sine * y, cosine * y - sine * x


@function
def angles_to_lanes(cosines: Any, sines: Any, start: int, table: Any) -> None:
    """Inputs (B, I) of samples `start` and on as lanes: for each, cosine and sine."""
    samples, inputs = cosines.shape
    for lane in range(LANES):
        for i in range(inputs):
            place = 2 * i * LANES + lane
            if start + lane < samples:
                table[place] = cosines[start + lane, i]
                table[place + LANES] = sines[start + lane, i]
            else:  # an odd batch: the last lanes run idle at angle 0
                table[place] = 1.0
                table[place + LANES] = 0.0


@inline
def half_angle(rotation: Any, table: Any, cosines: Any, sines: Any) -> tuple[Any, Any]:
    """Cosine and sine of half the angle of a rotation, in lanes."""
    slot = rotation[2]
    if rotation[1] == FROM_INPUT:
        return load_lanes(table, 2 * slot * LANES), load_lanes(table, (2 * slot + 1) * LANES)
    return splat(cosines[slot]), splat(sines[slot])


@function
def build_gates(
    rotations: Any, chains: Any, table: Any, cosines: Any, sines: Any, gates: Any, parts: Amplitude
) -> None:
    """Multiply each chain out; rotations k of gate g are those from chains[g] to chains[g + 1]."""
    for gate in range(len(chains) - 1):
        start = 2 * len(parts) * gate * LANES
        if len(parts) == 1:
            real_a, real_b = splat(1.0), splat(0.0)
            for k in range(chains[gate], chains[gate + 1]):
                c, s = half_angle(rotations[k], table, cosines, sines)
                real_b, real_a = turn_plane(c, s, real_b, real_a)
            store_lanes(gates, start, real_a)
            store_lanes(gates, start + LANES, real_b)
        else:
            ar, ai, br, bi = splat(1.0), splat(0.0), splat(0.0), splat(0.0)
            for k in range(chains[gate], chains[gate + 1]):
                c, s = half_angle(rotations[k], table, cosines, sines)
                if rotations[k, 0] == X:
                    ar, bi = turn_plane(c, s, ar, bi)
                    br, ai = turn_plane(c, s, br, ai)
                elif rotations[k, 0] == Y:
                    br, ar = turn_plane(c, s, br, ar)
                    bi, ai = turn_plane(c, s, bi, ai)
                else:
                    ar, ai = turn_plane(c, s, ar, ai)
                    bi, br = turn_plane(c, s, bi, br)
            store_lanes(gates, start, ar)
            store_lanes(gates, start + LANES, ai)
            store_lanes(gates, start + 2 * LANES, br)
            store_lanes(gates, start + 3 * LANES, bi)


@inline
def add_gradient(rotation: Any, torque: Any, by_input: Any, by_weight: Any) -> None:
    """Book the derivative by one angle: lane by lane for an input, summed up for a weight."""
    slot = rotation[2]
    if rotation[1] == FROM_INPUT:
        store_lanes(by_input, slot * LANES, load_lanes(by_input, slot * LANES) + torque)
    else:
        by_weight[slot] += lane_sum(torque)


@function
def torques_to_gradients(
    rotations: Any,
    chains: Any,
    table: Any,
    cosines: Any,
    sines: Any,
    torques: Any,
    by_input: Any,
    by_weight: Any,
    parts: Amplitude,
) -> None:
    """Walk each chain backward; adds to `by_input` (lanes) and `by_weight` (one per weight)."""
    for gate in range(len(chains) - 1):
        torque = load_torque(torques, gate, parts)
        if len(parts) == 1:
            for k in range(chains[gate], chains[gate + 1]):
                add_gradient(rotations[k], torque[0], by_input, by_weight)
        else:
            x, y, z = torque
            for k in range(chains[gate + 1] - 1, chains[gate] - 1, -1):
                c, s = half_angle(rotations[k], table, cosines, sines)
                cosine, sine = c * c - s * s, c * s + c * s
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
def gradients_from_lanes(by_input: Any, start: int, gradient: Any) -> None:
    """Write the lanes of samples `start` and on to their rows of `gradient` (B, I)."""
    samples, inputs = gradient.shape
    for lane in range(min(LANES, samples - start)):
        for i in range(inputs):
            gradient[start + lane, i] = by_input[i * LANES + lane]
