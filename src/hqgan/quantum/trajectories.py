"""`Trajectories`: noisy circuits beyond a dozen qubits, as averages over random state vectors.

A channel rho -> sum_i K_i rho K_i^+ is a random choice: psi becomes K_i psi / ||K_i psi|| with
probability ||K_i psi||^2, and the mean over choices is the channel (Dalibard, Castin and Molmer,
Phys. Rev. Lett. 68, 580). A state has 2^Q amplitudes instead of 4^Q coefficients. Shapes: N pairs
of a sample and a trajectory, states (N, 2^Q), complex.

Three ideas make it fast:
1. within a block of at most three wires (see `pauli_transfer.fuse`) choices depend on the block's
   reduced density matrix (N, 8, 8) alone: all of them are made there, and the state is touched
   twice a block, once to reduce it and once by the product of all operators drawn;
2. Pauli and depolarising channels are unitaries drawn with fixed probabilities, for which nothing
   is reduced; a channel that is one unitary draws nothing;
3. reading Z through a tail (change of basis, noise, read-out error) is measuring a direction of the
   qubit's sphere and then a classical error, of which the mean is taken exactly: no draws.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from hqgan.quantum.circuit import Circuit, Probabilities
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import Noise, drawn, program_of, read
from hqgan.quantum.pauli_transfer import Block, Program, Turn, applied, moved
from hqgan.quantum.shots import Shots
from hqgan.quantum.statevector import GENERATORS
from hqgan.quantum.unravelling import blocks, parts, readings

CHUNK = 2**20
"""Amplitudes that are computed at once: 8 MiB of them, for larger states leave the CPU's cache."""


