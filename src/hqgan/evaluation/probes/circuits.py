"""Everything about the circuits of a run, its weights and its family."""

from dataclasses import dataclass

from torch import Tensor

from hqgan.evaluation.probes.families import Family, GradientVariance, family_of, trainability
from hqgan.evaluation.probes.states import (
    Entangling,
    Expressibility,
    entangling,
    expressibility,
    random_states,
)
from hqgan.quantum import QuantumLayer

MOST_QUBITS = 10  # of what is simulated here: 16 would take minutes


@dataclass(frozen=True)
class CircuitProbe:
    """Everything about a run's circuits.

    Beyond 10 qubits the family's circuit of 10 stands for the run's, and `qubits` says so. Lists
    are empty where no family has this circuit and so nothing can stand for it. `samples` circuits
    are behind each gradient variance.
    """

    drawing: str
    qubits: int
    layers: int | None
    family: Family | None
    gradients: list[GradientVariance]
    expressibility: list[Expressibility]
    entangling: list[Entangling]
    samples: int
    seed: int


def probe_circuits(
    layer: QuantumLayer,
    seed: int,
    *,
    samples: int = 200,
    pairs: int = 5000,
    qubits: tuple[int, ...] = (2, 4, 6, 8, 10),
) -> CircuitProbe:
    """Trainability at 1, L, 2 L and 4 L layers, expressibility and entangling capability.

    `samples` circuits stand behind each gradient variance, `pairs` behind each expressibility.
    """
    family, layers = family_of(layer.circuit) or (None, None)
    gradients: list[GradientVariance] = []
    if family is not None and layers:
        depths = tuple(sorted({1, layers, 2 * layers, 4 * layers}))
        gradients = trainability(family, qubits, depths, samples, seed)
    circuit = layer.circuit
    measured: dict[str, Tensor | None] = {"uniform": None, "trained": layer.weight}
    if circuit.qubits > MOST_QUBITS:
        # The run's weights say nothing of a circuit of another width.
        measured = {"uniform": None} if family else {}
        circuit = family.circuit(MOST_QUBITS, layers or 0) if family else circuit
    spread, tangled = [], []
    for angles, weights in measured.items():
        one, other = random_states(circuit, pairs, seed, weights)
        spread.append(expressibility(one, other, angles, seed))
        tangled.append(entangling(one, angles, seed))
    return CircuitProbe(
        drawing=layer.circuit.draw(),
        qubits=circuit.qubits,
        layers=layers,
        family=family,
        gradients=gradients,
        expressibility=spread,
        entangling=tangled,
        samples=samples,
        seed=seed,
    )
