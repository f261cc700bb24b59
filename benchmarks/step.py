"""What the circuits cost in a step of training, beside the published way and beside no circuits.

    python benchmarks/step.py [--repeats 20] [--slow-repeats 1] [--json]

1. A generator step of `mediq-v2` at 64 px (5 circuits of 16 qubits and depth 8 an image, batch 10):
   ours, and with the published code's simulation in its place: one call of lightning.qubit with its
   adjoint gradient for each sample and circuit. Both must give the same images. Convolutions run as
   in our training (bfloat16, channels last) in both; the circuits are also timed alone.
2. A whole step of training `hybridq` at 64 px (critic and generator, batch 64), and the same with
   the circuits' classical twin in their place, by turns.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from machine import describe
from torch import Tensor, nn

from hqgan.config import load_config
from hqgan.data import load_dataset
from hqgan.models.mediq_v2 import QUBITS, MediqV2Critic, MediqV2Generator
from hqgan.quantum import QuantumLayer
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.fabric import make_fabric

PUBLISHED_BAR, TWIN_BAR = 200, 1.10
BATCH = 10  # of the published command
ATOL = 1e-3  # of pixels in [-1, 1], behind a whole decoder
CLASSES = 8


class OneByOne(nn.Module):
    """A `QuantumLayer`'s circuits as the published code runs them: sample by sample, one by one."""

    def __init__(self, layer: QuantumLayer):
        super().__init__()
        import pennylane as qml

        self.weight = layer.weight
        qubits = layer.circuit.qubits
        device = qml.device("lightning.qubit", wires=qubits, c_dtype=np.complex64)

        @qml.qnode(device, interface="torch", diff_method="adjoint")
        def circuit(angles: Tensor, weights: Tensor) -> list[Any]:
            for wire in range(qubits):
                qml.RY(angles[wire], wires=wire)
            for wire in range(qubits):
                qml.RX(angles[wire], wires=wire)
            for row in weights.view(-1, qubits):
                for wire in range(qubits):
                    qml.RY(row[wire], wires=wire)
                for wire in range(qubits - 1):
                    qml.CZ(wires=[wire, wire + 1])
            return [qml.expval(qml.PauliX(wire)) for wire in range(qubits)]

        self.circuit = circuit

    def forward(self, angles: Tensor) -> Tensor:
        """Angles (B, C, Q) to values (B, C, Q)."""
        rows = [
            [torch.stack(self.circuit(a, w)) for a, w in zip(sample, self.weight, strict=True)]
            for sample in angles
        ]
        return torch.stack([torch.stack(row) for row in rows]).float()


def seconds(run: Callable[[], Any]) -> float:
    """How long one run takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def mediq_step(published: bool) -> tuple[Callable[[], Any], Callable[[], Any], Tensor]:
    """A generator step, its circuits alone, and the images of the untrained generator."""
    torch.manual_seed(0)
    generator, critic = MediqV2Generator(CLASSES), MediqV2Critic(CLASSES)
    if published:
        generator.quantum.circuits = OneByOne(generator.quantum.circuits)  # type: ignore[assignment]
    critic.requires_grad_(False)
    for module in (generator, critic):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    circuits = generator.quantum.circuits
    angles = torch.randn(BATCH, *circuits.weight.shape[:1], QUBITS, requires_grad=True)
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-4)
    z, y = torch.randn(BATCH, generator.z_dim), torch.arange(BATCH) % CLASSES

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            score = critic(generator(z, y), y).mean()
        (generator.penalty() - score).backward()
        optimiser.step()

    def circuits_alone() -> None:
        circuits(angles).mean().backward()

    with torch.no_grad():
        images = generator.eval()(z, y)
    generator.train()
    return step, circuits_alone, images


def against_the_published_way(repeats: int, slow_repeats: int) -> dict[str, Any]:
    """Seconds of both steps; the images of both must agree."""
    mine, my_circuits, images = mediq_step(published=False)
    theirs, their_circuits, reference = mediq_step(published=True)
    worst = (images - reference).abs().max().item()
    if not worst <= ATOL:
        raise SystemExit(f"the two ways differ by {worst:.2g}")
    report: dict[str, Any] = {"bar": PUBLISHED_BAR}
    pairs = {"step": (mine, theirs), "circuits": (my_circuits, their_circuits)}
    for name, (fast, slow) in pairs.items():
        fast()
        ours = statistics.median(seconds(fast) for _ in range(repeats))
        published = statistics.median(seconds(slow) for _ in range(slow_repeats))
        report[f"{name}_seconds"] = {"ours": ours, "published": published}
        report[f"{name}_ratio"] = published / ours
    return report


def against_the_twin(repeats: int) -> dict[str, Any]:
    """Seconds of training steps with circuits and with their classical twin, by turns."""
    trainers = {}
    for name, settings in {"hybridq": [], "twin": ["generator.twin=classical"]}.items():
        config = load_config("hybridq", assignments=settings)
        fabric = make_fabric(config.device, config.precision)
        trainers[name] = AdversarialTrainer(
            config, load_dataset("embedded", "train", config.size), fabric
        )
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for turn in range(repeats + 1):
        for name, trainer in trainers.items():
            # The step after the lazy penalty's: every 16th would be another kind of step.
            trainer.critic_steps = 1
            took = seconds(lambda trainer=trainer, turn=turn: trainer.step(64 * turn))
            if turn > 0:
                times[name].append(took)
    ratios = [a / b for a, b in zip(times["hybridq"], times["twin"], strict=True)]
    return {
        "hybridq_seconds": statistics.median(times["hybridq"]),
        "twin_seconds": statistics.median(times["twin"]),
        "ratio": statistics.median(ratios),
        "bar": TWIN_BAR,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--slow-repeats", type=int, default=1, help="of the published way")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, Any] = {"hybridq": against_the_twin(options.repeats)}
    try:
        report["mediq_v2"] = against_the_published_way(options.repeats, options.slow_repeats)
        report["pennylane_lightning"] = version("pennylane_lightning")
    except ImportError as error:
        print(f"the published way is left out: {error}", file=sys.stderr)
    report["machine"] = describe()
    if options.json:
        print(json.dumps(report))
        return
    for name, part in report.items():
        print(name, part)


if __name__ == "__main__":
    main()
