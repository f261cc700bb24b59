"""Noisy circuits in torch: batched, differentiable, exact up to rounding, in Pauli coefficients.

A `Program` is a list of steps, each a constant matrix on one or two wires (a gate, a channel) or a
rotation whose angle comes from the batch. Shapes: B samples, Q qubits, state (B, 4^Q), real.

Two ideas make it fast:
1. neighbouring steps are joined to blocks of at most three wires, whose matrices (64 x 64, a batch
   of them where angles differ between samples) are cheap beside the state;
2. a block's wires stand in front of the others and come out behind them, so that each block is one
   batched matrix product, and along a chain the next block's wires come to the front by themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgan.quantum import channels

WIDEST = 3
"""Most wires of a block: 64 x 64 is where matrix products stop being limited by memory."""

Z = channels.PAULIS.index("Z")


@dataclass(frozen=True, eq=False)
class Constant:
    """A matrix (4^k, 4^k) on k wires, the same for all samples."""

    wires: tuple[int, ...]
    matrix: channels.Matrix


@dataclass(frozen=True)
class Turn:
    """A rotation by sum_i factors[i] angles[i] + constant, radians.

    Attributes:
        axis: "rx", "ry" or "rz".
        angles: numbers of the batch's angles, (B, A).
    """

    wires: tuple[int, ...]
    axis: str
    angles: tuple[int, ...]
    factors: tuple[float, ...]
    constant: float = 0.0

    def angle(self, angles: Tensor) -> Tensor:
        """(B,) radians of the batch's angles (B, A); (1,) where none of them takes part."""
        angle = angles.new_full((1,), self.constant)
        for number, factor in zip(self.angles, self.factors, strict=True):
            angle = angle + (angles[:, number] if factor == 1 else factor * angles[:, number])
        return angle


Step = Constant | Turn


