"""How fast the quantum rivals train here, beside one PennyLane call for each sample and circuit.

    python benchmarks/rivals.py [--models pqwgan mosaiq] [--repeats 5] [--slow-samples 1] [--json]

`pqwgan` and `mosaiq` at 64 px with the batches, losses and optimisers of their presets: a critic
step and a generator step through the same fakes, images of the batch a second. Beside it the same
step with the circuits run as both public codes run them, in a Python loop over samples and
circuits: PennyLane's default.qubit with backprop, as PQWGAN's, or lightning.qubit with its adjoint
gradient (which knows no probabilities), whichever is faster on one circuit. Both ways must give the
same images. The slow way's time grows linearly with the batch, so it is taken on a batch of
`--slow-samples`. PQWGAN's generator steps after each critic step here, in both ways; in its recipe
after every fifth.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from machine import describe
from torch import Tensor, nn

from hqgan.models import Generator
from hqgan.models.dense_critic import DenseCritic
from hqgan.models.latent_gans import MosaiQGenerator
from hqgan.models.quantum_gans import PQWGANGenerator
from hqgan.quantum import Probabilities, QuantumLayer
from hqgan.training.losses import critic_loss, generator_loss

BAR = 20
CLASSES = 8
ATOL = 1e-4  # of pixels in [-1, 1]
GP_LAMBDA = 10.0
SIMULATORS = (("default.qubit", "backprop"), ("lightning.qubit", "adjoint"))
Gates = Callable[[Tensor, Tensor], None]
Optimisers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]


class Rival(NamedTuple):
    """A model, its gates in PennyLane, and its published training."""

    build: Callable[[], Generator]
    gates: Gates
    loss: str
    batch: int
    widths: tuple[int, ...]
    leak: float
    optimisers: Callable[[nn.Module, nn.Module], Optimisers]


def pqwgan_gates(angles: Tensor, weights: Tensor) -> None:
    """RY(z), then layers of Rot and a CNOT chain."""
    import pennylane as qml

    qubits = len(angles)
    for wire in range(qubits):
        qml.RY(angles[wire], wires=wire)
    for layer in weights.view(-1, qubits, 3):
        for wire in range(qubits):
            qml.Rot(*layer[wire], wires=wire)
        for wire in range(qubits - 1):
            qml.CNOT(wires=[wire, wire + 1])


def mosaiq_gates(angles: Tensor, weights: Tensor) -> None:
    """RY(z) RX(z), then layers of RY and a CZ chain."""
    import pennylane as qml

    qubits = len(angles)
    for wire in range(qubits):
        qml.RY(angles[wire], wires=wire)
        qml.RX(angles[wire], wires=wire)
    for layer in weights.view(-1, qubits):
        for wire in range(qubits):
            qml.RY(layer[wire], wires=wire)
        for wire in range(qubits - 1):
            qml.CZ(wires=[wire, wire + 1])


RIVALS = {
    "pqwgan": Rival(
        lambda: PQWGANGenerator(CLASSES),
        pqwgan_gates,
        "wgan-gp",
        32,
        (512, 256),
        0.2,
        lambda g, d: (
            torch.optim.Adam(g.parameters(), lr=0.01, betas=(0.0, 0.9)),
            torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.0, 0.9)),
        ),
    ),
    "mosaiq": Rival(
        lambda: MosaiQGenerator(CLASSES),
        mosaiq_gates,
        "bce",
        8,
        (64, 16),
        0.0,
        lambda g, d: (
            torch.optim.SGD(g.parameters(), lr=0.3),
            torch.optim.SGD(d.parameters(), lr=0.05),
        ),
    ),
}


class OneByOne(nn.Module):
    """A `QuantumLayer`'s circuits, sample by sample and circuit by circuit, in PennyLane."""

    def __init__(self, layer: QuantumLayer, gates: Gates, device: str, method: str):
        super().__init__()
        import pennylane as qml

        self.weight = layer.weight
        qubits = layer.circuit.qubits
        self.postselected = isinstance(layer.circuit.readout, Probabilities)

        @qml.qnode(qml.device(device, wires=qubits), interface="torch", diff_method=method)
        def circuit(angles: Tensor, weights: Tensor) -> Any:
            gates(angles, weights)
            if self.postselected:
                return qml.probs(wires=range(qubits))
            return [qml.expval(qml.PauliX(wire)) for wire in range(qubits)]

        self.circuit = circuit

    def forward(self, angles: Tensor) -> Tensor:
        """Angles (B, C, Q) to values (B, C, outputs)."""
        rows = [
            torch.stack([self.run(a, w) for a, w in zip(sample, self.weight, strict=True)])
            for sample in angles
        ]
        return torch.stack(rows).float()

    def run(self, angles: Tensor, weights: Tensor) -> Tensor:
        """One circuit of one sample: (Q,) to (outputs,)."""
        values = self.circuit(angles, weights)
        if not self.postselected:
            return torch.stack(values)
        kept = values[: len(values) // 2]  # the ancilla, qubit 0, in |0>
        return kept / kept.sum()


def seconds(run: Callable[[], Any]) -> float:
    """How long one run takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def fastest_simulator(layer: QuantumLayer, gates: Gates) -> tuple[str, str]:
    """The simulator whose forward and backward pass of one circuit takes least."""
    times = {}
    probabilities = isinstance(layer.circuit.readout, Probabilities)
    for device, method in SIMULATORS[:1] if probabilities else SIMULATORS:
        slow = OneByOne(layer, gates, device, method)
        angles = torch.rand(layer.circuit.inputs, requires_grad=True)

        def once(slow: OneByOne = slow, angles: Tensor = angles) -> None:
            slow.run(angles, slow.weight[0]).square().sum().backward()

        once()
        times[device, method] = min(seconds(once) for _ in range(3))
    layer.weight.grad = None
    return min(times, key=lambda key: times[key])


def make_step(rival: Rival, generator: Generator, batch: int) -> Callable[[], None]:
    """A step of training on codes of random images: the critic's, then the generator's."""
    torch.manual_seed(1)
    critic = DenseCritic(CLASSES, inputs=generator.code_size, widths=rival.widths, leak=rival.leak)
    of_generator, of_critic = rival.optimisers(generator, critic)
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, generator.size, generator.size) * 2 - 1
    y = torch.arange(batch) % CLASSES

    def step() -> None:
        real = generator.encode(images).flatten(1)
        fake = generator.code(generator.sample_z(batch, rng), y).flatten(1)
        loss = critic_loss(rival.loss, critic(real, y), critic(fake.detach(), y))
        if rival.loss == "wgan-gp":
            loss = loss + penalty(critic, real, fake.detach(), y)
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        adversarial = generator_loss(rival.loss, critic(fake, y))
        of_generator.zero_grad()
        adversarial.backward()
        of_generator.step()
        generator.observe_losses(loss.item(), adversarial.item())

    return step


def penalty(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
    """WGAN-GP's, on flat codes."""
    between = torch.lerp(real, fake, torch.rand(len(real), 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between, y).sum(), between, create_graph=True)
    return GP_LAMBDA * (gradient.norm(dim=1) - 1).square().mean()


def measure(name: str, repeats: int, slow_samples: int) -> dict[str, Any]:
    """Images/s of both ways; their images must agree."""
    rival = RIVALS[name]
    torch.manual_seed(0)
    generator = rival.build().eval()
    layer: QuantumLayer = generator.circuits  # type: ignore[assignment]
    device, method = fastest_simulator(layer, rival.gates)
    z = generator.sample_z(1, torch.Generator().manual_seed(0))
    y = torch.tensor([1])
    with torch.no_grad():
        images = generator(z, y)
        slow = OneByOne(layer, rival.gates, device, method)
        generator.circuits = slow
        worst = (generator(z, y) - images).abs().max().item()
    if not worst <= ATOL:
        raise SystemExit(f"{name}: the two ways differ by {worst:.2g}")
    generator.train()
    theirs = statistics.median(
        seconds(make_step(rival, generator, slow_samples)) for _ in range(max(1, repeats // 5))
    )
    generator.circuits = layer
    fast = make_step(rival, generator, rival.batch)
    fast()
    ours = statistics.median(seconds(fast) for _ in range(repeats))
    return {
        "batch": rival.batch,
        "images_per_second": rival.batch / ours,
        "peer": f"PennyLane {device}, {method}",
        "peer_batch": slow_samples,
        "peer_images_per_second": slow_samples / theirs,
        "ratio": rival.batch / ours * theirs / slow_samples,
        "bar": BAR,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow-samples", type=int, default=1, help="batch of the slow way")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if find_spec("pennylane") is None:
        print("rivals: nothing to compare with; PennyLane comes with pip install 'hqgan[bench]'")
        return
    report: dict[str, Any] = {
        name: measure(name, options.repeats, options.slow_samples) for name in options.models
    }
    report["pennylane"] = version("pennylane")
    report["machine"] = describe()
    if options.json:
        print(json.dumps(report))
        return
    for name in options.models:
        part = report[name]
        print(
            f"{name}: {part['images_per_second']:.1f} images/s in batches of {part['batch']}; "
            f"{part['peer']}: {part['peer_images_per_second']:.3g}; "
            f"ratio {part['ratio']:.0f} (bar {BAR})"
        )
    print("machine", report["machine"])


if __name__ == "__main__":
    main()
