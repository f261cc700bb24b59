"""FastGAN's generator (Liu et al. 2021, arXiv 2101.04775), preset `fastgan`.

    z, y ─► 4x4 ─► 8x8 ─► 16x16 ─► 32x32 ─► 64x64 ─► 128x128 ─► image
                    └────────── gate of the channels ──┘

Evidence level: **the paper, in the form of `lucidrains/lightweight-gan`**, which later papers
(MediQ-GAN, by its requirements file) ran as "FastGAN"; its widths, latent and upsampling blocks
give its 22.6 M parameters at 64 px. No line is taken from it.

The idea of the paper is the skip-layer excitation: an 8x8 map gates the channels of the 128x128 map
(and 16x16 those of 256x256). **At 32 and 64 px no such link exists**, so a "FastGAN" of that size,
here as there, is a plain upsampling network, and its results say nothing about the idea. The
authors' own release also links 4x4 to 64x64, which the paper and lightweight-gan do not:
`start_link` turns that on, for who wants the strongest rival at 64 px.

Choices of ours: the class vector added to z, as in `hqgan.models.classical`; a learned noise scale
for each channel (published: one a layer); tanh (lightweight-gan clamps); the plain excitation of
the paper where lightweight-gan has moved on to attention pooling.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.models.generator import Generator
from hqgan.models.hybridq_v1 import check_size, preserve_variance
from hqgan.models.mediq_v2 import ScaledNoise

Z_DIM = 256  # also the channels at 4x4
START = 4  # edge of the first map
LINKS = {8: 128, 16: 256}  # edge of the map that gates: edge of the map that is gated
GATE_LEAK = 0.1


class FastGANGenerator(Generator):
    """Latents (B, 256) and class indices (B,) to images (B, 3, S, S) in [-1, 1].

    21.3 M parameters at 32 px, 22.6 M at 64, 27.1 M at 128, class vectors aside. Noise is drawn
    afresh for each image in training and fixed in eval mode. Cost: 12 GMAC an image at 64 px, a
    hundred times DCGAN's; it goes with the square of `width_cap`.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        width_cap: most channels of any map; 512 is published, less is for small machines.
        start_link: the 4x4 map gates the 64x64 map (authors' release only; from 64 px up).

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(
        self, classes: int, size: int = 64, width_cap: int = 512, start_link: bool = False
    ):
        super().__init__()
        check_size("fastgan", size)
        self.classes, self.size, self.z_dim = classes, size, Z_DIM
        self.width_cap, self.start_link = width_cap, start_link
        self.label = nn.Embedding(classes, Z_DIM)  # N(0, 1), like z
        width = {START: min(Z_DIM, width_cap)}
        # Modules are found by the edge of the map they make or gate.
        self.blocks = nn.ModuleDict({str(START): StartBlock(width[START])})
        for edge in (START << i for i in range(1, size.bit_length() - 2)):
            width[edge] = min(8192 // edge, width_cap)
            self.blocks[str(edge)] = UpsampleBlock(width[edge // 2], width[edge], edge)
        links = ({START: 64} if start_link else {}) | LINKS
        self.links = {str(low): str(high) for low, high in links.items() if high <= size}
        self.gates = nn.ModuleDict(
            {b: SkipExcitation(width[int(a)], width[int(b)]) for a, b in self.links.items()}
        )
        self.to_rgb = nn.Conv2d(width[size], 3, 3, padding=1)
        preserve_variance(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = (z + self.label(y))[:, :, None, None]  # (B, 256, 1, 1)
        gates: dict[str, Tensor] = {}
        for edge, block in self.blocks.items():
            x = block(x)
            if edge in gates:
                x = x * gates[edge]
            if edge in self.links:
                gated = self.links[edge]
                gates[gated] = self.gates[gated](x)
        return torch.tanh(self.to_rgb(x).float())


class StartBlock(nn.Module):
    """Latent (B, 256, 1, 1) to map (B, C, 4, 4): transposed convolution, batch norm, gate."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.ConvTranspose2d(Z_DIM, 2 * channels, START, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels)

    def forward(self, z: Tensor) -> Tensor:
        return F.glu(self.norm(self.conv(z)), 1)


class UpsampleBlock(nn.Module):
    """Map (B, C, R/2, R/2) to (B, C', R, R).

    1x1 convolution and pixel shuffle, blur, 4x4 convolution, noise, batch norm, gated linear unit.
    """

    def __init__(self, in_channels: int, out_channels: int, resolution: int):
        super().__init__()
        self.spread = nn.Conv2d(in_channels, 4 * in_channels, 1)
        self.conv = nn.Conv2d(in_channels, 2 * out_channels, 4, padding=1)
        self.noise = ScaledNoise(2 * out_channels, resolution)
        self.norm = nn.BatchNorm2d(2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(F.silu(self.spread(x)), 2)
        x = self.conv(blur(x))
        return F.glu(self.norm(self.noise(x)), 1)


class SkipExcitation(nn.Module):
    """Low-resolution map (B, C, r, r) to a gate (B, C', 1, 1) in (0, 1) for a finer map's channels.

    Average pool to 4x4, 4x4 convolution, leaky ReLU, 1x1 convolution, sigmoid (equation 1 and the
    text below it).
    """

    def __init__(self, low_channels: int, high_channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(low_channels, low_channels, 4)
        self.expand = nn.Conv2d(low_channels, high_channels, 1)

    def forward(self, low: Tensor) -> Tensor:
        h = self.squeeze(F.adaptive_avg_pool2d(low, 4))
        return self.expand(F.leaky_relu(h, GATE_LEAK)).sigmoid()


def blur(x: Tensor) -> Tensor:
    """Binomial filter (1 2 1) in both directions, (B, C, R, R) to (B, C, R + 1, R + 1).

    One row and column more than came in, so that a 4x4 convolution with padding 1 gives R again.
    """
    x = F.pad(x, (1, 2, 1, 2), mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(x, 2, 1), 2, 1)
