"""Circuits as noisy machines run them: `Noisy`, to be called in the place of `simulate`.

What the noise is says a `Noise`: `GateNoise` puts a channel after every gate of the circuit as it
is written; `hqgan.quantum.devices.DeviceNoise` after every gate of the circuit as a calibrated
device runs it. Either makes a `Program` (see `hqgan.quantum.pauli_transfer`), which is exact: no
trajectories, no shots unless asked for, and gradients by autograd.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hqgan.quantum import channels
from hqgan.quantum.circuit import Circuit, Operation, Probabilities, Slot
from hqgan.quantum.lowering import lower
from hqgan.quantum.pauli_transfer import Constant, Program, Step, Turn, probabilities, tail
from hqgan.quantum.schedule import basis_change, measurement_bases
from hqgan.quantum.shots import Shots
from hqgan.quantum.statevector import conditional

MOST_QUBITS = 12
"""4^12 coefficients are 64 MiB a sample."""

CHUNK = 2**24
"""Coefficients that are computed at once where no gradient is kept; 64 MiB of them."""


class Noise(Protocol):
    """What a machine makes of a circuit; hashable, for programs are kept."""

    def __hash__(self) -> int: ...

    def program(self, circuit: Circuit) -> Program:
        """Of a lowered circuit: its A inputs are the program's angles."""


@dataclass(frozen=True)
class GateNoise:
    """Noise after the gates of a circuit as they are written, for studies without a device.

    Neighbouring rotations about one axis are one gate, as on any machine.

    Args:
        one_qubit: probability of `channels.depolarizing` after every gate on one wire.
        two_qubit: the same on the two wires of every CZ and CNOT.
        damping: of `channels.amplitude_damping` on each wire of every gate, after the above.
        dephasing: of `channels.phase_damping`, after that.
        readout: P(1 is read | 0) and P(0 is read | 1), each qubit's own.

    Raises:
        ValueError: a probability out of range.
    """

    one_qubit: float = 0.0
    two_qubit: float = 0.0
    damping: float = 0.0
    dephasing: float = 0.0
    readout: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _ = self._after(1), self._after(2), channels.readout_error(*self.readout)

    def program(self, circuit: Circuit) -> Program:
        """See `Noise.program`."""
        steps = [step for operation in circuit.operations for step in self.noisy(operation)]
        error = channels.readout_error(*self.readout)
        reading = [Constant((wire,), error) for wire in range(circuit.qubits)]
        tails = []
        for change in basis_changes(circuit):
            turning = [step for operation in change for step in self.noisy(operation)]
            tails.append(tail([*turning, *reading], circuit.qubits))
        return Program(circuit.qubits, tuple(steps), tuple(tails))

    def noisy(self, operation: Operation) -> list[Step]:
        """A gate and its noise."""
        return [as_step(operation), Constant(operation.wires, self._after(len(operation.wires)))]

    def _after(self, wires: int) -> channels.Matrix:
        each = channels.phase_damping(self.dephasing) @ channels.amplitude_damping(self.damping)
        spread = channels.depolarizing(self.two_qubit if wires == 2 else self.one_qubit, wires)
        return channels.together([each] * wires) @ spread


