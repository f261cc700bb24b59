"""Devices and their calibrations: fake ones by name, lines of qubits, and what they do to circuits.

Needs the extra `quantum` (qiskit, qiskit-aer or qiskit-ibm-runtime), imported inside functions.

A fake device is a frozen snapshot of a real one, its calibration included, that comes with
qiskit-ibm-runtime; no account is needed. Circuits are put on a line of coupled qubits, so that a
chain of entanglers needs no routing.
"""

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hqgan.errors import MissingExtra, UsageError, did_you_mean
from hqgan.quantum import channels
from hqgan.quantum.circuit import Circuit, Operation
from hqgan.quantum.noise import basis_changes
from hqgan.quantum.pauli_transfer import Constant, Program, Step, Turn, tail

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.providers import BackendV2
    from qiskit.transpiler import Target

STARTS = 40
"""Lines are grown from the best pairs of qubits until there are as many; more are hardly better."""

LEVEL = 3
"""Of Qiskit's transpiler: it merges rotations and cancels gates."""


def fake_names() -> list[str]:
    """Names of the fake devices, such as "fake_marrakesh".

    Raises:
        MissingExtra: qiskit-ibm-runtime is absent.
    """
    return sorted(_fakes())


def fake_device(name: str) -> "BackendV2":
    """The snapshot of a device, by its name with or without "fake_".

    Raises:
        UsageError: there is none of this name.
        MissingExtra: qiskit-ibm-runtime is absent.
    """
    known = _fakes()
    whole = name.lower() if name.lower().startswith("fake_") else f"fake_{name.lower()}"
    if whole not in known:
        raise UsageError(
            f"no fake device is called {name!r}; among them are fake_marrakesh, fake_torino and "
            f"fake_manila, {len(known)} in all.{did_you_mean(whole, list(known))}"
        )
    return known[whole]


@lru_cache(maxsize=1)
def _fakes() -> "dict[str, BackendV2]":
    try:
        from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2
    except ImportError as error:
        raise MissingExtra("qiskit-ibm-runtime", "quantum", "a fake device") from error
    with warnings.catch_warnings():  # one of them says that its error rates are not typical
        warnings.simplefilter("ignore")
        return {device.name: device for device in FakeProviderForBackendV2().backends()}


def line(target: "Target", qubits: int) -> tuple[int, ...]:
    """The best line of `qubits` coupled qubits, by the errors of gates and read-out on it.

    Raises:
        UsageError: the device has no line that long.
    """
    found = lines(target, qubits, 1)
    if not found:
        raise UsageError(
            f"a circuit of {qubits} qubits needs a line of as many coupled qubits, and this "
            f"device, of {target.num_qubits} qubits, has none; take a larger one"
        )
    return found[0]


def lines(target: "Target", qubits: int, count: int) -> list[tuple[int, ...]]:
    """Up to `count` disjoint lines, the best first; fewer where no more are found.

    Each is the best of many found greedily, and then taken: no search over all sets of lines.
    """
    pairs, own = calibration(target)
    taken: set[int] = set()
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        candidates = list(_grown(pairs, own, taken, qubits))
        if not candidates:
            break
        best = min(candidates, key=lambda path: (cost(path, pairs, own), path))
        found.append(best)
        taken |= set(best)
    return found


def _grown(
    pairs: dict[tuple[int, int], float], own: dict[int, float], taken: set[int], qubits: int
) -> Iterator[tuple[int, ...]]:
    """Lines grown from the best pairs, at either end by the better neighbour."""
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs:
        neighbours.setdefault(a, []).append(b)
    free = [q for q in own if q not in taken]
    if qubits == 1:
        yield from ((q,) for q in free)
        return
    starts = sorted(
        (pair for pair in pairs if not taken & set(pair) and pair[0] < pair[1]),
        key=lambda pair: (cost(pair, pairs, own), pair),
    )
    grown = 0
    for start in starts:
        path = _extend(start, pairs, own, neighbours, taken, qubits)
        if path:
            yield path
            grown += 1
        if grown == STARTS:
            return