@dataclass(frozen=True, eq=False)
class Block:
    """Steps in time order that act on the same few wires."""

    wires: tuple[int, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Program:
    """What a machine does between |0...0> and the outcomes, noise included.

    Attributes:
        qubits: Q.
        steps: up to the change of the measurement basis.
        tails: for each basis the matrix (4, 4) of each wire that follows: the change of basis with
            its noise, then the read-out error.
    """

    qubits: int
    steps: tuple[Step, ...]
    tails: tuple[tuple[channels.Matrix, ...], ...]
    blocks: tuple[Block, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(fuse(self.steps)))

    def run(self, angles: Tensor) -> list[Tensor]:
        """Coefficients of the words over I and Z, (B, 2^Q), for each basis.

        Args:
            angles: (B, A) radians.

        Cost:
            Time O(B 4^Q) a block; the backward pass keeps two states (B, 4^Q) a block.
        """
        state = _State.after(self.blocks, angles, self.qubits)
        return [state.measured(tail) for tail in self.tails]


def fuse(steps: Iterable[Step], widest: int = WIDEST) -> list[Block]:
    """Join each step to the latest block that it can join; same meaning, fewer and larger blocks.

    A step may join a block if no later block touches its wires.
    """
    wires: list[list[int]] = []
    members: list[list[Step]] = []
    last: dict[int, int] = {}
    for step in steps:
        here = max((last[wire] for wire in step.wires if wire in last), default=None)
        if here is None or len({*wires[here], *step.wires}) > widest:
            here = len(wires)
            wires.append([])
            members.append([])
        wires[here] += [wire for wire in step.wires if wire not in wires[here]]
        members[here].append(step)
        last |= dict.fromkeys(step.wires, here)
    return [Block(tuple(w), tuple(s)) for w, s in zip(wires, members, strict=True)]


def tail(steps: Iterable[Step], qubits: int) -> tuple[channels.Matrix, ...]:
    """Constant steps on single wires as one matrix a wire, what `Program.tails` holds."""
    matrices = [np.eye(4)] * qubits
    for step in steps:
        if not isinstance(step, Constant) or len(step.wires) > 1:
            raise ValueError(f"a measurement turns single wires by fixed angles, not by {step}")
        matrices[step.wires[0]] = step.matrix @ matrices[step.wires[0]]
    return tuple(matrices)


def probabilities(diagonal: Tensor) -> Tensor:
    """Coefficients (B, 2^Q) of the words over I and Z to probabilities (B, 2^Q) of outcomes.

    p(x) = 2^-Q sum_S (-1)^(x S) r_S: a Walsh-Hadamard transform. Qubit 0 is the most significant.
    """
    samples, outcomes = diagonal.shape
    values, width = diagonal, 1
    while width < outcomes:
        zero, one = values.reshape(samples, -1, 2, width).unbind(2)
        values = torch.stack([zero + one, zero - one], 2).reshape(samples, outcomes)
        width *= 2
    return values / outcomes


@dataclass(frozen=True, eq=False)
class _State:
    """Coefficients (B, 4^Q) whose axes are the wires in `order`."""

    values: Tensor
    order: tuple[int, ...]

    @classmethod
    def after(cls, blocks: Sequence[Block], angles: Tensor, qubits: int) -> "_State":
        """|0...0> after the blocks; a wire joins the state with the first block that touches it."""
        state = cls(angles.new_ones(len(angles), 1), ())
        for block in blocks:
            state = state.grown(w for w in block.wires if w not in state.order)
            state = state.through(block, angles)
        return state.grown(w for w in range(qubits) if w not in state.order)

    def grown(self, wires: Iterable[int]) -> "_State":
        """With more wires in |0>, whose coefficients are 1 for I and Z."""
        values, order = self.values, self.order
        zero = values.new_zeros(4)
        zero[0] = zero[Z] = 1
        for wire in wires:
            values = (zero[:, None] * values[:, None]).flatten(1)
            order = (wire, *order)
        return _State(values, order)

    def through(self, block: Block, angles: Tensor) -> "_State":
        """After one more block."""
        wires = tuple(wire for wire in self.order if wire in block.wires)  # may spare a copy
        others = _others(self.order, wires)
        values = self.values
        if self.order[: len(wires)] != wires:
            values = moved(values, self.order, (*wires, *others))
        return _State(applied(_matrix(block, wires, angles), values), (*others, *wires))

    def measured(self, tail: Sequence[channels.Matrix]) -> Tensor:
        """(B, 2^Q): the words over I and Z after a tail, qubit 0 the most significant.

        Words with X or Y on a wire are of no use once its tail is done, so that the state halves
        with every wire.
        """
        values, left = self.values, self.order
        while left:
            wires, left = left[:WIDEST], left[WIDEST:]
            rows = channels.together(tail[wire][[0, Z]] for wire in wires)  # (2^k, 4^k)
            values = applied(values.new_tensor(rows)[None], values)
        each = values.unflatten(1, (2,) * len(self.order))
        places = [1 + self.order.index(wire) for wire in range(len(self.order))]
        return each.permute(0, *places).flatten(1)


def applied(matrix: Tensor, values: Tensor) -> Tensor:
    """A matrix (B or 1, n, m) on the first m of the axes of (B, m * rest): (B, rest * n)."""
    columns = values.unflatten(1, (matrix.shape[-1], -1))
    return (columns.mT @ matrix.mT).flatten(1)


def _others(order: tuple[int, ...], wires: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(wire for wire in order if wire not in wires)


def moved(values: Tensor, order: tuple[int, ...], wanted: tuple[int, ...], size: int = 4) -> Tensor:
    """The same state with its axes, each of this size, in another order; from (B, size^Q).

    Neighbours that stay together are one axis.
    """
    runs: list[list[int]] = []
    for wire in wanted:
        if runs and order.index(wire) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(wire)
        else:
            runs.append([wire])
    by_place = sorted(runs, key=lambda run: order.index(run[0]))
    each = values.unflatten(1, [size ** len(run) for run in by_place])
    return each.permute(0, *(1 + by_place.index(run) for run in runs)).flatten(1)


def _matrix(block: Block, wires: tuple[int, ...], angles: Tensor) -> Tensor:
    """(B or 1, 4^k, 4^k): the steps of a block multiplied, on its wires in this order.

    Consecutive constant steps are multiplied once, and what depends on the batch is applied to the
    few columns of the matrix as a block is to the state.
    """
    size = 4 ** len(wires)
    total = _identity(size, angles.dtype, angles.device)
    for part in _parts(block, wires):
        if isinstance(part, Turn):
            place = wires.index(part.wires[0])
            turned = _turn(part, angles)  # (B, 4, 4)
            before = total.reshape(len(total), 4**place, 4, -1)
            total = (turned[:, None] @ before).reshape(-1, size, size)
        else:
            total = _tensor(part, angles.dtype, angles.device) @ total
    return total


@lru_cache(maxsize=4096)
def _parts(block: Block, wires: tuple[int, ...]) -> tuple["_Whole | Turn", ...]:
    """The steps with runs of constant ones multiplied, each on all of the block's wires."""
    parts: list[_Whole | Turn] = []
    for step in block.steps:
        if isinstance(step, Turn):
            parts.append(step)
            continue
        whole = _spread(step, wires)
        if parts and isinstance(parts[-1], _Whole):
            parts[-1] = _Whole(whole @ parts[-1].matrix)
        else:
            parts.append(_Whole(whole))
    return tuple(parts)


@dataclass(frozen=True, eq=False)
class _Whole:
    """A constant matrix on all wires of its block."""

    matrix: channels.Matrix


def _spread(step: Constant, wires: tuple[int, ...]) -> NDArray[np.float64]:
    """The matrix of a step on all of `wires`, identity on those it does not touch."""
    others = _others(wires, step.wires)
    whole = channels.together([step.matrix, np.eye(4 ** len(others))])
    axes = [(*step.wires, *others).index(wire) for wire in wires]
    n = len(wires)
    each = whole.reshape((4,) * (2 * n)).transpose(*axes, *(n + axis for axis in axes))
    return each.reshape(4**n, 4**n)


def _turn(turn: Turn, angles: Tensor) -> Tensor:
    """(B, 4, 4), or (1, 4, 4) where no angle of the batch takes part."""
    constant, cosine, sine = _rotation(turn.axis, angles.dtype, angles.device)
    angle = turn.angle(angles)[:, None, None]
    return constant + angle.cos() * cosine + angle.sin() * sine


# Constants, made once per device and dtype; outside inference mode, as in `statevector`.


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _identity(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.eye(size, dtype=dtype, device=device)[None]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _rotation(axis: str, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    parts = channels.rotation_parts(axis)
    return tuple(torch.tensor(part, dtype=dtype, device=device) for part in parts)


@lru_cache(maxsize=4096)
@torch.inference_mode(False)
def _tensor(part: _Whole, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(part.matrix, dtype=dtype, device=device)[None]
