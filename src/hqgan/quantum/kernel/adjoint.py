"""A tile of samples, one in each lane, through the whole circuit and back: the adjoint method.

Forward keeps the final state alone. Backward starts from it (the ket) and from the state that the
loss sends back through the read-out (the bra), and undoes layer after layer on both; between them
lies, at each gate, its gradient. Memory does not grow with depth.

Jones and Gacon, arXiv 2009.02823.
"""

from typing import Any

from hqgan.quantum.kernel.amplitudes import Amplitude
from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.lanes import lanes_in
from hqgan.quantum.kernel.passes import layer, product_state, undo_layer, undo_product_state
from hqgan.quantum.kernel.phases import build_phases, phase_torques
from hqgan.quantum.kernel.plan import Plan
from hqgan.quantum.kernel.readout import (
    gradients_to_lanes,
    measure,
    measure_backward,
    results_from_lanes,
)
from hqgan.quantum.kernel.rotations import (
    build_gates,
    gradients_from_lanes,
    inputs_to_lanes,
    torques_to_gradients,
    weights_to_halves,
)
from hqgan.quantum.kernel.tables import floats_at


@inline
def entangler_after(
    program: Any, number: int, phases: Any, gate_like: Amplitude, like: Amplitude
) -> Any:
    """Targets, and signs or phases, of the entangler after layer `number`."""
    e = program.entangler[number]
    if len(gate_like) == len(like):
        return program.target[e], (program.sign[e],)
    size = 1 << program.qubits
    start = 2 * number * size
    real, imag = phases[start : start + size], phases[start + size : start + 2 * size]
    return program.target[e], (real, imag)


@inline
def gates_of(program: Any, gates: Any, number: int, gate_like: Amplitude, like: Amplitude) -> Any:
    """The gates of layer `number` > 0, behind those of the first layer, which may be complex."""
    lanes = lanes_in(like[0])
    layer_size = 2 * program.qubits * lanes
    return gates[layer_size * (len(like) + (number - 1) * len(gate_like)) :]


@inline
def phase_numbers(program: Any, gate_like: Amplitude, like: Amplitude) -> int:
    """Numbers in the tables of phases: none where gates are like the state."""
    if len(gate_like) == len(like):
        return 0
    return 2 * len(program.entangler) << program.qubits


@inline
def angles_in(program: Any, like: Amplitude) -> int:
    """Numbers in a table of all weights and constants, with room to store lanes at its end."""
    return program.weights + len(program.constants) + lanes_in(like[0])


@inline
def prepare_circuit(
    program: Any,
    batch: Any,
    circuit: int,
    cosines: Any,
    sines: Any,
    phases: Any,
    work: Any,
    like: Amplitude,
) -> None:
    """What depends on the weights alone: the cosines and sines of their halves, and the phases."""
    weights = floats_at(batch.weights, batch.circuits * program.weights)
    start = circuit * program.weights
    weights_to_halves(weights, start, program.constants, cosines, sines, like)
    if len(phases):
        build_phases(program, cosines, sines, phases, work)


@inline
def prepare_tile(
    program: Any,
    batch: Any,
    circuit: int,
    start: int,
    table: Any,
    cosines: Any,
    sines: Any,
    gates: Any,
    gate_like: Amplitude,
    like: Amplitude,
) -> int:
    """The inputs of samples `start` and on, and all gates; the number of inputs not finite."""
    own = min(circuit, batch.input_circuits - 1)
    inputs = floats_at(batch.inputs, batch.samples * batch.input_circuits * program.inputs)
    wrong: int = inputs_to_lanes(
        inputs, batch.samples, batch.input_circuits, own, start, program.inputs, table, like
    )
    qubits, count = program.qubits, len(program.chains) - 1
    build_gates(program, 0, qubits, table, cosines, sines, gates, like)
    others = gates_of(program, gates, 1, gate_like, like)
    build_gates(program, qubits, count, table, cosines, sines, others, gate_like)
    return wrong


@function
def run_tile(
    program: Any,
    gates: Any,
    phases: Any,
    work: Any,
    state: Any,
    gate_like: Amplitude,
    like: Amplitude,
    wide: Amplitude,
) -> None:
    """The final state of one tile, in `state`; `work` is overwritten."""
    qubits, layers = program.qubits, len(program.entangler)
    swaps = 0
    for number in range(1, layers):
        swaps += program.moves[program.entangler[number]]
    # Each entangler that moves amplitudes changes places: begin so that the last one ends right.
    here, there = state, work
    if swaps % 2 == 1:
        here, there = work, state
    entangler = entangler_after(program, 0, phases, gate_like, like)
    product_state(gates, qubits, there, here, entangler, like)
    for number in range(1, layers):
        entangler = entangler_after(program, number, phases, gate_like, like)
        own = gates_of(program, gates, number, gate_like, like)
        if program.moves[program.entangler[number]]:
            layer(own, qubits, program.groups, here, there, entangler, gate_like, like, wide)
            here, there = there, here
        else:
            layer(own, qubits, program.groups, here, here, entangler, gate_like, like, wide)


