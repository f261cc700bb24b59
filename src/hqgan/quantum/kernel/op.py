"""The kernel as a torch operator: `hqgan::circuit` and its backward pass.

Registered with autograd and shape functions, so that torch.compile, DDP and autocast see an
ordinary operator. Operators take tensors and numbers only: a circuit is named by `Plan.key`, which
is the same in every process.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgan.quantum.circuit import Circuit, Probabilities
from hqgan.quantum.kernel import adjoint
from hqgan.quantum.kernel.compiling import announced_if_slow
from hqgan.quantum.kernel.plan import LANES, Plan, plan
from hqgan.quantum.statevector import simulate

ONE_THREAD = 1e6
"""Nanoseconds of work for one more thread: with less, waking it costs more than it saves."""
FORWARD_NS, BACKWARD_NS = 2.5, 6.0
"""Measured time of one amplitude part, qubit, layer and tile on one AVX-512 core."""
KEPT_SCRATCH = 2**24
"""Floats of scratch memory (64 MiB) that a thread keeps between calls, to save page faults."""

_plans: dict[int, Plan] = {}
_compiled: set[tuple[Callable[..., None], int]] = set()


class FusedCircuit:
    """A circuit without `misfit`, callable as `hqgan.quantum.simulate` is, on a CPU in float32.

    Args:
        circuit: Q qubits, I inputs, P weights.
        twice: where a second derivative is asked for, differentiate the plain torch path instead
            of refusing.

    Cost:
        Time O(C B 2^Q Q L); memory for the final state of each sample, rounded up to 16 samples,
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
        _plans[made.key] = made

    def __reduce__(self) -> tuple[type["FusedCircuit"], tuple[Circuit, bool]]:
        return FusedCircuit, (self.circuit, self.twice)  # so that another process knows the key

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C, P) in radians to (C, B, outputs)."""
        keep = torch.is_grad_enabled() and (inputs.requires_grad or weights.requires_grad)
        eager = type(inputs) is Tensor and not torch.compiler.is_compiling()
        run = _Eager.apply if eager else circuit_operator
        values, _ = run(inputs, weights, self.key, keep, self.twice)
        if isinstance(self.readout, Probabilities) and self.readout.ancillas:
            return _conditional(values, self.readout)
        return values


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
    """Outputs (C, B, outputs), and the final states for the backward pass if `keep`."""
    return _Call(_plans[key], inputs, weights).forward(keep)


def _run_backward(
    gradient: Tensor, states: Tensor, inputs: Tensor, weights: Tensor, key: int
) -> tuple[Tensor, Tensor]:
    """Gradients by the inputs and by the weights, from what `_run` kept."""
    return _Call(_plans[key], inputs, weights).backward(gradient, states)


circuit_operator = torch.library.custom_op(
    "hqgan::circuit", _run, mutates_args=(), device_types="cpu"
)
backward_operator = torch.library.custom_op(
    "hqgan::circuit_backward", _run_backward, mutates_args=(), device_types="cpu"
)


@circuit_operator.register_fake
def _(inputs: Tensor, weights: Tensor, key: int, keep: bool, twice: bool) -> tuple[Tensor, Tensor]:
    made = _plans[key]
    circuits, samples = weights.shape[0], inputs.shape[1]
    rows = circuits * ((samples + LANES - 1) // LANES) if keep else 0
    return (
        inputs.new_empty(circuits, samples, made.circuit.outputs),
        inputs.new_empty(rows, made.state_size),
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
    angles, weights, states = ctx.saved_tensors
    by_both: Sequence[Tensor | None] = None, None
    if gradient is not None and torch.is_grad_enabled():
        by_both = _twice_differentiable(ctx, angles, weights, gradient)
    elif gradient is not None:
        call = getattr(ctx, "call", None)
        by_both = (
            call.backward(gradient, states)
            if call
            else backward_operator(gradient, states, angles, weights, ctx.key)
        )
    return *by_both, None, None, None


def _twice_differentiable(
    ctx: Any, angles: Tensor, weights: Tensor, gradient: Tensor
) -> list[Tensor | None]:
    """The gradients as functions of all that they depend on, from the plain path."""
    if not ctx.twice:
        raise RuntimeError(
            "diff_method='fused' differentiates once, but a second derivative was asked for "
            "(create_graph=True): use diff_method='auto' or 'backprop'"
        )
    values = simulate(_plans[ctx.key].circuit, angles, weights)
    pairs = zip((angles, weights), ctx.needs_input_grad, strict=False)
    wanted = [part for part, needed in pairs if needed]
    found = iter(
        torch.autograd.grad(values, wanted, gradient, create_graph=True, materialize_grads=True)
    )
    return [next(found) if needed else None for needed in ctx.needs_input_grad[:2]]


circuit_operator.register_autograd(_backward, setup_context=_keep_for_backward)


class _Eager(torch.autograd.Function):
    """The operator without torch's dispatcher, which takes longer than a circuit of 4 qubits."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        # Not by `setup_context`: torch then inspects the signature at each call.
        inputs, weights, key, keep, _ = arguments
        ctx.call = _Call(_plans[key], inputs, weights)
        results: tuple[Tensor, Tensor] = ctx.call.forward(keep)
        _keep_for_backward(ctx, arguments, results)
        return results

    backward = staticmethod(_backward)


