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
from functools import lru_cache, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgan.quantum import channels
from hqgan.quantum.circuit import Circuit, Probabilities
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import Noise, drawn, program_of, read
from hqgan.quantum.pauli_transfer import (
    Block,
    Constant,
    Program,
    Step,
    Turn,
    Z,
    applied,
    fuse,
    moved,
)
from hqgan.quantum.shots import Shots
from hqgan.quantum.statevector import BLOCK, GENERATORS

Complex = NDArray[np.complex128]

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
        for turns, signs in _readings(program, angles.dtype, angles.device):
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
        for block in (*_blocks(program), Block(tuple(range(program.qubits)), ())):
            for wire in block.wires:
                if wire not in order:
                    values = torch.cat([values, torch.zeros_like(values)], 1)
                    order = (wire, *order)
            if not block.steps:
                break
            wires = tuple(wire for wire in order if wire in block.wires)  # may spare a copy
            others = tuple(wire for wire in order if wire not in wires)
            values = moved(values, order, (*wires, *others), 2)
            values = applied(self._operator(block, wires, values, angles), values)
            order = (*others, *wires)
        return moved(values, order, tuple(range(program.qubits)), 2)

    def _operator(
        self, block: Block, wires: tuple[int, ...], values: Tensor, angles: Tensor
    ) -> Tensor:
        """(N or 1, 2^k, 2^k): what a block does to states whose first axes are its wires."""
        size = 2 ** len(wires)
        total = torch.eye(size, dtype=values.dtype, device=values.device)[None]
        density = None
        for part in _parts(block, wires, angles.dtype, angles.device):
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


@dataclass(frozen=True, eq=False)
class _Choice:
    """Operators (n, 2^k, 2^k), of which one is drawn for each state.

    Attributes:
        chances: (n,) of the operators, which are unitary; None where chances depend on the state.
        effects: (4^k, n), for the reduced density matrix rho: chances Tr(K^+ K rho).
    """

    operators: Tensor
    chances: Tensor | None
    effects: Tensor


def choices(matrix: channels.Matrix) -> tuple[Complex, NDArray[np.float64] | None]:
    """A channel's operators, and how likely each is if they are unitary; else None.

    The operators of a channel are not unique. A unitary and then Pauli errors are looked for first,
    as eigenvectors mix errors of one probability to what is no longer unitary.
    """
    operators = channels.kraus(matrix)
    size = operators.shape[-1]
    left, _, right = np.linalg.svd(operators[0])
    unitary = left @ right
    errors = matrix @ channels.transfer_matrix([unitary]).T
    rates = np.diag(errors)
    if np.allclose(errors, np.diag(rates), atol=channels.ROUNDING):
        words = channels.pauli_matrices(size.bit_length() - 1)
        both = np.einsum("pij,qjk->pqik", words, words)
        signs = np.einsum("pqij,pqji->pq", both, both).real / size  # +1 where words commute
        chances = signs @ rates / size**2
        kept = chances > channels.NEGLIGIBLE
        operators = np.sqrt(chances[kept, None, None]) * (words[kept] @ unitary)
    norms = operators.conj().mT @ operators
    chances = np.einsum("nii->n", norms).real / size
    if np.allclose(norms, chances[:, None, None] * np.eye(size), atol=channels.ROUNDING):
        return operators / np.sqrt(chances)[:, None, None], chances
    return operators, None


@lru_cache(maxsize=64)
def _blocks(program: Program) -> tuple[Block, ...]:
    return tuple(fuse(_merged(program.steps)))


def _merged(steps: Iterable[Step]) -> list[Step]:
    """Constant steps that follow each other on the same wires as one: a gate and its noise."""
    kept: list[Step] = []
    last: dict[int, int] = {}
    for step in steps:
        places = {last.get(wire, -1) for wire in step.wires}
        here = places.pop()
        before = kept[here] if here >= 0 and not places else None
        if (
            isinstance(step, Constant)
            and isinstance(before, Constant)
            and before.wires == step.wires
        ):
            kept[here] = Constant(step.wires, step.matrix @ before.matrix)
        else:
            last |= dict.fromkeys(step.wires, len(kept))
            kept.append(step)
    return kept


def _spread(operators: Complex, on: tuple[int, ...], wires: tuple[int, ...]) -> Complex:
    """Operators (n, 2^j, 2^j) on all of `wires`, (n, 2^k, 2^k)."""
    others = tuple(wire for wire in wires if wire not in on)
    whole = np.kron(operators, np.eye(2 ** len(others))[None])
    n = len(wires)
    axes = [1 + (*on, *others).index(wire) for wire in wires]
    each = whole.reshape(-1, *(2,) * (2 * n)).transpose(0, *axes, *(n + axis for axis in axes))
    return each.reshape(-1, 2**n, 2**n)


def _turn(turn: Turn, angles: Tensor) -> Tensor:
    """(N or 1, 2, 2)."""
    half = (turn.angle(angles) / 2)[:, None, None]
    generator, identity = _generator(turn.axis, angles.dtype, angles.device)
    return half.cos() * identity + half.sin() * generator


# Constants, made once per device and dtype; outside inference mode, as in `statevector`.


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _generator(axis: str, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.tensor(GENERATORS[axis], dtype=dtype.to_complex(), device=device)
    return generator, torch.eye(2, dtype=dtype.to_complex(), device=device)


@lru_cache(maxsize=512)
@torch.inference_mode(False)
def _parts(
    block: Block, wires: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[_Choice | Turn, ...]:
    """The steps of a block, constant ones on all of its wires."""
    parts: list[_Choice | Turn] = []
    for step in block.steps:
        if isinstance(step, Turn):
            parts.append(step)
            continue
        operators, chances = choices(step.matrix)
        whole = torch.from_numpy(_spread(operators, step.wires, wires)).to(device)
        whole = whole.to(dtype.to_complex())
        effects = (whole.mH @ whole).mT.flatten(1).mT
        drawn_by = None if chances is None else torch.from_numpy(chances).to(device)
        parts.append(_Choice(whole, drawn_by, effects))
    return tuple(parts)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _readings(
    program: Program, dtype: torch.dtype, device: torch.device
) -> tuple[tuple[list[Tensor], list[Tensor]], ...]:
    """For each basis, by groups of wires: turns of the state, and outcomes to words over I and Z.

    After a tail T, Z is what T_ZI + n.sigma was before it, n being the rest of T's row: a turn of n
    to Z, and a sign whose mean is T_ZI + |n| for outcome 0 and T_ZI - |n| for 1.
    """
    readings = []
    for tail in program.tails:
        turns, signs = [], []
        for row in (matrix[Z] for matrix in tail):
            values, vectors = np.linalg.eigh(np.tensordot(row, channels.pauli_matrices(1), 1))
            turns.append(vectors[:, ::-1].conj().T)
            signs.append(np.array([[1, 1], values[::-1]]))
        kinds = (turns, dtype.to_complex()), (signs, dtype)
        turned, signed = (
            [
                torch.tensor(reduce(np.kron, each[i : i + BLOCK]), dtype=kind, device=device)[None]
                for i in range(0, program.qubits, BLOCK)
            ]
            for each, kind in kinds
        )
        readings.append((turned, signed))
    return tuple(readings)