@dataclass(frozen=True)
class Trajectories:
    """Runs circuits as a noisy machine would, as `Noisy` does, by random trajectories of the state.

    Values are right on average, with an error that falls as 1 / sqrt(number), and not
    differentiable: `parameter_shift` takes an instance as its `run`, `QuantumLayer.run_by` as what
    computes a layer's values. A post-selected read-out is a quotient of two means.

    Args:
        noise: what the noise is.
        number: T >= 1, trajectories of each sample.
        generator: where choices are drawn from, of the circuits' device; torch's global one by
            default.
        shots: measurements of each trajectory in each basis; None takes its exact values. With one
            shot a trajectory is one shot of the machine.

    Cost:
        Time O(C B T 2^Q) a block of gates. One sample of 16 qubits and 8 layers of RY and a chain
        of CZ with the noise of `DeviceNoise("marrakesh")` and 100 trajectories: about 3 s on one
        core in float32, for values with standard errors of about 0.01.

    Raises:
        ValueError: fewer than one trajectory or shot; at call, a noise that is no channel.
    """

    noise: Noise
    number: int
    generator: torch.Generator | None = field(default=None, compare=False)
    shots: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.number, int) or self.number < 1:
            raise ValueError(f"number={self.number!r}: at least one trajectory is needed")
        if self.shots is not None:
            Shots(self.shots)

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C, P) in radians to (C, B, outputs)."""
        return self.with_errors(circuit, inputs, weights)[0]

    @torch.no_grad()
    def with_errors(
        self, circuit: Circuit, inputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Values as by a call, and the standard error of each; NaN for a single trajectory."""
        lowered = lower(circuit)
        with torch.autocast(inputs.device.type, enabled=False):
            angles = lowered.angles(inputs, weights)
            program = program_of(self.noise, lowered.circuit)
            mean, error = self._mean(program, circuit, angles.flatten(0, 1))
            return mean.unflatten(0, angles.shape[:2]), error.unflatten(0, angles.shape[:2])

    def _mean(self, program: Program, circuit: Circuit, angles: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A) radians to values and standard errors (B, outputs).

        A value is sum w v / sum w over trajectories, w being how likely they meet the condition of
        a post-selected read-out; the error is that of w (v - value), by the delta method.
        """
        samples, number = len(angles), self.number
        sums = angles.new_zeros(5, samples, circuit.outputs, dtype=torch.float64)
        rows = torch.arange(samples * number, device=angles.device) // number
        chunk = max(1, CHUNK // 2**circuit.qubits)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            v, w = (x.double() for x in self._values(program, circuit, angles[part]))
            w = w.expand_as(v)
            sums.index_add_(1, part, torch.stack([w, w * v, w**2, w**2 * v, w**2 * v**2]))
        weight, total, ww, wwv, wwvv = sums
        weight = weight.clamp_min(torch.finfo(angles.dtype).tiny)  # never met: zeros, not NaN
        mean = total / weight
        squares = (wwvv - 2 * mean * wwv + mean**2 * ww).clamp_min(0)
        unbiased = number / (number - 1) if number > 1 else math.nan
        error = (squares * unbiased).sqrt() / weight
        return mean.to(angles.dtype), error.to(angles.dtype)

    def _values(self, program: Program, circuit: Circuit, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Of one trajectory for each row of angles (N, A): values (N, outputs), weights (N, 1)."""
        state = self._final(program, angles)
        diagonals = []
        for turns, signs in readings(program, angles.dtype, angles.device):
            turned = state
            for turn in turns:  # each group of wires comes out behind the others, the last in order
                turned = applied(turn, turned)
            outcomes = torch.view_as_real(turned).square().sum(-1)
            diagonal = outcomes / outcomes.sum(-1, keepdim=True)
            for sign in signs:
                diagonal = applied(sign, diagonal)
            diagonals.append(diagonal)
        if self.shots is not None:
            shots = Shots(self.shots, self.generator)
            diagonals = [drawn(diagonal, shots) for diagonal in diagonals]
        weights = angles.new_ones(len(angles), 1)
        if isinstance(circuit.readout, Probabilities) and circuit.readout.ancillas:
            condition = replace(circuit, readout=Probabilities(circuit.readout.ancillas))
            weights = read(condition, diagonals)[:, :1]  # all ancillas are 0
        return read(circuit, diagonals), weights

    def _final(self, program: Program, angles: Tensor) -> Tensor:
        """(N, 2^Q), of a norm near 1; a wire joins the state with the first block it is in."""
        values = angles.new_ones(len(angles), 1, dtype=angles.dtype.to_complex())
        order: tuple[int, ...] = ()
        for block in blocks(program):
            values, order = _grown(values, order, block.wires)
            wires = tuple(wire for wire in order if wire in block.wires)  # may spare a copy
            others = tuple(wire for wire in order if wire not in wires)
            values = moved(values, order, (*wires, *others), 2)
            values = applied(self._operator(block, wires, values, angles), values)
            order = (*others, *wires)
        every = tuple(range(program.qubits))
        return moved(*_grown(values, order, every), every, 2)

    def _operator(
        self, block: Block, wires: tuple[int, ...], values: Tensor, angles: Tensor
    ) -> Tensor:
        """(N or 1, 2^k, 2^k): what a block does to states whose first axes are its wires."""
        size = 2 ** len(wires)
        total = torch.eye(size, dtype=values.dtype, device=values.device)[None]
        density = None
        for part in parts(block, wires, angles.dtype, angles.device):
            if isinstance(part, Turn):
                before = total.reshape(len(total), 2 ** wires.index(part.wires[0]), 2, -1)
                total = (_turn(part, angles)[:, None] @ before).reshape(-1, size, size)
            elif len(part.operators) == 1:
                total = part.operators @ total
            elif part.chances is not None:
                choice = torch.multinomial(
                    part.chances, len(values), replacement=True, generator=self.generator
                )
                total = part.operators[choice] @ total
            else:
                if density is None:
                    columns = values.unflatten(1, (size, -1))
                    density = columns @ columns.mH
                now = total @ density @ total.mH
                chances = (now.flatten(1) @ part.effects).real.clamp_min(0)  # (N, n)
                choice = torch.multinomial(chances, 1, generator=self.generator)
                # Divided by a rounded norm, which keeps the state in range; `_values` by the true.
                norm = chances.gather(1, choice).sqrt()[:, :, None]
                total = part.operators[choice[:, 0]] @ total / norm
        return total


def _grown(
    values: Tensor, order: tuple[int, ...], wires: Iterable[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """States (N, 2^q) whose axes are the wires in `order`, with such of `wires` as they lack."""
    for wire in wires:
        if wire not in order:
            values = torch.cat([values, torch.zeros_like(values)], 1)
            order = (wire, *order)
    return values, order


def _turn(turn: Turn, angles: Tensor) -> Tensor:
    """(N or 1, 2, 2)."""
    half = (turn.angle(angles) / 2)[:, None, None]
    generator, identity = _generator(turn.axis, angles.dtype, angles.device)
    return half.cos() * identity + half.sin() * generator


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _generator(axis: str, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.tensor(GENERATORS[axis], dtype=dtype.to_complex(), device=device)
    return generator, torch.eye(2, dtype=dtype.to_complex(), device=device)
