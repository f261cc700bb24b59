"""Quantum GANs that work in a space found beforehand, presets `mosaiq` and `latentqgan`.

    z ─► + class angles ─► small circuits ─► code (B, 40) ─► decode ─► image
                                                │
    training image ──────────► encode ──► code ─┴─► critic

Both first learn a code of the training images (`prepare`); circuits and critic then know the code
alone. `mosaiq` takes principal components, `latentqgan` a convolutional autoencoder. As published,
both are about grey digits and one class at a time; the class enters here as a learned offset of the
angles for each class and circuit (see `ClassAngles`).
"""

import math

import numpy as np
import torch
from torch import Tensor

from hqgan.errors import UsageError
from hqgan.models.autoencoder import BATCH, Autoencoder
from hqgan.models.generator import Generator
from hqgan.models.hybridq_v1 import check_size, mosaiq_circuits
from hqgan.models.latents import BoundedLatent, ClassAngles
from hqgan.models.pca import PrincipalComponents
from hqgan.quantum import QuantumLayer, layered

QUBITS = 5  # of each of MosaiQ's sub-generators: one strong component and four weak ones


class MosaiQGenerator(Generator):
    """MosaiQ (Silver et al. 2023, ICCV; arXiv 2308.11096): circuits make principal components.

    Sub-generators of 5 qubits: RY(z) and RX(z) with the same angle on each qubit, 6 x [RY(weight)
    on each, CZ on neighbours], <X> of each qubit. All get the same z, uniform in [0, b) with the
    adaptive bound b (see `BoundedLatent`). The 40 values are redistributed: sub-generator i makes
    components i and 39-4i, 38-4i, 37-4i, 36-4i, one strong and four weak.

    Evidence level: **paper, and its public code** followed from a description in words. What that
    code does wrong and we do not reproduce: it cuts the graph behind the circuits, so that the
    generator never gets a gradient; it redistributes numbers over the samples of a batch instead of
    over components. Ours: colour (components of all three channels together), classes.

    240 circuit parameters and 40 for each class; the components are buffers. Cost: 8 circuits of 5
    qubits an image.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        components: principal components, a multiple of 5; 40 in the paper.
        depth: trainable layers of each circuit; 6 in the paper.

    Raises:
        UsageError: for a size that is not offered, or components not a multiple of 5.
    """

    order: Tensor

    def __init__(self, classes: int, size: int = 64, components: int = 40, depth: int = 6):
        super().__init__()
        check_size("mosaiq", size)
        if components < QUBITS or components % QUBITS:
            raise UsageError(
                f"mosaiq cannot make {components} components: each of its circuits makes {QUBITS}; "
                f"choose a multiple of {QUBITS}."
            )
        self.classes, self.size, self.z_dim = classes, size, QUBITS
        self.components, self.depth = components, depth
        self.least_images = components + 1
        circuits = components // QUBITS
        self.pca = PrincipalComponents(size, components)
        self.latent = BoundedLatent()
        self.angles = ClassAngles(classes, circuits, QUBITS)
        self.circuits = mosaiq_circuits(circuits, QUBITS, depth)
        self.register_buffer("order", redistribution(circuits).argsort(), persistent=False)

    @property
    def code_size(self) -> int:
        return self.components

    def sample_z(self, n: int, rng: torch.Generator) -> Tensor:
        """Noise (n, 5), uniform in [0, 1); the bound, which changes, is applied in `code`."""
        return torch.rand(n, self.z_dim, generator=rng)

    def preparation(self, images: int) -> int:
        """Every image counts once."""
        return images

    def prepare(self, images: np.ndarray, rng: torch.Generator) -> None:
        """Fit the principal components of all images.

        Raises:
            DataError: fewer images than components, or all the same.
        """
        self.pca.fit(images, rng)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Noise (B, 5) in [0, 1) and class indices (B,) to images (B, 3, S, S)."""
        return self.decode(self.code(z, y))

    def code(self, z: Tensor, y: Tensor) -> Tensor:
        """Components (B, n), strongest first, in [-1, 1]."""
        values = self.circuits(self.angles(self.latent(z.float()), y))  # (B, n / 5, 5)
        return values.flatten(1)[:, self.order]

    def encode(self, images: Tensor) -> Tensor:
        return self.pca.encode(images)

    def decode(self, code: Tensor) -> Tensor:
        """Images, clamped to [-1, 1] in eval mode; in training mode `encode` gives the code back.

        Clamped pixels would have no gradient.
        """
        images = self.pca.decode(code)
        return images if self.training else images.clamp(-1, 1)

    def observe_losses(self, critic_loss: float, generator_loss: float) -> None:
        """Adapt the noise bound."""
        self.latent.observe(critic_loss, generator_loss)


def redistribution(circuits: int) -> Tensor:
    """Which component each read-out makes, (5 C,): circuit i makes i, n-1-4i, ..., n-4-4i."""
    n = QUBITS * circuits
    rows = [
        [i, *(n - 1 - (QUBITS - 1) * i - j for j in range(QUBITS - 1))] for i in range(circuits)
    ]
    return torch.tensor(rows).flatten()


class LatentQGANGenerator(Generator):
    """LatentQGAN (Vieloszynski et al. 2024, arXiv 2409.14622): circuits make an autoencoder's code.

    The abstract says: a hybrid GAN coupled with an autoencoder, better than earlier quantum GANs
    with fewer quantum resources. There is no public code of its authors. A third party's
    reproduction from the text (`merlinquantum/reproduced_papers`) describes the circuits, which we
    take over in words, evidence level **secondary**: 5 sub-generators of 4 qubits, one of them an
    ancilla; RY(z) on each qubit with angles of its own, 7 x [RY(weight) on each, CZ on neighbours],
    the 8 probabilities given the ancilla in |0>. The latent is 5 rows of 8 numbers that sum to 1,
    which is just what the circuits produce, so that nothing need be rescaled. z is uniform in
    [0, pi), weights start normal with standard deviation 0.1. 140 circuit parameters.

    *Our choice*: the autoencoder (see `Autoencoder`; softmax instead of division by the sum), its
    training, colour, and classes. The autoencoder sees images of all classes together.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        circuits: sub-generators, rows of the latent.
        qubits: of each, ancilla included; a row has 2^(qubits - 1) numbers.
        layers: trainable layers of each circuit.
        autoencoder_kimg: thousands of images, repetitions counted, shown to the autoencoder.

    Raises:
        UsageError: for a size or number of qubits that is not offered.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        circuits: int = 5,
        qubits: int = 4,
        layers: int = 7,
        autoencoder_kimg: float = 30,
    ):
        super().__init__()
        check_size("latentqgan", size)
        self.classes, self.size = classes, size
        self.z_dim = circuits * qubits
        self.qubits, self.layers, self.autoencoder_kimg = qubits, layers, autoencoder_kimg
        circuit = layered(qubits, layers, readout="postselected")
        self.autoencoder = Autoencoder(size, circuits, circuit.outputs)
        self.angles = ClassAngles(classes, circuits, qubits)
        self.circuits = QuantumLayer(circuit, circuits=circuits, init_sd=0.1)

    @property
    def code_size(self) -> int:
        return self.circuits.circuits * self.circuits.circuit.outputs

    def sample_z(self, n: int, rng: torch.Generator) -> Tensor:
        """Angles (n, circuits x qubits), uniform in [0, pi) radians."""
        return math.pi * torch.rand(n, self.z_dim, generator=rng)

    def preparation(self, images: int) -> int:
        """`autoencoder_kimg` thousand in whole batches, repetitions counted."""
        del images
        return BATCH * math.ceil(1000 * self.autoencoder_kimg / BATCH)

    def prepare(self, images: np.ndarray, rng: torch.Generator) -> None:
        """Train the autoencoder, which is frozen before and after.

        Raises:
            DataError: there is no image.
        """
        self.autoencoder.fit(images, self.preparation(len(images)) // BATCH, rng)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Angles z (B, circuits x qubits) and class indices (B,) to images in [-1, 1]."""
        return self.decode(self.code(z, y))

    def code(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents (B, circuits x outcomes): rows of probabilities."""
        angles = self.angles(z.float().unflatten(1, (-1, self.qubits)), y)
        return self.circuits(angles).flatten(1)

    def encode(self, images: Tensor) -> Tensor:
        return self.autoencoder.encode(images)

    def decode(self, code: Tensor) -> Tensor:
        return self.autoencoder.decode(code)
