"""A tile of 16 samples through the whole circuit and back: the adjoint method.

Forward keeps the final state alone. Backward starts from it (the ket) and from the state that the
loss sends back through the read-out (the bra), and undoes layer after layer on both; between them
lies, at each gate, its gradient. Memory does not grow with depth.

Jones and Gacon, arXiv 2009.02823.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import Amplitude
from hqgan.quantum.kernel.compiling import entry, function
from hqgan.quantum.kernel.passes import layer, product_state, undo_layer, undo_product_state
from hqgan.quantum.kernel.plan import LANES
from hqgan.quantum.kernel.readout import (
    gradients_to_lanes,
    measure,
    measure_backward,
    results_from_lanes,
)
from hqgan.quantum.kernel.rotations import (
    angles_to_lanes,
    build_gates,
    gradients_from_lanes,
    torques_to_gradients,
)


@function
def run_tile(
    program: Any, qubits: int, gates: Any, work: Any, state: Any, parts: Amplitude
) -> None:
    """The final state of one tile, in `state`; `work` is overwritten."""
    layers = len(program.entangler)
    swaps = 0
    for number in range(1, layers):
        swaps += program.moves[program.entangler[number]]
    # Each entangler that moves amplitudes changes places: begin so that the last one ends right.
    here, there = state, work
    if swaps % 2 == 1:
        here, there = work, state
    e = program.entangler[0]
    product_state(gates, qubits, there, here, program.target[e], program.sign[e], parts)
    for number in range(1, layers):
        e = program.entangler[number]
        target, sign = program.target[e], program.sign[e]
        first_gate = number * qubits
        if program.moves[e]:
            layer(gates, first_gate, qubits, program.groups, here, there, target, sign, parts)
            here, there = there, here
        else:
            layer(gates, first_gate, qubits, program.groups, here, here, target, sign, parts)


@entry
def forward(
    program: Any,
    qubits: int,
    parts: Amplitude,
    cosines: Any,
    sines: Any,
    weight_cosines: Any,
    weight_sines: Any,
    first: int,
    last: int,
    scratch: Any,
    keep: bool,
    states: Any,
    outputs: Any,
) -> None:
    """Run tiles `first` to `last` - 1; tile t of circuit c is number c * tiles + t.

    Args:
        program: what to do (`Program`).
        qubits: Q.
        parts: a tuple as long as an amplitude has parts.
        cosines, sines: (C or 1, B, I) of half the inputs.
        weight_cosines, weight_sines: (C, P + constants) of half the weights.
        first, last: range of tiles.
        scratch: floats, as many as `forward_scratch` says, aligned as lanes.
        keep: whether to write `states`.
        states: (C * tiles, state size), the final states.
        outputs: (C, B, outputs).
    """
    samples, inputs = cosines.shape[1], cosines.shape[2]
    tiles = (samples + LANES - 1) // LANES
    amplitudes = LANES << qubits
    size = amplitudes * len(parts)
    work, state = scratch[:size], scratch[size : 2 * size]
    values = scratch[2 * size : 2 * size + amplitudes]
    rest = scratch[2 * size + amplitudes :]
    results = rest[: outputs.shape[2] * LANES]
    rest = rest[len(results) :]
    table = rest[: 2 * inputs * LANES]
    gates = rest[len(table) :]
    for tile in range(first, last):
        c, start = tile // tiles, tile % tiles * LANES
        own = min(c, cosines.shape[0] - 1)
        angles_to_lanes(cosines[own], sines[own], start, table)
        build_gates(
            program.rotations,
            program.chains,
            table,
            weight_cosines[c],
            weight_sines[c],
            gates,
            parts,
        )
        final = states[tile] if keep else state
        run_tile(program, qubits, gates, work, final, parts)
        measure(program, qubits, final, values, results, parts)
        results_from_lanes(results, start, outputs[c])


@entry
def backward(
    program: Any,
    qubits: int,
    parts: Amplitude,
    cosines: Any,
    sines: Any,
    weight_cosines: Any,
    weight_sines: Any,
    first: int,
    last: int,
    scratch: Any,
    states: Any,
    gradient: Any,
    input_gradient: Any,
    weight_gradient: Any,
) -> None:
    """Gradients of tiles `first` to `last` - 1; arguments not listed are those of `forward`.

    Args:
        scratch: floats, as many as `backward_scratch` says, aligned as lanes.
        states: what `forward` kept; not changed.
        gradient: (C, B, outputs).
        input_gradient: (C, B, I), written, for every circuit its own part.
        weight_gradient: (C * tiles, P + constants), written, for every tile its own part.
    """
    samples, inputs = cosines.shape[1], cosines.shape[2]
    tiles = (samples + LANES - 1) // LANES
    amplitudes = LANES << qubits
    size = amplitudes * len(parts)
    values = scratch[4 * size : 4 * size + amplitudes]
    rest = scratch[4 * size + amplitudes :]
    gradients = rest[: gradient.shape[2] * LANES]
    rest = rest[len(gradients) :]
    table = rest[: 2 * inputs * LANES]
    rest = rest[len(table) :]
    by_input = rest[: inputs * LANES]
    rest = rest[len(by_input) :]
    gates = rest[: 2 * (len(program.chains) - 1) * len(parts) * LANES]
    torques = rest[len(gates) :]
    for tile in range(first, last):
        c, start = tile // tiles, tile % tiles * LANES
        own = min(c, cosines.shape[0] - 1)
        angles_to_lanes(cosines[own], sines[own], start, table)
        build_gates(
            program.rotations,
            program.chains,
            table,
            weight_cosines[c],
            weight_sines[c],
            gates,
            parts,
        )
        ket, bra = scratch[:size], scratch[size : 2 * size]
        new_ket, new_bra = scratch[2 * size : 3 * size], scratch[3 * size : 4 * size]
        gradients_to_lanes(gradient[c], start, gradients)
        measure_backward(program, qubits, states[tile], values, gradients, ket, bra, parts)
        for number in range(len(program.entangler) - 1, 0, -1):
            e = program.entangler[number]
            moves = program.moves[e]
            undo_layer(
                gates,
                number * qubits,
                qubits,
                program.groups,
                ket,
                bra,
                new_ket if moves else ket,
                new_bra if moves else bra,
                program.target[e],
                program.sign[e],
                torques,
                parts,
            )
            if moves:
                ket, new_ket = new_ket, ket
                bra, new_bra = new_bra, bra
        e = program.entangler[0]
        target, sign = program.target[e], program.sign[e]
        undo_product_state(gates, qubits, ket, bra, new_ket, new_bra, target, sign, torques, parts)
        for place in range(len(by_input)):
            by_input[place] = 0.0
        for slot in range(weight_gradient.shape[1]):
            weight_gradient[tile, slot] = 0.0
        torques_to_gradients(
            program.rotations,
            program.chains,
            table,
            weight_cosines[c],
            weight_sines[c],
            torques,
            by_input,
            weight_gradient[tile],
            parts,
        )
        gradients_from_lanes(by_input, start, input_gradient[c])


def forward_scratch(parts: int, qubits: int, layers: int, inputs: int, outputs: int) -> int:
    """Floats that `forward` needs beside its results."""
    gates = 2 * layers * qubits * parts
    return LANES * ((2 * parts + 1) * 2**qubits + outputs + 2 * inputs + gates)


def backward_scratch(parts: int, qubits: int, layers: int, inputs: int, outputs: int) -> int:
    """Floats that `backward` needs beside its results."""
    torques = layers * qubits * (1 if parts == 1 else 3)
    forward = forward_scratch(parts, qubits, layers, inputs, outputs)
    return forward + LANES * (2 * parts * 2**qubits + inputs + torques)
