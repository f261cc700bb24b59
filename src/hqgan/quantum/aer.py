"""Noisy devices in Qiskit Aer: density matrices of transpiled, measured circuits.

The noise is what Aer makes of a calibration: depolarising and relaxation after each gate, and
read-out errors, all local. So qubits that no gate joins are simulated apart, whatever the size of
the device: sixteen circuits side by side are sixteen small density matrices, not a large one.
"""

import importlib.util
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgan.errors import MissingExtra, UsageError
from hqgan.quantum.circuit import Circuit
from hqgan.quantum.devices import fake_device, line, transpiled
from hqgan.quantum.interop import outcomes_from_qiskit
from hqgan.quantum.jobs.packing import measured, values_for
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import read, walsh
from hqgan.quantum.shots import Shots

Floats = NDArray[np.float64]

MOST_QUBITS = 12
"""The density matrix of 12 qubits takes 256 MiB."""

ROWS = 512
"""Parameter sets that Aer is given at once."""


@dataclass(frozen=True)
class Part:
    """Measured qubits that belong together, and the distribution of what is read of them.

    Args:
        bits: numbers of the classical bits.
        outcomes: (R, 2^bits), the first bit the most significant, read-out errors included.
    """

    bits: tuple[int, ...]
    outcomes: Floats


class AerNoise:
    """What a device of qiskit does to circuits, as Aer simulates it from its calibration.

    Args:
        backend: a `BackendV2` whose target has errors and durations.

    Raises:
        MissingExtra: qiskit-aer is absent.
    """

    def __init__(self, backend: Any):
        if importlib.util.find_spec("qiskit_aer") is None:
            raise MissingExtra("qiskit-aer", "quantum", "the noise model of a device")
        self.backend = backend
        self._errors: dict[tuple[str, tuple[int, ...]], Any] = {}

    def _error(self, name: str, qubits: tuple[int, ...]) -> Any:
        """What follows a gate, None for nothing; of these qubits only, for all take seconds."""
        from qiskit.transpiler import Target
        from qiskit_aer.noise.device import basic_device_gate_errors

        if (name, qubits) not in self._errors:
            target = self.backend.target
            own = target.qubit_properties and [target.qubit_properties[q] for q in qubits]
            alone = Target(num_qubits=len(qubits), qubit_properties=own, dt=target.dt)
            if name in target:
                properties = (target[name] or {}).get(qubits)
                on = {tuple(range(len(qubits))): properties}
                alone.add_instruction(target.operation_from_name(name), on)
            found = basic_device_gate_errors(target=alone)
            self._errors[name, qubits] = found[0][2] if found else None
        return self._errors[name, qubits]

    @cached_property
    def _readout(self) -> dict[int, Floats]:
        """Of each qubit P(read | true), (true, read)."""
        from qiskit_aer.noise.device import basic_device_readout_errors

        errors = basic_device_readout_errors(target=self.backend.target)
        return {qubit: np.asarray(error.probabilities) for (qubit,), error in errors}

    def parts(self, circuit: Any, values: Floats) -> list[Part]:
        """What is read of a transpiled, measured circuit.

        Args:
            circuit: measurements last, each qubit into one bit.
            values: (R, parameters) radians, in the order of `circuit.parameters`.

        Raises:
            UsageError: more than `MOST_QUBITS` qubits belong together.
        """
        where = {bit: number for number, bit in enumerate(circuit.qubits)}
        bits = {
            where[i.qubits[0]]: circuit.find_bit(i.clbits[0]).index
            for i in circuit.data
            if i.operation.name == "measure"
        }
        found = []
        for qubits in _joined(circuit, where):
            seen = [qubit for qubit in qubits if qubit in bits]
            if not seen:
                continue
            if len(qubits) > MOST_QUBITS:
                raise UsageError(
                    f"{len(qubits)} qubits are entangled, but a device is simulated up to "
                    f"{MOST_QUBITS} at once; use fewer qubits, or a real device"
                )
            outcomes = self._density(circuit, where, qubits, seen, values)
            for place, qubit in enumerate(seen):
                outcomes = self._misread(outcomes, place, qubit)
            found.append(Part(tuple(bits[qubit] for qubit in seen), outcomes))
        return found

    def _density(
        self,
        circuit: Any,
        where: dict[Any, int],
        qubits: list[int],
        seen: list[int],
        values: Floats,
    ) -> Floats:
        """(R, 2^seen): outcomes of perfect measurements."""
        from qiskit import QuantumCircuit
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel

        place = {qubit: number for number, qubit in enumerate(qubits)}
        small = QuantumCircuit(len(qubits))
        gates = set()
        for instruction in circuit.data:
            on = tuple(where[bit] for bit in instruction.qubits)
            if instruction.operation.name not in ("measure", "barrier") and on[0] in place:
                small.append(instruction.operation, [place[qubit] for qubit in on])
                gates.add((instruction.operation.name, on))
        small.save_probabilities([place[qubit] for qubit in seen])
        model = NoiseModel()
        for name, on in sorted(gates):
            error = self._error(name, on)
            if error is not None:
                model.add_quantum_error(error, name, [place[qubit] for qubit in on])
        simulator = AerSimulator(method="density_matrix", noise_model=model)
        column = {parameter: number for number, parameter in enumerate(circuit.parameters)}
        own = list(small.parameters)
        outcomes = []
        for start in range(0, len(values) if own else 1, ROWS):
            chunk = values[start : start + ROWS]
            binds = [{p: chunk[:, column[p]].tolist() for p in own}] if own else None
            result = simulator.run(small, parameter_binds=binds).result()
            if not result.success:
                raise RuntimeError(f"Aer failed on {len(qubits)} qubits: {result.status}")
            outcomes += [result.data(i)["probabilities"] for i in range(len(result.results))]
        probabilities = outcomes_from_qiskit(np.stack(outcomes))
        return np.broadcast_to(probabilities, (len(values), probabilities.shape[1]))

    def _misread(self, outcomes: Floats, place: int, qubit: int) -> Floats:
        error = self._readout.get(qubit)
        if error is None:
            return outcomes
        axes = outcomes.reshape(len(outcomes), 2**place, 2, -1)
        return np.einsum("natk,tr->nark", axes, error).reshape(outcomes.shape)