def _extend(
    start: tuple[int, ...],
    pairs: dict[tuple[int, int], float],
    own: dict[int, float],
    neighbours: dict[int, list[int]],
    taken: set[int],
    qubits: int,
) -> tuple[int, ...] | None:
    """Depth first, the cheapest extension first; gives up after a bounded number of steps."""
    budget = 200

    def further(path: tuple[int, ...]) -> tuple[int, ...] | None:
        nonlocal budget
        if len(path) == qubits:
            return path if path[0] < path[-1] else path[::-1]
        budget -= 1
        if budget < 0:
            return None
        ends = [(new, *path) for new in neighbours[path[0]]]
        ends += [(*path, new) for new in neighbours[path[-1]]]
        fresh = [p for p in ends if len(set(p)) == len(p) and not taken & {p[0], p[-1]}]
        for longer in sorted(fresh, key=lambda p: (cost(p, pairs, own), p)):
            whole = further(longer)
            if whole:
                return whole
        return None

    return further(start)


def cost(
    path: tuple[int, ...], pairs: dict[tuple[int, int], float], own: dict[int, float]
) -> float:
    """Expected number of errors, roughly: of one gate a pair and one read-out a qubit."""
    between = sum(pairs[pair] for pair in itertools.pairwise(path))
    return between + sum(own[qubit] for qubit in path)


def calibration(target: "Target") -> tuple[dict[tuple[int, int], float], dict[int, float]]:
    """Error of the two-qubit gate of each coupled pair, both ways round, and of each read-out."""
    pairs: dict[tuple[int, int], float] = {}
    for name in target.operation_names:
        for qargs, properties in (target[name] or {}).items():
            if qargs is None or len(qargs) != 2:
                continue
            error = 0.0 if properties is None or properties.error is None else properties.error
            for pair in (qargs, qargs[::-1]):
                pairs[pair] = min(error, pairs.get(pair, np.inf))
    own = {}
    for qubit in range(target.num_qubits or 0):
        measured = target["measure"].get((qubit,)) if "measure" in target else None
        own[qubit] = 0.0 if measured is None or measured.error is None else measured.error
    return pairs, own


def transpiled(
    circuit: "QuantumCircuit", backend: "BackendV2", line: tuple[int, ...], seed: int = 0
) -> "QuantumCircuit":
    """The circuit in the device's own gates, qubit i on the device's qubit line[i].

    Raises:
        UsageError: its two-qubit gates do not lie along the line, so that qubits would have to be
            moved about.
    """
    from qiskit.transpiler import generate_preset_pass_manager

    manager = generate_preset_pass_manager(
        optimization_level=LEVEL,
        backend=backend,
        initial_layout=list(line),
        seed_transpiler=seed,
    )
    result = manager.run(circuit)
    if result.layout is not None and result.layout.final_index_layout() != list(line):
        raise UsageError(
            f"the circuit's two-qubit gates do not lie along the line {line} of {backend.name}: "
            "use an entangler that is a chain, not a ring"
        )
    return result