@dataclass(frozen=True)
class Noisy:
    """Runs circuits as `simulate` does, but as a noisy machine would.

    Args:
        noise: what the noise is.
        shots: measurements of each basis; None gives the exact values of the noisy machine, which
            are differentiable (`parameter_shift` is for those with shots).
        generator: where outcomes are drawn from; torch's global one by default.
        checkpointed: recompute states on the way back instead of keeping them: a third more time,
            a fraction of the memory.

    Cost:
        Time O(C B 4^Q) a layer, where the exact simulator takes 2^Q; at most `MOST_QUBITS`,
        beyond which `hqgan.quantum.Trajectories` goes.

    Raises:
        ValueError: at call, for a circuit of more qubits.
    """

    noise: Noise
    shots: int | None = None
    generator: torch.Generator | None = field(default=None, compare=False)
    checkpointed: bool = False

    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C, P) in radians to (C, B, outputs)."""
        if circuit.qubits > MOST_QUBITS:
            raise ValueError(
                f"{circuit.qubits} qubits: noise is simulated exactly up to {MOST_QUBITS}, for the "
                "state of more does not fit into memory; use fewer, a device, or hqgan.quantum."
                "Trajectories, which is right on average but not differentiable"
            )
        lowered = lower(circuit)
        with torch.autocast(inputs.device.type, enabled=False):
            angles = lowered.angles(inputs, weights)
            flat = angles.flatten(0, 1)
            program = program_of(self.noise, lowered.circuit)
            chunk = max(1, CHUNK // 4**circuit.qubits)
            parts = [self._outputs(program, circuit, part) for part in flat.split(chunk)]
            values = torch.cat(parts) if parts else flat.new_zeros(0, circuit.outputs)
            return values.unflatten(0, angles.shape[:2])

    def _outputs(self, program: Program, circuit: Circuit, angles: Tensor) -> Tensor:
        """(B, A) radians to (B, outputs)."""
        if self.checkpointed and torch.is_grad_enabled():
            diagonals = checkpoint(program.run, angles, use_reentrant=False)
        else:
            diagonals = program.run(angles)
        assert diagonals is not None
        if self.shots is not None:
            shots = Shots(self.shots, self.generator)
            diagonals = [drawn(diagonal, shots) for diagonal in diagonals]
        return read(circuit, diagonals)


def drawn(diagonal: Tensor, shots: Shots) -> Tensor:
    """Coefficients (B, 2^Q) for a basis as they come out of so many measurements."""
    outcomes = probabilities(diagonal).clamp_min(0)
    return walsh(shots.frequencies(outcomes[None])[0])


def walsh(outcomes: Tensor) -> Tensor:
    """Probabilities or frequencies (B, 2^Q) to the coefficients of the words over I and Z."""
    return probabilities(outcomes) * outcomes.shape[-1]


def read(circuit: Circuit, diagonals: Sequence[Tensor]) -> Tensor:
    """What a circuit's read-out asks for, (B, outputs), of the coefficients for each basis."""
    if isinstance(circuit.readout, Probabilities):
        outcomes = probabilities(diagonals[0]).mT[None]  # (1, N, B), as `conditional` takes it
        return conditional(outcomes, circuit.readout, circuit.qubits)[0].mT
    words = circuit.readout.observables
    columns: dict[int, Tensor] = {}
    for diagonal, members in zip(diagonals, measurement_bases(words).values(), strict=True):
        for word in members:
            columns[word] = diagonal[:, place(words[word])]
    return torch.stack([columns[word] for word in range(len(words))], 1)


def place(word: str) -> int:
    """Where a word's coefficient stands, once its letters have been turned to Z."""
    return int("".join("0" if letter == "I" else "1" for letter in word), 2)


def basis_changes(circuit: Circuit) -> list[list[Operation]]:
    """For each measurement basis the gates that change to it."""
    if isinstance(circuit.readout, Probabilities):
        return [[]]
    return [basis_change(letters) for letters in measurement_bases(circuit.readout.observables)]


def as_step(operation: Operation) -> Step:
    """A gate without noise; slots are inputs, as lowering leaves them."""
    angle = operation.angle
    if angle is None:
        return Constant(operation.wires, channels.gate(operation.gate))
    if isinstance(angle, Slot):
        return Turn(operation.wires, operation.gate, (angle.index,), (1.0,))
    return Constant(operation.wires, channels.rotation(operation.gate, angle))


@lru_cache(maxsize=64)
def program_of(noise: Noise, circuit: Circuit) -> Program:
    """Made once for each circuit and noise."""
    return noise.program(circuit)
