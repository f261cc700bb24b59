"""What Python calls of the compiled code: functions of numbers alone, addresses among them.

To check and unpack an argument takes longer than to simulate a layer of 4 qubits: numbers are the
cheapest arguments there are.
"""

from collections.abc import Callable
from functools import cache

from hqgan.quantum.kernel.adjoint import backward, forward
from hqgan.quantum.kernel.compiling import entry
from hqgan.quantum.kernel.plan import Batch, Shape
from hqgan.quantum.kernel.tables import floats_at, program_at


@cache
def entries(
    gate_like: Shape, like: Shape, wide: Shape
) -> tuple[Callable[..., int], Callable[..., int]]:
    """`forward` and `backward` for one kind of circuit, compiled when they are first called.

    They take numbers alone: the address of the program, the parts of a `Batch`, and what the
    function takes after it.
    """

    @entry
    def forward_entry(
        program: int,
        samples: int,
        circuits: int,
        input_circuits: int,
        inputs: int,
        weights: int,
        first: int,
        last: int,
        scratch: int,
        scratch_size: int,
        states: int,
        outputs: int,
    ) -> int:
        batch = Batch(samples, circuits, input_circuits, inputs, weights)
        to = states, outputs
        given = program_at(program)
        return forward(given, gate_like, like, wide, batch, first, last, scratch, scratch_size, *to)

    @entry
    def backward_entry(
        program: int,
        samples: int,
        circuits: int,
        input_circuits: int,
        inputs: int,
        weights: int,
        first: int,
        last: int,
        scratch: int,
        scratch_size: int,
        states: int,
        gradient: int,
        by_input: int,
        by_weight: int,
    ) -> int:
        batch = Batch(samples, circuits, input_circuits, inputs, weights)
        to = states, gradient, by_input, by_weight
        given = program_at(program)
        return backward(
            given, gate_like, like, wide, batch, first, last, scratch, scratch_size, *to
        )

    return forward_entry, backward_entry


@entry
def add_up(
    parts_address: int, outer: int, terms: int, inner: int, kept: int, sums_address: int
) -> int:
    """Sums over the middle of (outer, terms, inner), of the first `kept` of each, in one order."""
    parts = floats_at(parts_address, outer * terms * inner)
    sums = floats_at(sums_address, outer * kept)
    for o in range(outer):
        for i in range(kept):
            sums[o * kept + i] = 0.0
        for t in range(terms):
            for i in range(kept):
                sums[o * kept + i] += parts[(o * terms + t) * inner + i]
    return 0
