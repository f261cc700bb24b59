"""FastGAN's critic (Liu et al. 2021, arXiv 2101.04775, section 3.2), which learns to redraw.

    image ─────► residual blocks ─► 16x16 ─► 8x8 ─┬─► 25 logits
                                      │           └─► decoder: the whole image, at half size
                                      └─ a quadrant ─► decoder: that quadrant
    image at half size ─► convolutions ─► 8x8 ──────► 25 logits

Two small decoders draw real images from the last two maps, which forces these to keep what is in
an image: the paper's remedy against over-fitting on little data.

Evidence level: **the paper and its release** (read in a public fork), scaled down. As there:
residual down blocks with batch norm, spectral norm on every convolution (release only), two heads
of 5x5 logits, a decoder of the last map and one of a random quadrant of the map before it. Left
out: the excitation links of the release's critic and its third decoder (of the half-size branch).
The drawing is judged by its mean square error, as lightweight-gan does, against the image averaged
down; the release compares with a pre-trained perceptual network, which must not be needed here. The
published critic is unconditional: the class projection is ours.

There is no gradient penalty in the paper. Batch norm lets the logit of an image depend on its batch
mates; with R1 turned on, the penalty is that of the batch.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hqgan.models.critic import LEAK, Critic
from hqgan.models.hybridq_v1 import check_size

LAST = 8  # edge of the last map
DECODER_CHANNELS = 128  # after a decoder's first convolution; they halve at each doubling


class FastGANCritic(Critic):
    """Images (B, 3, S, S) in [-1, 1] and class indices (B,) to 50 logits each (B, 50).

    25 overlapping patches of the image, and 25 of the image at half size. To each is added the
    inner product of a class vector with the last features' mean over positions (Miyato & Koyama
    2018, arXiv 1802.05637, equation 3). 8.8 M parameters at 64 px,
    decoders included.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        width_cap: most channels of any map; 512 is published, less is for small machines.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64, width_cap: int = 512):
        super().__init__()
        check_size("fastgan", size)
        self.classes, self.size, self.width_cap = classes, size, width_cap
        edges = [size >> i for i in range(1, size.bit_length() - LAST.bit_length() + 1)]
        widths = [min(4096 // edge, width_cap) for edge in edges]  # 512 at 8x8
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in pairwise((3, *widths)))
        self.logits = nn.Sequential(
            *normalised(nn.Conv2d(widths[-1], widths[-1], 1, bias=False)),
            spectral_norm(nn.Conv2d(widths[-1], 1, 4)),
        )
        small: list[nn.Module] = []
        for a, b in pairwise((3, *widths[:-1])):
            small += normalised(nn.Conv2d(a, b, 4, 2, 1, bias=False))
        self.small_logits = nn.Sequential(*small, spectral_norm(nn.Conv2d(widths[-2], 1, 4)))
        self.label = nn.Embedding(classes, widths[-1])
        nn.init.normal_(self.label.weight, std=widths[-1] ** -0.5)  # unit vectors on average
        doublings = size.bit_length() - LAST.bit_length() - 1  # 8x8 to half the image
        self.whole_decoder = decoder(widths[-1], doublings, width_cap)
        self.part_decoder = decoder(widths[-2], doublings, width_cap)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        last = self.maps(images)[1]
        projection = (self.label(y) * last.mean((2, 3))).sum(1, keepdim=True)  # (B, 1)
        on_whole = self.logits(last).flatten(1)  # (B, 25)
        on_small = self.small_logits(F.avg_pool2d(images, 2)).flatten(1)  # (B, 25)
        return (torch.cat([on_whole, on_small], 1) + projection).float()

    def auxiliary(self, real: Tensor) -> Tensor:
        """Mean square errors of real images (B, 3, S, S) redrawn from their features: a scalar.

        The whole image at half size from the 8x8 map, and one quadrant, the same for all images and
        drawn afresh at each call from torch's global generator, at full size from the 16x16 map.
        Cost: one more forward pass of the blocks, and the decoders.
        """
        before, last = self.maps(real)
        quadrant = int(torch.randint(4, ()))
        whole = self.whole_decoder(last)
        part = self.part_decoder(crop(before, quadrant))
        error = F.mse_loss(whole.float(), F.avg_pool2d(real, 2).float())
        return error + F.mse_loss(part.float(), crop(real, quadrant).float())

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last two maps, (B, C, 16, 16) and (B, C', 8, 8)."""
        before = h = images
        for block in self.blocks:
            before, h = h, block(h)
        return before, h


class DownBlock(nn.Module):
    """Map (B, C, R, R) to (B, C', R/2, R/2): two convolutions, and a short way, averaged."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.main = nn.Sequential(
            *normalised(nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=False)),
            *normalised(nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)),
        )
        self.short = nn.Sequential(
            nn.AvgPool2d(2), *normalised(nn.Conv2d(in_channels, out_channels, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.short(x)) / 2


def decoder(channels: int, doublings: int, width_cap: int) -> nn.Sequential:
    """Map (B, C, 8, 8) to images in [-1, 1], nearest upsampling and a gated 3x3 a doubling."""
    layers: list[nn.Module] = []
    for i in range(doublings):
        narrower = min(DECODER_CHANNELS >> i, width_cap)
        layers += [nn.Upsample(scale_factor=2)]
        layers += [spectral_norm(nn.Conv2d(channels, 2 * narrower, 3, padding=1, bias=False))]
        layers += [nn.BatchNorm2d(2 * narrower), nn.GLU(1)]
        channels = narrower
    return nn.Sequential(
        *layers, spectral_norm(nn.Conv2d(channels, 3, 3, padding=1, bias=False)), nn.Tanh()
    )


def normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    """A convolution with spectral norm, then batch norm and leaky ReLU."""
    norm = nn.BatchNorm2d(convolution.out_channels)
    return [spectral_norm(convolution), norm, nn.LeakyReLU(LEAK)]


def crop(x: Tensor, quadrant: int) -> Tensor:
    """Quadrant 0 to 3, row by row, of maps or images (B, C, R, R): (B, C, R/2, R/2)."""
    half = x.shape[-1] // 2
    top, left = quadrant // 2 * half, quadrant % 2 * half
    return x[:, :, top : top + half, left : left + half]