@dataclass(frozen=True)
class DeviceNoise:
    """The noise of a calibrated device, gate by gate of the circuit as it runs it.

    The circuit is transpiled onto the best line; after each of its gates come the relaxation of its
    qubits for as long as the gate takes and what is left of the gate's reported error, as
    depolarising; at the end the read-out error of each qubit. This is the model that Qiskit Aer
    makes of a calibration. Idle qubits do not decay, and there is no cross-talk.

    Args:
        device: name of a fake device.
        strength: of the noise: errors and durations times this; 0 is a noiseless machine.

    Raises:
        UsageError: an unknown device, or a strength below 0.
        MissingExtra: qiskit-ibm-runtime is absent.
    """

    device: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength < np.inf:
            raise UsageError(f"the strength of noise is {self.strength}, but must be at least 0")
        fake_device(self.device)

    def program(self, circuit: Circuit) -> Program:
        """See `hqgan.quantum.noise.Noise.program`."""
        from hqgan.quantum.interop import to_qiskit

        backend = fake_device(self.device)
        on = line(backend.target, circuit.qubits)
        steps = self.steps(transpiled(to_qiskit(circuit), backend, on), backend.target, on)
        errors = [Constant((wire,), self.reading(backend.target, q)) for wire, q in enumerate(on)]
        tails = []
        for change in basis_changes(circuit):
            turned = transpiled(_of(change, circuit.qubits), backend, on)
            turning = self.steps(turned, backend.target, on)
            tails.append(tail([*turning, *errors], circuit.qubits))
        return Program(circuit.qubits, tuple(steps), tuple(tails))

    def steps(self, circuit: "QuantumCircuit", target: "Target", on: tuple[int, ...]) -> list[Step]:
        """Each gate of a transpiled circuit and its noise, wire i being the qubit on[i]."""
        places = {qubit: wire for wire, qubit in enumerate(on)}
        steps: list[Step] = []
        for instruction in circuit.data:
            operation = instruction.operation
            if operation.name == "barrier":
                continue
            qubits = tuple(circuit.find_bit(bit).index for bit in instruction.qubits)
            wires = tuple(places[qubit] for qubit in qubits)
            steps.append(_ideal(operation, wires))
            noise = self.after(target, operation.name, qubits)
            if noise is not None:
                steps.append(Constant(wires, noise))
        return steps

    def after(self, target: "Target", name: str, qubits: tuple[int, ...]) -> channels.Matrix | None:
        """The noise of a gate on these qubits, None where there is none."""
        properties = (target[name] or {}).get(qubits) if name in target else None
        if properties is None or not (properties.duration or properties.error):
            return None
        time = self.strength * (properties.duration or 0.0)
        each = (relaxed(target, qubit, time) for qubit in qubits)
        return channels.calibrated(
            self.strength * (properties.error or 0.0), channels.together(each)
        )

    def reading(self, target: "Target", qubit: int) -> channels.Matrix:
        """The read-out error of a qubit."""
        measured: Any = target["measure"].get((qubit,)) if "measure" in target else None
        if measured is None:
            return np.eye(4)
        even = measured.error or 0.0  # a calibration may tell the two errors apart
        one_for_zero = getattr(measured, "prob_meas1_prep0", even)
        zero_for_one = getattr(measured, "prob_meas0_prep1", even)
        # At 1/2 nothing is learned from a read-out; beyond, it would be learned again.
        return channels.readout_error(
            min(self.strength * one_for_zero, max(0.5, one_for_zero)),
            min(self.strength * zero_for_one, max(0.5, zero_for_one)),
        )


def relaxed(target: "Target", qubit: int, time: float) -> channels.Matrix:
    """What becomes of a qubit in `time` seconds; nothing where its T1 and T2 are not known."""
    own: Any = target.qubit_properties[qubit] if target.qubit_properties else None
    if own is None or not (own.t1 and own.t2):
        return np.eye(4)
    return channels.thermal_relaxation(own.t1, own.t2, time)


def _of(operations: list[Operation], qubits: int) -> "QuantumCircuit":
    """Gates without a read-out, for the transpiler."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(qubits)
    for operation in operations:
        angles = () if operation.angle is None else (operation.angle,)
        getattr(circuit, operation.gate)(*angles, *operation.wires)
    return circuit


def _ideal(operation: Any, wires: tuple[int, ...]) -> Step:
    """A gate of a device: a rotation whose angle is affine in the parameters, or a constant."""
    parameters = operation.params
    if len(parameters) == 1 and getattr(parameters[0], "parameters", None):
        expression = parameters[0]
        slots = sorted(expression.parameters, key=lambda parameter: parameter.index)
        constant = float(expression.bind(dict.fromkeys(slots, 0.0)).numeric())
        factors = tuple(float(expression.gradient(slot)) for slot in slots)
        numbers = tuple(slot.index for slot in slots)
        return Turn(wires, operation.name, numbers, factors, constant)
    unitary = np.asarray(operation.to_matrix())
    if len(wires) == 2:  # Qiskit's first qubit is the least significant
        unitary = unitary.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
    return Constant(wires, channels.transfer_matrix([unitary]))
