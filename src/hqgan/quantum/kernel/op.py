"""The kernel as a torch operator: `hqgan::circuit` and its backward pass.

Registered with autograd and shape functions, so that torch.compile, DDP and autocast see an
ordinary operator. Operators take tensors and numbers only: a circuit is named by `Plan.key`, which
is the same in every process.
"""

import itertools
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hqgan.quantum.circuit import Circuit, Probabilities
from hqgan.quantum.kernel import adjoint, entries
from hqgan.quantum.kernel.compiling import announced_if_slow
from hqgan.quantum.kernel.plan import (
    NARROW,
    NARROWEST,
    WIDE,
    Batch,
    Plan,
    addresses,
    plan,
)
from hqgan.quantum.kernel.threads import add_up_in_threads
from hqgan.quantum.statevector import batch_first, simulate

ONE_THREAD = 4e5
"""Nanoseconds of work for one more thread: with less, waking it costs more than it saves."""
FORWARD_NS, BACKWARD_NS = 0.7, 2.0
"""Measured time of one number in 16 lanes, qubit and layer on one AVX-512 core."""
FEW, LARGE = 8, 13
"""Samples up to which wide lanes would run idle, and qubits from which short amplitudes pay: more
tiles for more threads, and passes take several amplitudes at once anyway."""
KEPT_SCRATCH = 2**27
"""Floats of scratch memory (512 MiB) that a thread keeps between calls, to save page faults."""

_compiled: set[Callable[..., int]] = set()


class _Prepared:
    """A plan with what is the same at each call; `setups` by number of lanes."""

    def __init__(self, made: Plan):
        self.plan = made
        self.setups = {lanes: _Setup(made, lanes) for lanes in (WIDE, NARROW, NARROWEST)}


class _Setup:
    """Arguments of the compiled code that depend on the number of lanes alone."""

    def __init__(self, made: Plan, lanes: int):
        self.lanes = lanes
        self.forward, self.backward = entries.entries(
            made.gate_like(lanes), made.like(lanes), made.wide(lanes)
        )
        self.alive = made.program_for(lanes)
        self.addresses = addresses(self.alive)
        self.program = self.addresses.ctypes.data
        self.state_size = made.state_size(lanes)
        self.forward_scratch = adjoint.forward_scratch(made, lanes)
        self.backward_scratch = adjoint.backward_scratch(made, lanes)
        self.work = made.state_size(lanes) / WIDE * made.circuit.qubits * made.layers


_prepared: dict[int, _Prepared] = {}


def lanes_for(samples: int, qubits: int) -> int:
    """Samples that are simulated at once in a batch of so many."""
    if samples <= FEW // 2 and qubits >= LARGE + 4:
        return NARROWEST
    return NARROW if samples <= (FEW if qubits < LARGE else 2 * FEW) else WIDE