def _joined(circuit: Any, where: dict[Any, int]) -> list[list[int]]:
    """Qubits of a circuit in groups that gates connect, ascending; qubits without one are left."""
    group: dict[int, list[int]] = {}
    for instruction in circuit.data:
        if instruction.operation.name == "barrier":
            continue
        merged: list[int] = []
        for qubit in (where[bit] for bit in instruction.qubits):
            if qubit not in merged:
                merged += group.get(qubit, [qubit])
        for qubit in merged:
            group[qubit] = merged
    distinct = {id(members): members for members in group.values()}
    return sorted(sorted(members) for members in distinct.values())


def joint(parts: Iterable[Part], bits: int) -> Floats:
    """Distribution (R, 2^bits) of all bits, the first the most significant."""
    order: list[int] = []
    whole: Floats = np.ones((1, 1))
    for part in parts:
        whole = (whole[:, :, None] * part.outcomes[:, None, :]).reshape(len(part.outcomes), -1)
        order += part.bits
    axes = whole.reshape(-1, *(2,) * bits)
    return axes.transpose(0, *(1 + order.index(bit) for bit in range(bits))).reshape(whole.shape)


class AerRun:
    """A `Run`: exact values of a fake device's noise model, or values from shots.

    The circuit is measured in each of its bases, transpiled once onto the best line of the device,
    and kept. The gates that change the basis are part of it, noise and all.

    Args:
        device: name of a fake device.
        shots: of each basis; None gives the exact values of the noisy device.
        seed: of the transpiler and of the shots.

    Cost:
        Time O(C B 4^Q) a gate: 10 s for 8 qubits, 4 layers and 64 samples on two cores. Not
        differentiable; `hqgan.quantum.noise` is the same noise, faster and differentiable.

    Raises:
        UsageError: an unknown device, or at call a circuit that it has no line for.
        MissingExtra: qiskit-ibm-runtime or qiskit-aer is absent.
    """

    def __init__(self, device: str, shots: int | None = None, seed: int = 0):
        self.backend = fake_device(device)
        self.noise = _noise_of(self.backend)
        self.seed = seed
        self.shots = None
        if shots is not None:
            self.shots = Shots(shots, torch.Generator().manual_seed(seed))
        self._kept: dict[Circuit, list[Any]] = {}

    def circuits(self, circuit: Circuit) -> list[Any]:
        """The transpiled circuit of each basis; of a lowered circuit."""
        if circuit not in self._kept:
            on = line(self.backend.target, circuit.qubits)
            self._kept[circuit] = [
                transpiled(one, self.backend, on, self.seed) for one in measured(circuit, 1)
            ]
        return self._kept[circuit]

    @torch.no_grad()
    def __call__(self, circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
        """Inputs (C or 1, B, I) and weights (C or 1, P) in radians to (C, B, outputs)."""
        lowered = lower(circuit)
        angles = lowered.angles(inputs.double().cpu(), weights.double().cpu())
        rows = angles.flatten(0, 1).numpy()
        diagonals = []
        for one in self.circuits(lowered.circuit) if len(rows) else []:
            parts = self.noise.parts(one, values_for(one, rows))
            outcomes = torch.from_numpy(joint(parts, circuit.qubits).copy())
            if self.shots is not None:
                outcomes = self.shots.frequencies(outcomes.clamp_min(0)[None])[0]
            diagonals.append(walsh(outcomes))
        values = read(circuit, diagonals) if diagonals else angles.new_zeros(0, circuit.outputs)
        return values.unflatten(0, angles.shape[:2]).to(inputs)


@lru_cache(maxsize=8)
def _noise_of(backend: Any) -> AerNoise:
    return AerNoise(backend)


class AerSampler:
    """Answers sampler PUBs as a noisy device would; stands where a `BaseSamplerV2` does.

    Args:
        backend: a fake device.
        seed: of the shots.
    """

    def __init__(self, backend: Any, seed: int = 0):
        self.noise = _noise_of(backend)
        self.random = np.random.default_rng(seed)

    def run(self, pubs: Iterable[Any], *, shots: int) -> "Answered":
        """Simulate at once; `Answered.result()` is a `PrimitiveResult`."""
        from qiskit.primitives import PrimitiveResult
        from qiskit.primitives.containers.sampler_pub import SamplerPub

        return Answered(PrimitiveResult([self._one(SamplerPub.coerce(p, shots)) for p in pubs]))

    def _one(self, pub: Any) -> Any:
        from qiskit.primitives.containers import BitArray, DataBin, SamplerPubResult

        circuit = pub.circuit
        values = pub.parameter_values.as_array(circuit.parameters)
        rows = values.reshape(math.prod(pub.shape), circuit.num_parameters)
        read = np.zeros((len(rows), pub.shots, circuit.num_clbits), dtype=bool)
        for part in self.noise.parts(circuit, rows):
            outcomes = self._drawn(part.outcomes, pub.shots)
            for place, bit in enumerate(reversed(part.bits)):
                read[..., bit] = outcomes >> place & 1
        data = {}
        for register in circuit.cregs:
            numbers = [circuit.find_bit(bit).index for bit in register]
            bits = read[..., numbers].reshape(*pub.shape, pub.shots, len(numbers))
            data[register.name] = BitArray.from_bool_array(bits, order="little")
        return SamplerPubResult(DataBin(**data, shape=pub.shape))

    def _drawn(self, outcomes: Floats, shots: int) -> NDArray[np.int64]:
        """(R, shots) numbers of outcomes."""
        edges = outcomes.clip(0).cumsum(1)
        edges /= edges[:, -1:]
        drawn = self.random.random((len(outcomes), shots))
        return np.stack(
            [np.searchsorted(e, d, side="right") for e, d in zip(edges, drawn, strict=True)]
        ).clip(max=outcomes.shape[1] - 1)


@dataclass(frozen=True)
class Answered:
    """A job that is done when it is made."""

    answer: Any

    def result(self) -> Any:
        """The answer."""
        return self.answer
