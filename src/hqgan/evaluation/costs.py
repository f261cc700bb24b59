"""What a generator costs: numbers to store, work for an image, images a second.

Counted, not estimated: one image is made and the operations on the way are added up. Classical
and quantum work are kept apart, for they run on different machines; `simulation_work` says what
the quantum part costs while it is simulated.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hqgan.models import Generator, parameter_count
from hqgan.quantum import QuantumLayer

LATENT_SEED = 0  # what a latent holds changes no count


@dataclass(frozen=True)
class Costs:
    """What one generator stores, and what one image takes.

    Attributes:
        parameters: numbers in all parameters, frozen ones included.
        buffers: further numbers that are stored with it: running means, principal components.
        macs_per_image: multiply-accumulates of convolutions, matrix products and attention, the
            simulation of circuits left out; norms, activations and resizing are not counted.
        circuits_per_image: circuits that are run, one for each set of angles; how many measurement
            settings and shots a device then needs is not in it.
        two_qubit_gates_per_image: gates on two qubits in all of these circuits.
        qubits: those of the widest circuit; 0 without circuits.
        simulation_work: amplitude updates an image, the sum over its circuits of gates x 2^qubits:
            each gate, on one qubit or two, updates each amplitude of the state once. The size of
            the task in a plain simulator: merged gates and products of single qubits save some of
            it, gradients cost a multiple. The read-out is not counted.
    """

    parameters: int
    buffers: int
    macs_per_image: int
    circuits_per_image: int
    two_qubit_gates_per_image: int
    qubits: int
    simulation_work: int


def costs(generator: Generator) -> Costs:
    """Count what one image costs, made in evaluation mode on the device of the generator.

    The generator is as it was before. Cost: one image, after the compilation of its circuits.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_ATTENTION)
    runs: list[tuple[QuantumLayer, int]] = []
    simulated = 0

    def enter(layer: nn.Module, args: tuple[Any, ...]) -> None:
        nonlocal simulated
        simulated -= counter.get_total_flops()

    def leave(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        nonlocal simulated
        simulated += counter.get_total_flops()
        assert isinstance(layer, QuantumLayer)
        runs.append((layer, math.prod(output.shape[:-1])))  # (..., outputs), a row a circuit

    with ExitStack() as hooks, _evaluating(generator):
        for module in generator.modules():
            if isinstance(module, QuantumLayer):
                hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(leave).remove)
        z, y = _inputs(generator, 1)
        with counter:
            generator(z, y)
    stored = generator.state_dict(keep_vars=True).values()  # a buffer may be kept out of the file
    return Costs(
        parameters=parameter_count(generator),
        buffers=sum(entry.numel() for entry in stored if not isinstance(entry, nn.Parameter)),
        macs_per_image=(counter.get_total_flops() - simulated) // 2,
        circuits_per_image=sum(circuits for _, circuits in runs),
        two_qubit_gates_per_image=sum(n * layer.circuit.two_qubit_gates for layer, n in runs),
        qubits=max((layer.circuit.qubits for layer, _ in runs), default=0),
        simulation_work=sum(
            n * len(layer.circuit.operations) * 2**layer.circuit.qubits for layer, n in runs
        ),
    )


def sampling_rate(generator: Generator, n: int = 256, batch: int = 64, repeats: int = 3) -> float:
    """Images a second from latents to images, the median of `repeats` runs of `n` images.

    In evaluation mode and without gradients, on the device and with the number of threads at hand;
    neither drawing latents nor writing files is in it. A first batch, which compiles and allocates,
    is not timed. Raises ValueError for a number below 1. Cost: `repeats` x n + batch images.
    """
    if min(n, batch, repeats) < 1:
        raise ValueError(f"n, batch and repeats are {n}, {batch} and {repeats}, expected 1 or more")
    sizes = [min(batch, n - start) for start in range(0, n, batch)]
    with _evaluating(generator):
        inputs = [_inputs(generator, size) for size in sizes]
        generator(*_inputs(generator, batch))
        seconds = []
        for _ in range(repeats):
            started = _now(generator)
            for z, y in inputs:
                generator(z, y)
            seconds.append(_now(generator) - started)
    return n / float(np.median(seconds))


def _now(generator: Generator) -> float:
    """The clock, after all that was asked of the generator's device is done."""
    device = next(generator.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _inputs(generator: Generator, count: int) -> tuple[Tensor, Tensor]:
    device = next(generator.parameters()).device
    z = generator.sample_z(count, torch.Generator().manual_seed(LATENT_SEED))
    return z.to(device), torch.arange(count, device=device) % generator.classes


@contextmanager
def _evaluating(generator: Generator) -> Iterator[None]:
    """Evaluation mode without any trace of gradients; everything as it was afterwards.

    Under no_grad alone a view of a parameter still claims to require them, which the counter of
    operations cannot follow.
    """
    training = [module for module in generator.modules() if module.training]
    trained = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    generator.eval().requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
        for parameter in trained:
            parameter.requires_grad_(True)


def _attention_flops(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any
) -> int:
    """Scores and their sum over values (B, heads, length, width): two matrix products."""
    rows = math.prod(query[:-1])
    return 2 * rows * key[-2] * (query[-1] + value[-1])


# torch's counter knows attention on GPUs and passes over the fused operator of the CPU.
_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