@function
def undo_tile(
    program: Any,
    gates: Any,
    phases: Any,
    states: Any,
    values: Any,
    torques: Any,
    gate_like: Amplitude,
    like: Amplitude,
    wide: Amplitude,
) -> None:
    """Write the torques on all gates; `states` begins with ket and bra, two more are work.

    `values`, for 2 x 2^Q lanes, is overwritten.
    """
    qubits = program.qubits
    amplitudes = lanes_in(like[0]) << qubits
    size = amplitudes * len(like)
    terms = values[:amplitudes], values[amplitudes:]
    ket, bra = states[:size], states[size : 2 * size]
    new_ket, new_bra = states[2 * size : 3 * size], states[3 * size : 4 * size]
    for number in range(len(program.entangler) - 1, -1, -1):
        entangler = entangler_after(program, number, phases, gate_like, like)
        phased = len(phases) > 0 and program.phased[number] > 0
        if number == 0:
            undo_product_state(
                gates, qubits, ket, bra, new_ket, new_bra, entangler, phased, terms, torques, like
            )
            phase_torques(program, number, phased, terms, torques, like)
            break
        moves = program.moves[program.entangler[number]]
        undo_layer(
            gates_of(program, gates, number, gate_like, like),
            number * qubits,
            qubits,
            program.groups,
            ket,
            bra,
            new_ket if moves else ket,
            new_bra if moves else bra,
            entangler,
            phased,
            terms,
            torques,
            gate_like,
            like,
            wide,
        )
        phase_torques(program, number, phased, terms, torques, like)
        if moves:
            ket, new_ket = new_ket, ket
            bra, new_bra = new_bra, bra


@function
def forward(
    program: Any,
    gate_like: Amplitude,
    like: Amplitude,
    wide: Amplitude,
    batch: Any,
    first: int,
    last: int,
    scratch_address: int,
    scratch_size: int,
    states_address: int,
    outputs_address: int,
) -> int:
    """Run tiles `first` to `last` - 1; tile t of circuit c is number c * tiles + t.

    Args:
        program: what to do (`Program`).
        gate_like, like: shapes of the gates after the first layer, and of an amplitude.
        wide: shape of what passes may take at once, see `passes`.
        batch: with what (`Batch`).
        first, last: range of tiles.
        scratch_address, scratch_size: of as many floats as `forward_scratch` says.
        states_address: of the final states, (C * tiles, state size); 0 if nobody wants them.
        outputs_address: of (B, C, outputs).

    Returns:
        The number of inputs that are not finite.
    """
    lanes = lanes_in(like[0])
    tiles = (batch.samples + lanes - 1) // lanes
    amplitudes = lanes << program.qubits
    size = amplitudes * len(like)
    outputs = floats_at(outputs_address, batch.samples * batch.circuits * program.outputs)
    states = floats_at(states_address, batch.circuits * tiles * size)
    scratch = floats_at(scratch_address, scratch_size)
    work, state = scratch[:size], scratch[size : 2 * size]
    values = scratch[2 * size : 2 * size + amplitudes]
    rest = scratch[2 * size + amplitudes :]
    results = rest[: program.outputs * lanes]
    rest = rest[len(results) :]
    table = rest[: 2 * program.inputs * lanes]
    rest = rest[len(table) :]
    cosines = rest[: angles_in(program, like)]
    rest = rest[len(cosines) :]
    sines = rest[: len(cosines)]
    rest = rest[len(sines) :]
    phases = rest[: phase_numbers(program, gate_like, like)]
    gates = rest[len(phases) :]
    wrong, ready = 0, -1
    for tile in range(first, last):
        c, start = tile // tiles, tile % tiles * lanes
        if c != ready:
            prepare_circuit(program, batch, c, cosines, sines, phases, work, like)
        ready = c
        wrong += prepare_tile(
            program, batch, c, start, table, cosines, sines, gates, gate_like, like
        )
        final = states[tile * size : (tile + 1) * size] if states_address else state
        run_tile(program, gates, phases, work, final, gate_like, like, wide)
        measure(program, final, values, results, like)
        results_from_lanes(results, batch.samples, batch.circuits, c, start, outputs, like)
    return wrong


