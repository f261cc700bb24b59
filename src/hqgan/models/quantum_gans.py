"""The patch quantum GANs in colour and with classes, presets `qpatch` and `pqwgan`.

    z (B,Q) ─► + class angles ─► 48 circuits ─► P(pixel | ancilla in |0>) ─► / maximum ─► 4x4
                                 (3 channels x 16 patches)                    patches, 3 channels

Each circuit paints one square patch of one colour channel: its Q - 1 data qubits have a basis state
for each of the 2^(Q-1) pixels, in rows. The brightest pixel of every patch is 1 by construction,
which limits both models whatever they learn.

Evidence level: **public code**, followed from a description in words. What is ours, since the
papers are about small grey digits and one class at a time:
- colour: each channel has circuits of its own; all of them get the same z, as all patches do;
- a grid of 4x4 patches at every size, so that the circuits grow (8 + 1 qubits at 64 px) and not
  their number;
- the class: a learned offset of the angles for each class and circuit (see `ClassAngles`).
"""

import math

import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models.generator import Generator
from hqgan.models.latents import ClassAngles
from hqgan.quantum import QuantumLayer, layered

GRID = 4  # patches along an edge
CHANNELS = 3
CIRCUITS = CHANNELS * GRID**2
SIZES = (8, 16, 32, 64, 128)  # (S / 4)^2 pixels of a patch are the 2^d outcomes of d data qubits


class PatchGenerator(Generator):
    """What both models share; they differ in gates, prior and training.

    Args:
        classes: number of classes K.
        size: edge of the image, one of `SIZES`.
        layers: L, layers of rotations and entangler.
        rotation: gates with weights on each qubit, see `hqgan.quantum.layered`.
        entangler: gates between neighbours after them, likewise.
        prior: z is uniform in [0, prior) radians.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(
        self, classes: int, size: int, layers: int, rotation: str, entangler: str, prior: float
    ):
        super().__init__()
        if size not in SIZES:
            raise UsageError(
                f"a grid of 4x4 patches cannot make images of {size} pixels; choose one of "
                f"{', '.join(map(str, SIZES))} with --size."
            )
        self.patch = size // GRID
        self.z_dim = 1 + 2 * int(math.log2(self.patch))  # the ancilla, and the data qubits
        self.classes, self.size, self.layers, self.prior = classes, size, layers, prior
        circuit = layered(
            self.z_dim, layers, rotation=rotation, entangler=entangler, readout="postselected"
        )
        self.angles = ClassAngles(classes, CIRCUITS, self.z_dim)
        self.circuits = QuantumLayer(circuit, circuits=CIRCUITS)
        nn.init.uniform_(self.circuits.weight, 0, 1)

    def sample_z(self, n: int, rng: torch.Generator) -> Tensor:
        """Angles (n, Q), uniform in [0, prior) radians."""
        return self.prior * torch.rand(n, self.z_dim, generator=rng)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Angles z (B, Q) and class indices (B,) to images (B, 3, S, S) in [-1, 1]."""
        probabilities = self.circuits(self.angles(z.float(), y))  # (B, 48, pixels of a patch)
        brightest = probabilities.amax(-1, keepdim=True)
        # All are 0 where the ancilla is never found in |0>.
        patches = 2 * probabilities / brightest.clamp(min=torch.finfo(brightest.dtype).tiny) - 1
        grid = patches.view(-1, CHANNELS, GRID, GRID, self.patch, self.patch)
        return grid.transpose(3, 4).reshape(-1, CHANNELS, self.size, self.size)


class QPatchGenerator(PatchGenerator):
    """QPatchGAN (Huang et al. 2021, Phys. Rev. Applied 16, 024051; arXiv 2010.06201).

    Circuits, prior (uniform in [0, pi/2)) and weights (uniform in [0, 1)) are those of PennyLane's
    demo on 8x8 digits, where they read: RY(z) on each qubit, 6 x [RY(weight) on each, CZ on
    neighbours], probabilities given the ancilla, qubit 0, in |0>, divided by their maximum. The
    demo's images stay in [0, 1]; ours are mapped to [-1, 1].

    At 64 px 48 circuits of 9 qubits an image, 2,592 circuit parameters and 432 for each class.

    Args:
        classes: number of classes K.
        size: edge of the image, one of `SIZES`.
        layers: 6 in the demo. The CZ gates of the last one change no probability.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64, layers: int = 6):
        super().__init__(classes, size, layers, "ry", "cz_chain", prior=math.pi / 2)


class PQWGANGenerator(PatchGenerator):
    """PQWGAN (Tsang et al. 2023, IEEE Trans. Quantum Eng. 4; arXiv 2212.11614), its public code.

    RY(z) on each qubit; L x [Rot with three weights on each qubit, chain of CNOT]; probabilities
    given the ancilla, qubit 0, in |0>, divided by their maximum and mapped to [-1, 1]. Prior and
    weights are uniform in [0, 1). The code cuts patches into rows, or any shape given; ours are
    squares, where each data qubit halves a patch.

    At 64 px 48 circuits of 9 qubits an image, 14,256 circuit parameters (patches x qubits x layers
    x 3) and 432 for each class.

    Args:
        classes: number of classes K.
        size: edge of the image, one of `SIZES`.
        layers: L; a free number of the code.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64, layers: int = 11):
        super().__init__(classes, size, layers, "rot", "cnot_chain", prior=1.0)
