"""What becomes of noise and class before they enter a generator: bounded noise, class angles."""

import math

import torch
from torch import Tensor, nn

OFFSET_SD = 0.1  # radians, of the class angles at the start


class BoundedLatent(nn.Module):
    """Noise (B, z_dim) times a bound b that follows the losses, in [pi/8, 6 pi/8).

    b starts at pi/8; after each step b = pi/8 + 5 pi/8 * relu(tanh(R - R0)), where R is critic loss
    over generator loss and R0 the first R (MosaiQ, Silver et al. 2023, arXiv 2308.11096). The state
    is kept in buffers: a snapshot samples as it trained, a resumed run goes on as it was.
    """

    bound: Tensor
    first_ratio: Tensor
    ratios_seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bound", torch.tensor(math.pi / 8))
        self.register_buffer("first_ratio", torch.tensor(0.0))
        self.register_buffer("ratios_seen", torch.tensor(0))

    def forward(self, noise: Tensor, y: Tensor | None = None) -> Tensor:
        del y  # MediQ-GAN's other latent depends on the class, and is called alike
        return self.bound * noise

    def observe(self, critic_loss: float, generator_loss: float) -> None:
        """Move the bound after a step; a generator loss of 0 has no ratio and moves nothing."""
        if generator_loss == 0:
            return
        ratio = critic_loss / generator_loss
        if self.ratios_seen == 0:
            self.first_ratio.fill_(ratio)
        self.ratios_seen += 1
        excess = max(0.0, math.tanh(ratio - self.first_ratio.item()))
        self.bound.fill_(math.pi / 8 + 5 * math.pi / 8 * excess)


class ClassAngles(nn.Module):
    """Angles (B, Q), or (B, C, Q), plus a learned offset for each class: (B, C, Q) radians.

    The quantum GANs before HybridQ train one model for each class; this is our way to give one
    model all of them. Every circuit has offsets of its own, for the same z goes to all circuits and
    classes differ by more than one shift of it. Offsets start normal with standard deviation 0.1.

    Args:
        classes: number of classes K.
        circuits: C.
        qubits: Q, angles of a circuit.
    """

    def __init__(self, classes: int, circuits: int, qubits: int):
        super().__init__()
        self.offsets = nn.Parameter(OFFSET_SD * torch.randn(classes, circuits, qubits))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return (z if z.ndim == 3 else z[:, None]) + self.offsets[y]
