"""A noisy `Program` as random choices: which operators, how likely, and how outcomes are read.

Made once for each program, in numpy, and kept as tensors; see `hqgan.quantum.trajectories`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgan.quantum import channels
from hqgan.quantum.pauli_transfer import Block, Constant, Program, Step, Turn, Z, fuse
from hqgan.quantum.statevector import BLOCK

Complex = NDArray[np.complexfloating]


@dataclass(frozen=True, eq=False)
class Choice:
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
    if np.allclose(errors, np.diag(rates), rtol=0, atol=channels.NEGLIGIBLE):
        words = channels.pauli_matrices(size.bit_length() - 1)
        both = np.einsum("pij,qjk->pqik", words, words)
        signs = np.einsum("pqij,pqji->pq", both, both).real / size  # +1 where words commute
        chances = signs @ rates / size**2
        kept = chances > channels.NEGLIGIBLE
        operators = np.sqrt(chances[kept, None, None]) * (words[kept] @ unitary)
    norms = operators.conj().mT @ operators
    chances = np.einsum("nii->n", norms).real / size
    # In proportion: the seldom fall of a qubit is no unitary, however small its operator.
    if np.allclose(norms / chances[:, None, None], np.eye(size), rtol=0, atol=channels.ROUNDING):
        return operators / np.sqrt(chances)[:, None, None], chances
    return operators, None


@lru_cache(maxsize=64)
def blocks(program: Program) -> tuple[Block, ...]:
    """The program's steps in blocks, gates and their noise joined first."""
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


# Constants, made once per device and dtype; outside inference mode, as in `statevector`.


@lru_cache(maxsize=512)
@torch.inference_mode(False)
def parts(
    block: Block, wires: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Choice | Turn, ...]:
    """The steps of a block, constant ones on all of its wires."""
    found: list[Choice | Turn] = []
    for step in block.steps:
        if isinstance(step, Turn):
            found.append(step)
            continue
        operators, chances = choices(step.matrix)
        whole = torch.from_numpy(_spread(operators, step.wires, wires)).to(device)
        whole = whole.to(dtype.to_complex())
        effects = (whole.mH @ whole).mT.flatten(1).mT
        drawn_by = None if chances is None else torch.from_numpy(chances).to(device)
        found.append(Choice(whole, drawn_by, effects))
    return tuple(found)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def readings(
    program: Program, dtype: torch.dtype, device: torch.device
) -> tuple[tuple[list[Tensor], list[Tensor]], ...]:
    """For each basis, by groups of wires: turns of the state, and outcomes to words over I and Z.

    After a tail T, Z is what T_ZI + n.sigma was before it, n being the rest of T's row: a turn of n
    to Z, and a sign whose mean is T_ZI + |n| for outcome 0 and T_ZI - |n| for 1.
    """
    bases = []
    for tail in program.tails:
        turns, signs = [], []
        for row in (matrix[Z] for matrix in tail):
            values, vectors = np.linalg.eigh(np.tensordot(row, channels.pauli_matrices(1), 1))
            turns.append(vectors[:, ::-1].conj().T)
            signs.append(np.array([[1, 1], values[::-1]]))
        turned = [turn.to(device, dtype.to_complex()) for turn in _grouped(turns)]
        bases.append((turned, [sign.to(device, dtype) for sign in _grouped(signs)]))
    return tuple(bases)


def _grouped(matrices: Sequence[NDArray]) -> list[Tensor]:
    """(1, 2^k, 2^k) each: those of neighbouring wires multiplied."""
    groups = [matrices[i : i + BLOCK] for i in range(0, len(matrices), BLOCK)]
    return [torch.from_numpy(reduce(np.kron, group))[None] for group in groups]