@function
def backward(
    program: Any,
    gate_like: Amplitude,
    like: Amplitude,
    wide: Amplitude,
    batch: Any,
    first: int,
    last: int,
    scratch_address: int,
    scratch_size: int,
    states_address: int,
    gradient_address: int,
    input_gradient_address: int,
    weight_gradient_address: int,
) -> int:
    """Gradients of tiles `first` to `last` - 1; arguments not listed are those of `forward`.

    Args:
        scratch_address, scratch_size: of as many floats as `backward_scratch` says.
        states_address: of what `forward` kept; not changed.
        gradient_address: of (B, C, outputs).
        input_gradient_address: of (B, C, I), written, for every circuit its own part.
        weight_gradient_address: of (C * tiles, P + constants), written, every tile its own part.

    Returns:
        0.
    """
    lanes = lanes_in(like[0])
    tiles = (batch.samples + lanes - 1) // lanes
    amplitudes = lanes << program.qubits
    size = amplitudes * len(like)
    gates_in_all = len(program.chains) - 1
    slots = program.weights + len(program.constants)
    gradient = floats_at(gradient_address, batch.samples * batch.circuits * program.outputs)
    input_gradient = floats_at(
        input_gradient_address, batch.samples * batch.circuits * program.inputs
    )
    weight_gradient = floats_at(weight_gradient_address, batch.circuits * tiles * slots)
    finals = floats_at(states_address, batch.circuits * tiles * size)
    scratch = floats_at(scratch_address, scratch_size)
    states, rest = scratch[: 4 * size], scratch[4 * size :]
    values, rest = rest[: 2 * amplitudes], rest[2 * amplitudes :]
    gradients = rest[: program.outputs * lanes]
    rest = rest[len(gradients) :]
    table = rest[: 2 * program.inputs * lanes]
    rest = rest[len(table) :]
    by_input = rest[: program.inputs * lanes]
    rest = rest[len(by_input) :]
    torques = rest[: 3 * gates_in_all * lanes]
    rest = rest[len(torques) :]
    cosines = rest[: angles_in(program, like)]
    rest = rest[len(cosines) :]
    sines = rest[: len(cosines)]
    rest = rest[len(sines) :]
    phases = rest[: phase_numbers(program, gate_like, like)]
    gates = rest[len(phases) :]
    ready = -1
    for tile in range(first, last):
        c, start = tile // tiles, tile % tiles * lanes
        if c != ready:
            prepare_circuit(program, batch, c, cosines, sines, phases, states, like)
        ready = c
        prepare_tile(program, batch, c, start, table, cosines, sines, gates, gate_like, like)
        gradients_to_lanes(gradient, batch.samples, batch.circuits, c, start, gradients, like)
        final = finals[tile * size : (tile + 1) * size]
        ket, bra = states[:size], states[size : 2 * size]
        measure_backward(program, final, values, gradients, ket, bra, like)
        undo_tile(program, gates, phases, states, values, torques, gate_like, like, wide)
        by_weight = weight_gradient[tile * slots : (tile + 1) * slots]
        by_weight[:] = 0.0
        by_input[:] = 0.0
        torques_to_gradients(
            program, 0, program.qubits, table, cosines, sines, torques, by_input, by_weight, like
        )
        torques_to_gradients(
            program,
            program.qubits,
            gates_in_all,
            table,
            cosines,
            sines,
            torques,
            by_input,
            by_weight,
            gate_like,
        )
        gradients_from_lanes(
            by_input,
            batch.samples,
            batch.circuits,
            c,
            start,
            program.inputs,
            input_gradient,
            like,
        )
    return 0


def forward_scratch(made: Plan, lanes: int) -> int:
    """Floats that `forward` needs beside its results."""
    program, first, gate = made.program, len(made.like(lanes)), len(made.gate_like(lanes))
    size = 2**program.qubits
    phases = 2 * made.layers * size if gate < first else 0
    gates = 2 * program.qubits * (first + (made.layers - 1) * gate)
    in_lanes = (2 * first + 1) * size + program.outputs + 2 * program.inputs + gates
    angles = program.weights + len(program.constants) + lanes
    return lanes * in_lanes + phases + 2 * angles


def backward_scratch(made: Plan, lanes: int) -> int:
    """Floats that `backward` needs beside its results."""
    program = made.program
    torques = 3 * made.layers * program.qubits
    states = (2 * len(made.like(lanes)) + 1) * 2**program.qubits
    return forward_scratch(made, lanes) + lanes * (states + program.inputs + torques)
