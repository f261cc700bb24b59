"""The classical rivals with DCGAN's layers, presets `dcgan` and `wgan-gp`.

- DCGAN (Radford, Metz & Chintala 2016, arXiv 1511.06434): five transposed convolutions, batch norm.
- WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028): the same generator; a critic without batch
  norm, which would make the gradient penalty of one image depend on the others (section 4 there).

Widths follow the published 64-px models, 64 channels next to the image and twice as many at each
halving: 256 at most at 32 px, 512 at 64, 1024 at 128. The papers' models are unconditional; what
conditions them is ours, and small: a learned class vector added to z (which equals a linear layer
on z and the one-hot label), and a class projection in the critic.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models.critic import LEAK, Critic
from hqgan.models.generator import Generator
from hqgan.models.hybridq_v1 import check_size, preserve_variance

NARROWEST = 64  # channels next to the image
NORMS = ("batch", "layer", "none")


class DCGANGenerator(Generator):
    """Latents (B, z_dim) and class indices (B,) to images (B, 3, S, S) in [-1, 1].

    A transposed convolution of z to 4x4, then one (k4 s2) for each doubling, batch norm and ReLU
    between them, tanh at the end; z is normal, as in every other model here (uniform in the paper).
    Without the class vectors 3,576,704 parameters at 64 px, 1.07 M at 32, 12.8 M at 128. Cost:
    0.1 GMAC an image at 64 px.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 (published) or 128 pixels.
        z_dim: length of the latent vector, 100 as published.

    Raises:
        UsageError: for a size that is not offered.
    """

    def __init__(self, classes: int, size: int = 64, z_dim: int = 100):
        super().__init__()
        check_size("dcgan", size)
        self.classes, self.size, self.z_dim = classes, size, z_dim
        self.label = nn.Embedding(classes, z_dim)  # N(0, 1), like z: classes differ from the start
        widths = dcgan_widths(size)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, 1, 0, bias=False)]
        for channels, narrower in pairwise((*widths, 3)):
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.ConvTranspose2d(channels, narrower, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers)
        dcgan_initialisation(self.layers)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        start = (z + self.label(y))[:, :, None, None]  # (B, z_dim, 1, 1)
        return torch.tanh(self.layers(start).float())


class DCGANCritic(Critic):
    """Images (B, 3, S, S) in [-1, 1] and class indices (B,) to one logit each (B,).

    Convolutions k4 s2 (64-128-256-512 at 64 px), the first without normalisation, leaky ReLU 0.2, a
    4x4 convolution to the logit; plus the inner product of a class vector with the last features'
    mean over positions (Miyato & Koyama 2018, arXiv 1802.05637, equation 3). Without the class
    vectors and with batch norm 2,765,568 parameters at 64 px, 0.66 M at 32, 11.2 M at 128.

    With batch norm the logit of an image depends on its batch mates, so a gradient penalty wants
    "layer" (over channels and positions of an image, as Gulrajani et al. recommend) or "none".
    Twice differentiable with each.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 (published) or 128 pixels.
        norm: "batch" (DCGAN), "layer" or "none" (both WGAN-GP).

    Raises:
        UsageError: for a size or a norm that is not offered.
    """

    def __init__(self, classes: int, size: int = 64, norm: str = "batch"):
        super().__init__()
        check_size("dcgan", size)
        if norm not in NORMS:
            raise UsageError(f"norm is {norm!r}, but the dcgan critic has {', '.join(NORMS)}.")
        self.classes, self.size, self.norm = classes, size, norm
        widths = dcgan_widths(size)
        bias = norm == "none"  # a norm brings its own
        layers = [nn.Conv2d(3, widths[0], 4, 2, 1, bias=bias), nn.LeakyReLU(LEAK)]
        for channels, wider in pairwise(widths):
            layers += [nn.Conv2d(channels, wider, 4, 2, 1, bias=bias)]
            layers += [*normalisation(norm, wider), nn.LeakyReLU(LEAK)]
        self.features = nn.Sequential(*layers)
        self.logit = nn.Conv2d(widths[-1], 1, 4, bias=False)
        self.label = nn.Embedding(classes, widths[-1])
        if norm == "batch":
            dcgan_initialisation(self)
        else:  # N(0, 0.02) relies on batch norm: without it the signal shrinks at each layer
            preserve_variance(self)
        nn.init.normal_(self.label.weight, std=widths[-1] ** -0.5)  # unit vectors on average

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        h = self.features(images)  # (B, C, 4, 4)
        projection = (self.label(y) * h.mean((2, 3))).sum(1)
        return (self.logit(h).flatten() + projection).float()


def dcgan_widths(size: int) -> tuple[int, ...]:
    """Channels at S/2, S/4, ... 4 pixels: 64, doubled at each halving."""
    halvings = size.bit_length() - 3
    return tuple(NARROWEST << i for i in range(halvings))


def normalisation(norm: str, channels: int) -> list[nn.Module]:
    """The layer of that name, if it is one."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "layer":  # one group of all channels
        return [nn.GroupNorm(1, channels)]
    return []


def dcgan_initialisation(model: nn.Module) -> None:
    """Weights N(0, 0.02) in place (the paper's section 4); scales of a batch norm N(1, 0.02).

    The latter is what common implementations do where the paper is silent.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1, std=0.02)
