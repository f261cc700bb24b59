"""The second version of the paper, MediQ-GAN (arXiv 2506.21015 v2, 2025), preset `mediq-v2`.

    z, y ─► latent, label ─► Encoder ─► (B,32,8,8) ─┬─► 3x3 conv ──────► (B,16,8,8) ─┬─► decoder
                                                    └─► QuantumBranch ─► (B,16,8,8) ─┘

Evidence level: **the public code** (`QingyueJ-nd/MediQ-GAN`, October 2025), followed from a
description in words; no line is taken from it. The layers below give its parameter counts for 8
classes: quantum 640, generator 0.74 M (style2), 1.45 M (style2, prototypes), 9.38 M (vanilla,
prototypes), critic 2.82 M.

What the public code does badly and we keep, because it *is* the model:
- each sub-generator's 16 expectation values are averaged into one scalar. With this initialisation
  and N(0, 1) angles that scalar varies by 0.05 only (the values themselves by 0.21), and 11 of the
  16 sites carry none: the quantum stream is a very weak signal, to be ablated before anything is
  claimed of it;
- upsampling a 1x1 map gives a constant one, so only the zero padding of the 3x3 convolutions tells
  positions apart.

What it does wrong and we do not reproduce: the noise bound calls an undefined function (the first
step fails); images are rescaled by the extremes of their batch when saved, so colours depend on
batch mates; skip connections, blur, attention and crop size are parsed and do nothing; training is
resumed without RNG, data order or noise bound; there is no split by lesion and no test set. The
per-class feature file that warm-starts the prototypes was never published: ours start random.
Whoever has such features (1280-d) copies them into `generator.latent.prototypes`.

Details the description leaves open, chosen here: GELU after each encoder convolution and in the
prototype MLP; one linear layer to angles shared by all sites; noise scales for each channel, from
zero; the prototype hinge as a mean over pairs; initial weights that preserve the variance (see
`preserve_variance`; the angles then vary by about 1 radian).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models.critic import Critic
from hqgan.models.generator import Generator
from hqgan.models.hybridq_v1 import (
    LEAK,
    check_size,
    mosaiq_circuits,
    preserve_variance,
    strided_convolutions,
    transposed_tail,
)
from hqgan.models.latents import BoundedLatent

VARIANTS = ("style2", "vanilla")
MAP = 8  # edge of the map where the branches meet
MAP_CHANNELS = 32  # of the encoder, and of the fused map
BRANCH_CHANNELS = 16  # of each branch: the feature split ratio 0.5
QUBITS = 16
SITES = 4  # edge of the pooled map: 16 sites
READ_SITES = (0, 4, 8, 11, 15)  # one for each of the 5 sub-generators: linspace(0, 15, 5), rounded
PROTOTYPE_DIM = 1280  # pooled features of an EfficientNet-B0 or MobileNetV2, by their length
PENALTY_WEIGHT, PENALTY_MARGIN = 5e-3, 1.0
# Channels after each style2 block; the published model is 64 px, the others drop or add one block
STYLE2_CHANNELS = {32: (128, 96), 64: (128, 96, 64), 128: (128, 96, 64, 48)}


class MediqV2Generator(Generator):
    """Class-conditional generator of the second paper: encoder, two branches, joint decoder.

    Cost: 5 circuits of 16 qubits an image (0.5 MB of complex64 state each).

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 (published) or 128 pixels.
        variant: decoder, "style2" (residual blocks with noise) or "vanilla" (a linear layer,
            transposed convolutions).
        prototypes: draw z around learned class prototypes; otherwise z is normal noise times an
            adaptive bound.
        depth: trainable circuit layers; 8 in the published command, 6 in its defaults.
        z_dim: length of the latent vector.

    Raises:
        UsageError: for a size or variant that is not offered.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        variant: str = "style2",
        prototypes: bool = True,
        depth: int = 8,
        z_dim: int = 128,
    ):
        super().__init__()
        check_size("mediq-v2", size)
        if variant not in VARIANTS:
            raise UsageError(
                f"mediq-v2 has no variant {variant!r}: choose one of {', '.join(VARIANTS)}."
            )
        self.classes, self.size, self.z_dim = classes, size, z_dim
        self.variant, self.prototypes, self.depth = variant, prototypes, depth
        label_dim = 32 if prototypes else 128
        self.latent: ClassLatent | BoundedLatent = (
            ClassLatent(classes, z_dim) if prototypes else BoundedLatent()
        )
        self.label = nn.Sequential(nn.Embedding(classes, label_dim), nn.LayerNorm(label_dim))
        self.encoder = Encoder(z_dim + label_dim)
        self.classical_part = nn.Conv2d(MAP_CHANNELS, BRANCH_CHANNELS, 1)
        self.quantum_part = nn.Conv2d(MAP_CHANNELS, BRANCH_CHANNELS, 1)
        self.classical = nn.Conv2d(BRANCH_CHANNELS, BRANCH_CHANNELS, 3, padding=1)
        self.quantum = QuantumBranch(depth)
        self.decoder = Style2Decoder(size) if variant == "style2" else VanillaDecoder(size)
        preserve_variance(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Standard normal z (B, z_dim) and class indices (B,) to images (B, 3, S, S) in [-1, 1]."""
        joint = torch.cat([self.latent(z, y), self.label(y)], 1)  # (B, z_dim + label_dim)
        encoded = self.encoder(joint)  # (B, 32, 8, 8)
        classical = F.leaky_relu(self.classical(self.classical_part(encoded)), LEAK)
        quantum = self.quantum(self.quantum_part(encoded)).to(classical.dtype)
        fused = torch.cat([classical, quantum], 1)  # (B, 32, 8, 8)
        return torch.tanh(self.decoder(fused).float())

    def penalty(self) -> Tensor | float:
        """5e-3 times the hinge that keeps normalised prototypes 1 apart; 0 without prototypes."""
        if isinstance(self.latent, ClassLatent):
            return PENALTY_WEIGHT * self.latent.crowding()
        return 0.0

    def observe_losses(self, critic_loss: float, generator_loss: float) -> None:
        """Adapt the noise bound to critic loss / generator loss; no effect with prototypes."""
        if isinstance(self.latent, BoundedLatent):
            self.latent.observe(critic_loss, generator_loss)


class ClassLatent(nn.Module):
    """Noise (B, z_dim) and class to z = mean + sigma * noise, around a learned class prototype.

    The mean is an MLP 1280-512-z_dim of the prototype; sigma is a softplus for each class, clamped
    to [0.2, 0.8].
    """

    def __init__(self, classes: int, z_dim: int):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, PROTOTYPE_DIM))
        self.to_mean = nn.Sequential(
            nn.Linear(PROTOTYPE_DIM, 512), nn.GELU(), nn.Linear(512, z_dim)
        )
        # softplus(0) = 0.69 lies inside the clamp; from outside it no gradient would come back
        self.raw_sigma = nn.Parameter(torch.zeros(classes, 1))

    def forward(self, noise: Tensor, y: Tensor) -> Tensor:
        mean = self.to_mean(self.prototypes)[y]  # once a class, not once an image
        return mean + F.softplus(self.raw_sigma).clamp(0.2, 0.8)[y] * noise

    def crowding(self) -> Tensor:
        """Mean over pairs of classes of relu(1 - distance of the normalised prototypes): in [0, 1].

        Random prototypes start at distances near sqrt(2), so this is 0 until training draws two
        together.
        """
        hinge = F.relu(PENALTY_MARGIN - F.pdist(F.normalize(self.prototypes)))
        return hinge.sum() / max(hinge.numel(), 1)


class Encoder(nn.Module):
    """Vector (B, D) to map (B, 32, 8, 8): a 1x1, then two 3x3 convolutions on the constant map."""

    def __init__(self, in_features: int):
        super().__init__()
        self.widen = nn.Conv2d(in_features, 128, 1)
        self.mix = nn.Conv2d(128, 128, 3, padding=1)
        self.narrow = nn.Conv2d(128, MAP_CHANNELS, 3, padding=1)

    def forward(self, joint: Tensor) -> Tensor:
        # A 1x1 map interpolates to a constant, so the 1x1 convolution may come first: same values,
        # 1/64 of the work.
        h = F.gelu(self.widen(joint[:, :, None, None])).expand(-1, -1, MAP, MAP)
        return F.gelu(self.narrow(F.gelu(self.mix(h))))


class QuantumBranch(nn.Module):
    """Map (B, 16, 8, 8) to map (B, 16, 8, 8) through 5 circuits, each of which reads one site.

    The map is pooled to 4x4 sites; a circuit's 16 angles are linear in the channels of its site.
    Its one scalar, in [-1, 1], is the mean over qubits of <X>.
    """

    placement: Tensor

    def __init__(self, depth: int):
        super().__init__()
        self.to_angles = nn.Linear(BRANCH_CHANNELS, QUBITS)
        self.circuits = mosaiq_circuits(len(READ_SITES), QUBITS, depth)
        self.to_channels = nn.Conv2d(len(READ_SITES), BRANCH_CHANNELS, 1)
        placement = F.one_hot(torch.tensor(READ_SITES), SITES**2).float()  # (5, 16): cell of each
        self.register_buffer("placement", placement, persistent=False)

    def forward(self, part: Tensor) -> Tensor:
        mixed = self.to_channels(self.cells(part))  # (B, 16, 4, 4)
        return F.interpolate(mixed, size=MAP, mode="bilinear")

    def cells(self, part: Tensor) -> Tensor:
        """Circuit i's scalar in channel i at its own site, zero elsewhere: (B, 5, 4, 4)."""
        pooled = F.avg_pool2d(part, MAP // SITES).flatten(2)  # (B, 16, 16 sites)
        angles = self.to_angles(pooled[:, :, READ_SITES].transpose(1, 2))  # (B, 5, 16)
        # In float32 under autocast too: the scalars differ by less than half precision resolves.
        scalars = self.circuits(angles.float()).mean(-1)  # (B, 5)
        return (scalars[:, :, None] * self.placement).unflatten(2, (SITES, SITES))


class VanillaDecoder(nn.Module):
    """Fused map (B, 32, 8, 8) to (B, 3, S, S): linear 2048 -> 4096, transposed convolutions."""

    def __init__(self, size: int):
        super().__init__()
        self.start = nn.Linear(MAP_CHANNELS * MAP**2, 64 * MAP**2)
        self.tail = transposed_tail(size)

    def forward(self, fused: Tensor) -> Tensor:
        return self.tail(F.relu(self.start(fused.flatten(1))).unflatten(1, (64, MAP, MAP)))


class Style2Decoder(nn.Module):
    """Fused map (B, 32, 8, 8) to (B, 3, S, S): a block for each doubling, 3x3 to 32, 1x1 to RGB."""

    def __init__(self, size: int):
        super().__init__()
        widths = (MAP_CHANNELS, *STYLE2_CHANNELS[size])
        self.blocks = nn.Sequential(
            *(NoisyBlock(a, b, MAP << i) for i, (a, b) in enumerate(pairwise(widths), 1))
        )
        self.narrow = nn.Conv2d(widths[-1], 32, 3, padding=1)
        self.to_rgb = nn.Conv2d(32, 3, 1)

    def forward(self, fused: Tensor) -> Tensor:
        return self.to_rgb(F.leaky_relu(self.narrow(self.blocks(fused)), LEAK))


class NoisyBlock(nn.Module):
    """Nearest upsampling (B, C, R/2, R/2) to (B, C', R, R), two noisy 3x3 convolutions, a 1x1 skip.

    Noise is drawn afresh for each image in training; in eval mode it is one fixed map, so that an
    image depends on its latent and class alone (both as in StyleGAN, Karras et al. 2019, arXiv
    1812.04948).
    """

    def __init__(self, in_channels: int, out_channels: int, resolution: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.noise1 = ScaledNoise(out_channels, resolution)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.noise2 = ScaledNoise(out_channels, resolution)
        self.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.noise1(self.conv1(F.interpolate(x, scale_factor=2))), LEAK)
        h = self.noise2(self.conv2(h))
        return F.leaky_relu(h + F.interpolate(self.skip(x), scale_factor=2), LEAK)


class ScaledNoise(nn.Module):
    """Add one plane of normal noise (R x R) to all channels, each with a learned scale from 0."""

    fixed: Tensor

    def __init__(self, channels: int, resolution: int):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("fixed", torch.randn(1, 1, resolution, resolution))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed.to(x.dtype)
        return x + (self.scale * noise).to(x.dtype)


class MediqV2Critic(Critic):
    """Images (B, 3, S, S) in [-1, 1] and class indices (B,) to one score each (B,), for WGAN-GP.

    Four convolutions (k4 s2, 64-128-256-512) without normalisation, global average pool, a linear
    layer, and a projection on a 128-d label embedding (Miyato & Koyama 2018, arXiv 1802.05637), to
    which the pooled features are mapped. 2.82 M parameters at K = 8.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64):
        super().__init__()
        check_size("mediq-v2", size)
        self.classes, self.size = classes, size
        self.features = strided_convolutions((3, 64, 128, 256, 512))
        self.logit = nn.Linear(512, 1)
        self.project = nn.Linear(512, 128)
        self.label = nn.Embedding(classes, 128)
        preserve_variance(self)
        # unit vectors on average, so that the projection starts at the logit's scale
        nn.init.normal_(self.label.weight, std=128**-0.5)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        h = self.features(images).mean((2, 3))  # (B, 512)
        return (self.logit(h).squeeze(1) + (self.project(h) * self.label(y)).sum(1)).float()