class _Call:
    """Shapes and angles of one call, in numpy."""

    def __init__(self, made: Plan, inputs: Tensor, weights: Tensor):
        self.made = made
        self.circuits, self.samples = weights.shape[0], inputs.shape[1]
        self.tiles = -(-self.samples // LANES)
        half_inputs = 0.5 * _numpy(inputs)
        self.cosines, self.sines = np.cos(half_inputs), np.sin(half_inputs)
        half_weights = 0.5 * _numpy(weights)
        if made.constants.size:
            constants = np.broadcast_to(0.5 * made.constants, (self.circuits, made.constants.size))
            half_weights = np.concatenate([half_weights, constants], 1)
        self.weight_cosines, self.weight_sines = np.cos(half_weights), np.sin(half_weights)
        self.sizes = (
            made.parts,
            made.circuit.qubits,
            made.layers,
            made.circuit.inputs,
            made.circuit.outputs,
        )

    def forward(self, keep: bool) -> tuple[Tensor, Tensor]:
        """See `_run`."""
        outputs = _floats(self.circuits, self.samples, self.made.circuit.outputs)
        states = _floats(self.circuits * self.tiles if keep else 0, self.made.state_size)
        size = adjoint.forward_scratch(*self.sizes)
        arrays = states.numpy(), outputs.numpy()
        self.in_threads(adjoint.forward, size, FORWARD_NS, keep, *arrays)
        return outputs, states

    def backward(self, gradient: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """See `_run_backward`."""
        by_input = np.empty((self.circuits, self.samples, self.cosines.shape[2]), np.float32)
        slots = self.weight_cosines.shape[1]
        by_weight = np.empty((self.circuits * self.tiles, slots), np.float32)
        size = adjoint.backward_scratch(*self.sizes)
        arrays = states.numpy(), _numpy(gradient), by_input, by_weight
        self.in_threads(adjoint.backward, size, BACKWARD_NS, *arrays)
        if self.cosines.shape[0] < self.circuits:
            by_input = by_input.sum(0, keepdims=True)
        by_tile = by_weight.reshape(self.circuits, self.tiles, slots)
        by_weight = by_tile[..., : self.made.circuit.weights].sum(1)
        return torch.from_numpy(by_input), torch.from_numpy(by_weight)

    def in_threads(
        self, run: Callable[..., None], scratch: int, nanoseconds: float, *arrays: Any
    ) -> None:
        """Run all tiles, on several threads if there is work for them."""
        tiles = self.circuits * self.tiles
        made = self.made
        work = tiles * 2**made.circuit.qubits * made.parts * made.circuit.qubits * made.layers
        wanted = 1 + int(work * nanoseconds / ONE_THREAD)
        threads = max(1, min(torch.get_num_threads(), tiles, wanted))
        edges = [tiles * i // threads for i in range(threads + 1)]
        given = (
            made.program,
            made.circuit.qubits,
            (0,) * made.parts,
            self.cosines,
            self.sines,
            self.weight_cosines,
            self.weight_sines,
        )

        def part(i: int) -> None:
            run(*given, edges[i], edges[i + 1], _scratch(scratch), *arrays)

        with nullcontext() if (run, made.parts) in _compiled else announced_if_slow():
            others = [_pool(os.getpid()).submit(part, i) for i in range(1, threads)]
            part(0)
            for other in others:
                other.result()
        _compiled.add((run, made.parts))


def _floats(*shape: int) -> Tensor:
    """Uninitialised, aligned to 64 bytes; torch's default dtype and device are the user's."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().contiguous().numpy()
    return array


# Threads of a pool sleep while they wait; OpenMP's spin, and two spinning threads on two busy cores
# cost each other a time slice of 16 ms. A fork inherits no threads, hence a pool for each process.
@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="hqgan-circuits")


_own = threading.local()


def _scratch(size: int) -> NDArray[np.float32]:
    """Uninitialised floats of this thread alone; torch aligns them to 64 bytes."""
    kept: NDArray[np.float32] | None = getattr(_own, "scratch", None)
    if kept is None or kept.size < size:
        kept = _floats(size).numpy()
        if size <= KEPT_SCRATCH:
            _own.scratch = kept
    return kept
