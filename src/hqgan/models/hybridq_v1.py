"""A reconstruction of the first HybridQ (arXiv 2506.21015 v1, June 2025), preset `hybridq-v1`.

    z (B,128), y ─► linear, batch norm ─► (B,100) ─┬─────────────────────────┬─► (B,140) ─► decoder
                                                   └─► 8 circuits ─► (B,40) ─┘

Evidence level: **reconstruction**. The first version published neither code nor these numbers:
qubits, layers, ansatz and widths below are *our choice* and must not be quoted as HybridQ's. What
speaks for them:

- the claim itself, "classical-quantum latent space fusion": a classical latent and quantum
  read-outs, decoded jointly;
- leftovers in the second version's code: unused classes with a linear 128 -> 100 encoder, a decoder
  100 -> 64x8x8 -> transposed convolutions 64-32-16-3, and a 64/128/256 critic that takes the label
  as a fourth image channel;
- the second version credits MosaiQ (Silver et al. 2023, arXiv 2308.11096) and keeps its circuit
  gate for gate.

Choices that nothing fixes: the label enters the generator as a learned vector added before the
batch norm (a linear layer on z and the one-hot label); the angles are linear in the latent, so that
both streams see z and the label; the label channel of the critic is a learned plane for each class.
MosaiQ's adaptive noise bound, which the first version probably had, is left out: the batch norm
after the first layer would divide it away.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models.critic import Critic
from hqgan.models.generator import Generator
from hqgan.quantum import QuantumLayer, layered

SUB_GENERATORS = 8
QUBITS = 5  # of each sub-generator; each gives one <X>, hence 40 quantum features
LATENT = 100  # classical features
START = 8  # edge of the decoder's first map
LEAK = 0.2  # negative slope of every leaky ReLU
# Channels before each transposed convolution; the code's model is 64 px, the others drop or add one
TAIL_CHANNELS = {32: (64, 32), 64: (64, 32, 16), 128: (64, 32, 16, 8)}


class HybridQV1Generator(Generator):
    """Class-conditional generator of the first paper, as reconstructed above.

    0.64 M parameters at 64 px and K = 8, 240 of them quantum. Cost: 8 circuits of 5 qubits an
    image.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        z_dim: length of the latent vector.
        depth: trainable layers (RY on each qubit, CZ on neighbours) of each circuit; MosaiQ's is 6.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64, z_dim: int = 128, depth: int = 6):
        super().__init__()
        check_size("hybridq-v1", size)
        self.classes, self.size, self.z_dim, self.depth = classes, size, z_dim, depth
        self.encoder = nn.Linear(z_dim, LATENT, bias=False)  # the norm has one
        self.label = nn.Embedding(classes, LATENT)
        self.norm = nn.BatchNorm1d(LATENT)
        self.quantum = QuantumFeatures(LATENT, depth)
        self.start = nn.Linear(LATENT + SUB_GENERATORS * QUBITS, TAIL_CHANNELS[size][0] * START**2)
        self.tail = transposed_tail(size)
        preserve_variance(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents (B, z_dim) and class indices (B,) to images (B, 3, S, S) in [-1, 1]."""
        latent = F.leaky_relu(self.norm(self.encoder(z) + self.label(y)), LEAK)  # (B, 100)
        fused = torch.cat([latent, self.quantum(latent)], 1)  # (B, 140)
        start = F.relu(self.start(fused)).view(z.shape[0], -1, START, START)  # (B, 64, 8, 8)
        return torch.tanh(self.tail(start).float())


class QuantumFeatures(nn.Module):
    """Latent (B, 100) to 40 expectation values: 8 circuits, their angles linear in the latent."""

    def __init__(self, in_features: int, depth: int):
        super().__init__()
        self.to_angles = nn.Linear(in_features, SUB_GENERATORS * QUBITS)
        self.circuits = mosaiq_circuits(SUB_GENERATORS, QUBITS, depth)

    def forward(self, latent: Tensor) -> Tensor:
        angles = self.to_angles(latent).view(-1, SUB_GENERATORS, QUBITS)
        return self.circuits(angles.float()).flatten(1)  # half precision is for convolutions only


class HybridQV1Critic(Critic):
    """Images (B, 3, S, S) in [-1, 1] and class indices (B,) to one logit each (B,), for BCE.

    Three convolutions (k4 s2, 64-128-256) and a linear layer; the label is a fourth image channel.
    No normalisation, hence a variance-preserving initialisation; both are our choice (see the
    module's evidence level).

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64):
        super().__init__()
        check_size("hybridq-v1", size)
        self.classes, self.size = classes, size
        self.label = nn.Embedding(classes, size * size)
        self.features = strided_convolutions((4, 64, 128, 256))
        self.logit = nn.Linear(256 * (size // 8) ** 2, 1)
        preserve_variance(self)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        plane = self.label(y).view(-1, 1, self.size, self.size).to(images.dtype)
        h = self.features(torch.cat([images, plane], 1))  # (B, 256, S/8, S/8)
        return self.logit(h.flatten(1)).squeeze(1).float()


def mosaiq_circuits(circuits: int, qubits: int, depth: int) -> QuantumLayer:
    """The circuits of MosaiQ and of both versions of the paper: (B, C, Q) radians to <X> (B, C, Q).

    RY(x) then RX(x) on every qubit with the same angle; `depth` times [RY(weight) on every qubit,
    CZ on neighbours in an open chain]. Weights (C, depth x Q) start uniform in [0, 1) radians, as
    published.
    """
    circuit = layered(
        qubits, depth, encoding="ry+rx", rotation="ry", entangler="cz_chain", readout="x"
    )
    layer = QuantumLayer(circuit, circuits=circuits)
    nn.init.uniform_(layer.weight, 0, 1)
    return layer


def check_size(preset: str, size: int) -> None:
    """Raise UsageError unless the paper's models are offered at this size."""
    if size not in TAIL_CHANNELS:
        raise UsageError(
            f"{preset} cannot make images of {size} pixels; it is defined for "
            f"{', '.join(map(str, TAIL_CHANNELS))}. Choose one of these with --size."
        )


def transposed_tail(size: int) -> nn.Sequential:
    """The decoder's end in both versions: (B, 64, 8, 8) to (B, 3, S, S), before the tanh."""
    widths = (*TAIL_CHANNELS[size], 3)
    layers: list[nn.Module] = []
    for channels, narrower in pairwise(widths):
        layers += [nn.ConvTranspose2d(channels, narrower, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])  # the last convolution ends in tanh, not ReLU


def strided_convolutions(widths: tuple[int, ...]) -> nn.Sequential:
    """Convolutions k4 s2 p1 through these channel counts, each followed by a leaky ReLU."""
    layers: list[nn.Module] = []
    for channels, wider in pairwise(widths):
        layers += [nn.Conv2d(channels, wider, 4, 2, 1), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers)


def preserve_variance(model: nn.Module) -> None:
    """He initialisation for leaky ReLU (He et al. 2015, arXiv 1502.01852), zero biases, in place.

    PyTorch's default shrinks the signal at each layer: without normalisation a critic then hardly
    learns, and the images of `mediq-v2` would start 6e-5 apart, a hundredth of a grey level.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=LEAK)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