class FusedCircuit:
    """A circuit without `misfit`, on a CPU in float32.

    Called with inputs and weights (C, P) in radians; shapes are those of `QuantumLayer`: for C = 1
    inputs (..., I) to (..., outputs), else inputs (B, C, I) or (B, I) to (B, C, outputs).

    Args:
        circuit: Q qubits, I inputs, P weights.
        twice: where a second derivative is asked for, differentiate the plain torch path instead
            of refusing.

    Raises:
        ValueError: for angles that are not finite.

    Cost:
        Time O(C B 2^Q Q L); memory for the final state of each sample, rounded up to full lanes,
        and a few states per thread.
    """

    def __init__(self, circuit: Circuit, twice: bool):
        self.circuit = circuit
        self.twice = twice
        self.readout = circuit.readout
        if isinstance(self.readout, Probabilities):
            # Conditions are left to torch: the kernel gives the joint distribution.
            wires = tuple(sorted(self.readout.wires + self.readout.ancillas))
            circuit = replace(circuit, readout=Probabilities(wires))
        made = plan(circuit)
        self.key = made.key
        if self.key not in _prepared:
            _prepared[self.key] = _Prepared(made)

    def __reduce__(self) -> tuple[type["FusedCircuit"], tuple[Circuit, bool]]:
        return FusedCircuit, (self.circuit, self.twice)  # so that another process knows the key

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        keep = torch.is_grad_enabled() and (inputs.requires_grad or weights.requires_grad)
        if type(inputs) is Tensor and not torch.compiler.is_compiling():
            values: Tensor = _Eager.apply(inputs, weights, self.key, keep, self.twice)
        else:
            values, _ = circuit_operator(inputs, weights, self.key, keep, self.twice)
        if isinstance(self.readout, Probabilities) and self.readout.ancillas:
            return _conditional(values, self.readout)
        return values

    def bytes_needed(self, samples: int, circuits: int, differentiated: bool) -> int:
        """Memory for a batch: what is kept for a backward pass, and the work of all threads."""
        setup = _prepared[self.key].setups[lanes_for(samples, self.circuit.qubits)]
        tiles = circuits * -(-samples // setup.lanes)
        threads = min(tiles, torch.get_num_threads())
        if not differentiated:
            return 4 * threads * setup.forward_scratch
        return 4 * (tiles * setup.state_size + threads * setup.backward_scratch)


def _conditional(values: Tensor, readout: Probabilities) -> Tensor:
    """Joint probabilities of wires and ancillas to those of the wires, given all ancillas at 0."""
    wires = sorted(readout.wires + readout.ancillas)
    joint = values.unflatten(-1, (2,) * len(wires))
    for ancilla in reversed(readout.ancillas):
        joint = joint.select(values.ndim - 1 + wires.index(ancilla), 0)
    kept = joint.flatten(values.ndim - 1)
    # Zeros, not NaN, where the ancillas are never 0; as in the plain path.
    return kept / kept.sum(-1, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)


def _run(
    inputs: Tensor, weights: Tensor, key: int, keep: bool, twice: bool
) -> tuple[Tensor, Tensor]:
    """Outputs, and the final states for the backward pass if `keep`."""
    return _Call(_prepared[key], inputs, weights).forward(keep)


def _run_backward(
    gradient: Tensor, states: Tensor, inputs: Tensor, weights: Tensor, key: int
) -> tuple[Tensor, Tensor]:
    """Gradients by the inputs and by the weights, from what `_run` kept."""
    return _Call(_prepared[key], inputs, weights).backward(gradient, states)


circuit_operator = torch.library.custom_op(
    "hqgan::circuit", _run, mutates_args=(), device_types="cpu"
)
backward_operator = torch.library.custom_op(
    "hqgan::circuit_backward", _run_backward, mutates_args=(), device_types="cpu"
)


def _output_shape(inputs: torch.Size, circuits: int, outputs: int) -> tuple[int, ...]:
    if circuits == 1:
        return (*inputs[:-1], outputs)
    return inputs[0], circuits, outputs


@circuit_operator.register_fake
def _(inputs: Tensor, weights: Tensor, key: int, keep: bool, twice: bool) -> tuple[Tensor, Tensor]:
    made = _prepared[key].plan
    circuits = weights.shape[0]
    samples = inputs.shape[:-1].numel() if circuits == 1 else inputs.shape[0]
    lanes = lanes_for(samples, made.circuit.qubits)
    rows = circuits * ((samples + lanes - 1) // lanes) if keep else 0
    return (
        inputs.new_empty(_output_shape(inputs.shape, circuits, made.circuit.outputs)),
        inputs.new_empty(rows, made.state_size(lanes)),
    )


@backward_operator.register_fake
def _(
    gradient: Tensor, states: Tensor, inputs: Tensor, weights: Tensor, key: int
) -> tuple[Tensor, Tensor]:
    return inputs.new_empty(inputs.shape), weights.new_empty(weights.shape)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    angles, weights, ctx.key, _, ctx.twice = inputs
    ctx.save_for_backward(angles, weights, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, gradient: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    if gradient is None:
        return (None,) * 5
    angles, weights, states = ctx.saved_tensors
    if torch.is_grad_enabled():
        return _twice_differentiable(ctx, angles, weights, gradient)
    return *backward_operator(gradient, states, angles, weights, ctx.key), None, None, None


def _twice_differentiable(
    ctx: Any, angles: Tensor, weights: Tensor, gradient: Tensor
) -> tuple[Any, ...]:
    """The gradients as functions of all that they depend on, from the plain path."""
    if not ctx.twice:
        raise RuntimeError(
            "diff_method='fused' differentiates once, but a second derivative was asked for "
            "(create_graph=True): use diff_method='auto' or 'backprop'"
        )
    values = batch_first(simulate, _prepared[ctx.key].plan.circuit, angles, weights)
    pairs = zip((angles, weights), ctx.needs_input_grad, strict=False)
    wanted = [part for part, needed in pairs if needed]
    found = iter(
        torch.autograd.grad(values, wanted, gradient, create_graph=True, materialize_grads=True)
    )
    by_both = [next(found) if needed else None for needed in ctx.needs_input_grad[:2]]
    return *by_both, None, None, None


circuit_operator.register_autograd(_backward, setup_context=_keep_for_backward)


class _Eager(torch.autograd.Function):
    """The operator without torch's dispatcher, which takes longer than a circuit of 4 qubits."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        # Not by `setup_context`: torch then inspects the signature at each call.
        inputs, weights, ctx.key, keep, ctx.twice = arguments
        ctx.call = _Call(_prepared[ctx.key], inputs, weights)
        outputs: Tensor
        outputs, ctx.states = ctx.call.forward(keep)
        ctx.save_for_backward(inputs, weights)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        inputs, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _twice_differentiable(ctx, inputs, weights, gradients[0])
        return *ctx.call.backward(gradients[0], ctx.states), None, None, None


class _Call:
    """One call: its tensors, and what they are for the compiled code."""

    def __init__(self, prepared: _Prepared, inputs: Tensor, weights: Tensor):
        self.inputs, self.weights = inputs.contiguous(), weights.contiguous()
        self.program = prepared.plan.program
        circuits, shape = weights.shape[0], inputs.shape
        samples = shape[:-1].numel() if circuits == 1 else shape[0]
        input_circuits = circuits if len(shape) == 3 else 1
        self.out_shape = _output_shape(shape, circuits, self.program.outputs)
        addresses = self.inputs.data_ptr(), self.weights.data_ptr()
        self.batch = Batch(samples, circuits, min(circuits, input_circuits), *addresses)
        self.setup = prepared.setups[lanes_for(samples, self.program.qubits)]
        self.tiles = -(-samples // self.setup.lanes)

    def forward(self, keep: bool) -> tuple[Tensor, Tensor]:
        """See `_run`."""
        setup = self.setup
        outputs = _floats(self.out_shape)
        states = _floats((self.batch.circuits * self.tiles if keep else 0, setup.state_size))
        to = states.data_ptr(), outputs.data_ptr()
        if self.in_threads(setup.forward, setup.forward_scratch, FORWARD_NS, *to):
            wrong = int((~self.inputs.isfinite()).sum())
            raise ValueError(f"{wrong} of {self.inputs.numel()} angles are NaN or infinite")
        return outputs, states

    def backward(self, gradient: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """See `_run_backward`."""
        gradient = gradient.contiguous()
        samples, circuits, tiles = self.batch.samples, self.batch.circuits, self.tiles
        inputs, weights = self.program.inputs, self.program.weights
        slots = weights + len(self.program.constants)
        by_input = _floats(self.inputs.shape)
        by_weight = _floats(self.weights.shape)
        shared = self.batch.input_circuits < circuits
        by_circuit = _floats((samples, circuits, inputs)) if shared else by_input
        by_tile = _floats((circuits, tiles, slots))
        to = gradient.data_ptr(), by_circuit.data_ptr(), by_tile.data_ptr()
        size = self.setup.backward_scratch
        self.in_threads(self.setup.backward, size, BACKWARD_NS, states.data_ptr(), *to)
        if shared:
            sums = by_input.data_ptr()
            entries.add_up(by_circuit.data_ptr(), samples, circuits, inputs, inputs, sums)
        sums = by_weight.data_ptr()
        entries.add_up(by_tile.data_ptr(), circuits, tiles, slots, weights, sums)
        return by_input, by_weight

    def in_threads(
        self, run: Callable[..., int], scratch: int, nanoseconds: float, *to: int
    ) -> int:
        """Run all tiles, on several threads if there is work for them, and add up the results."""
        setup, tiles = self.setup, self.batch.circuits * self.tiles
        wanted = 1 + int(tiles * setup.work * nanoseconds / ONE_THREAD)
        threads = 1 if wanted == 1 else max(1, min(torch.get_num_threads(), tiles, wanted))

        def part(first: int, last: int) -> int:
            work = _scratch(scratch)  # a name that keeps it alive
            return run(setup.program, *self.batch, first, last, work.data_ptr(), scratch, *to)

        # A call of a kind not met in this process may have to be compiled.
        with nullcontext() if run in _compiled else announced_if_slow():
            if threads == 1:
                result = part(0, tiles)
            else:
                edges = [tiles * i // threads for i in range(threads + 1)]
                tasks = [partial(part, *edge) for edge in itertools.pairwise(edges)]
                result = add_up_in_threads(tasks)
        _compiled.add(run)
        return result


def _floats(shape: tuple[int, ...]) -> Tensor:
    """Uninitialised, aligned to 64 bytes; torch's default dtype and device are the user's."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


_own = threading.local()


def _scratch(size: int) -> Tensor:
    """Uninitialised floats of this thread alone."""
    kept: Tensor | None = getattr(_own, "scratch", None)
    if kept is None or len(kept) < size:
        kept = _floats((size,))
        if size <= KEPT_SCRATCH:
            _own.scratch = kept
    return kept
