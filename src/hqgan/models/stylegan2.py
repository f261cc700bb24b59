"""StyleGAN2-ADA's generator and critic, class-conditional, presets `stylegan2-ada` and -`small`.

    z, y ─► mapping ─► w ─┬─► affine ─► scales of every convolution's channels
    learned 4x4 ─► conv ──┴─► (up, conv, conv) per doubling, each level adds to one RGB image

Sources: Karras et al. 2020 (arXiv 1912.04958: architecture, demodulation, equation 3) and 2020b
(arXiv 2006.06676: class conditioning, small-data settings), equalised learning rate from Karras et
al. 2018 (arXiv 1710.10196, section 4.1). Written from the papers; no line is Nvidia's. Evidence
level: **published architecture**; the counts below agree with those known of Nvidia's automatic
configuration for 64 px (generator 22.24 M, 22.51 M with 8 classes; critic 23.4 M without the
label). What is left out or differs:

- path-length regularisation and style mixing are off, as in the published preset for 32 px
  ("cifar"), the better one for images this small. That preset also drops the critic's residual
  connections; we keep them, as the automatic configuration does;
- images have no bound in training, and the critic judges them as they are; **in eval mode they are
  clamped to [-1, 1]**, which is also what happens to them when written as 8-bit files;
- no running mean of w: it serves truncation, which samples used as training data must not have;
- the half-precision clamp of activations at 256 is float16's remedy; bfloat16 has float32's range;
- the small RGB images are doubled by bilinear interpolation. Inside it equals the [1, 3, 3, 1]
  filter exactly; in the outermost pixels it repeats the edge where the filter fades to zero (grey).

Three identities make it fast on CPUs without changing what is computed. A per-image modulated and
demodulated weight is `w[o, i] * style[i] * demod[o]`, so scaling the input channels before and the
output channels after *one convolution shared by the batch* gives the same numbers as a grouped
convolution with a weight for each image. Upsampling and the convolution after it are both linear
and shift-invariant, so the convolution runs first, on the small map, as a transposed one (a quarter
of the work), and the filter smooths its output. The filter is a depthwise 4x4 convolution; three
2x2 averages in a row are the same filter, but were 3 to 16 times as slow when measured.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models.critic import Critic, minibatch_deviation
from hqgan.models.generator import Generator

LEAK = 0.2
GAIN = math.sqrt(2)  # of a leaky ReLU, so that it keeps the variance of its input, roughly
MAPPING_RATE = 0.01  # learning-rate multiplier of mapping networks
START = 4  # edge of the learned constant, and of the critic's last map
FILTER = (1, 3, 3, 1)
EPSILON = 1e-8


class StyleGAN2Generator(Generator):
    """Latents (B, z_dim) and class indices (B,) to images (B, 3, S, S), clamped in eval mode.

    At 64 px 22,243,608 parameters without the label and 22,510,360 with K = 8 classes; with
    `channel_cap` 128 3,043,608 at K = 8. Cost at 64 px: 7.7 GMAC an image, 1.0 with 128.

    Args:
        classes: number of classes K.
        size: edge of the image, a power of two from 8 pixels up.
        channel_cap: most channels of any map.
        base: channels times resolution, where the cap does not hold: a map of edge r has
            min(base // r, channel_cap) channels.
        z_dim: length of the latent vector.
        w_dim: width of the mapping network, its output w and the class embedding.
        mapping_layers: layers of the mapping network (2 in the automatic configuration).

    Raises:
        UsageError: for a size that is no such power of two, or without channels at it.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        channel_cap: int = 512,
        base: int = 16384,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 2,
    ):
        super().__init__()
        widths = channels(size, channel_cap, base)
        self.classes, self.size, self.z_dim = classes, size, z_dim
        self.mapping = Mapping(classes, z_dim, w_dim, mapping_layers)
        self.constant = nn.Parameter(torch.randn(1, widths[0], START, START))
        self.start = StyledConv(widths[0], widths[0], w_dim, START)
        self.start_rgb = ToRGB(widths[0], w_dim)
        self.blocks = nn.ModuleList(
            SynthesisBlock(a, b, w_dim, START << i) for i, (a, b) in enumerate(pairwise(widths), 1)
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        w = self.mapping(z, y)
        x = self.start(self.constant.expand(z.shape[0], -1, -1, -1), w)
        rgb = self.start_rgb(x, w)
        for block in self.blocks:
            x, rgb = block(x, rgb, w)
        images = rgb.float()
        return images if self.training else images.clamp(-1, 1)


class SynthesisBlock(nn.Module):
    """Map (B, C, R/2, R/2) and image (B, 3, R/2, R/2) to the same at edge R, with C' channels."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int):
        super().__init__()
        self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, up=True)
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution)
        self.to_rgb = ToRGB(out_channels, w_dim)

    def forward(self, x: Tensor, rgb: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1(self.conv0(x, w), w)
        rgb = F.interpolate(rgb, scale_factor=2, mode="bilinear")
        return x, rgb + self.to_rgb(x, w)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise of one learned strength, bias, leaky ReLU.

    The noise is drawn afresh for each image in training and is one fixed plane in eval mode.
    """

    fixed: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: bool = False
    ):
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, w_dim, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("fixed", torch.randn(1, 1, resolution, resolution))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        h = self.conv(x, w)
        noise = torch.randn_like(h[:, :1]) if self.training else self.fixed
        h = h + (self.strength * noise).to(h.dtype)
        return activate(h + self.bias.view(-1, 1, 1).to(h.dtype))


class ToRGB(nn.Module):
    """Map (B, C, R, R) to image (B, 3, R, R): a modulated 1x1 convolution, not demodulated."""

    def __init__(self, in_channels: int, w_dim: int):
        super().__init__()
        self.conv = ModulatedConv(in_channels, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        h: Tensor = self.conv(x, w)
        return h + self.bias.view(-1, 1, 1).to(h.dtype)


class ModulatedConv(nn.Module):
    """Convolution of (B, C, R, R) whose weights an affine map of w (B, w_dim) scales per image.

    Equations 1 and 3 of arXiv 1912.04958: w' = style[i] w[o, i, k], then, if demodulated, w'' = w'
    / sqrt(sum over i, k of w'^2 + 1e-8); computed as the module docstring says. With `up` the map
    is doubled too, through the filter [1, 3, 3, 1].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        w_dim: int,
        demodulate: bool = True,
        up: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.affine = EqualLinear(w_dim, in_channels, bias=1.0)
        self.gain = (in_channels * kernel**2) ** -0.5
        self.demodulate, self.up = demodulate, up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, demodulation = self.scales(w)
        x = x * style[:, :, None, None].to(x.dtype)
        if self.up:
            # Zeros between the pixels take three quarters of the mean: `scales` gives it back.
            x = smooth(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), padding=1)
        else:
            x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        return x * demodulation[:, :, None, None].to(x.dtype)

    def scales(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """What input channels (B, C) and output channels (B, C') are multiplied by, in float32."""
        with torch.autocast(w.device.type, enabled=False):
            style = self.affine(w) * self.gain
            energy = self.weight.square().sum((2, 3))  # (C', C)
            if self.demodulate:
                demodulation = (style.square() @ energy.T + EPSILON).rsqrt()
            else:
                demodulation = torch.ones_like(energy[:, 0]).expand(w.shape[0], -1)
        return style, demodulation * (4 if self.up else 1)


class Mapping(nn.Module):
    """Latents (B, z_dim), unless z_dim is 0, and class indices (B,) to w (B, w_dim), in float32.

    The class embedding is w_dim long; latent and embedding are each normalised to a mean square of
    1 and concatenated (arXiv 2006.06676, appendix). A 100th of the learning rate.
    """

    def __init__(self, classes: int, z_dim: int, w_dim: int, layers: int):
        super().__init__()
        # A linear layer on the one-hot label, as a table: fine-tuning maps its rows to new classes.
        self.label = nn.Embedding(classes, w_dim)
        self.label_bias = nn.Parameter(torch.zeros(w_dim))
        widths = (z_dim + w_dim, *[w_dim] * layers)
        self.layers = nn.ModuleList(EqualLinear(a, b, MAPPING_RATE) for a, b in pairwise(widths))

    def forward(self, z: Tensor | None, y: Tensor) -> Tensor:
        with torch.autocast(y.device.type, enabled=False):
            h = normalise(self.label(y) * self.label.num_embeddings**-0.5 + self.label_bias)
            if z is not None:
                h = torch.cat([normalise(z.float()), h], 1)
            for layer in self.layers:
                h = activate(layer(h))
        return h


class StyleGAN2Critic(Critic):
    """Images (B, 3, S, S) and class indices (B,) to one logit each (B,); twice differentiable.

    Residual blocks down to 4x4, minibatch deviation over groups of 4, two dense layers, projected
    on a mapped class embedding (arXiv 2006.06676, appendix, after Miyato & Koyama 2018). At 64 px
    23,407,361 parameters without the label (and one output), 25,775,360 at K = 8: embedding, 8
    mapping layers and 512 outputs more; with `channel_cap` 128 1,807,488 at K = 8. Cost at 64 px:
    7.9 GMAC an image, 1.0 with 128. Groups are neighbours in the batch (published: images a quarter
    of the batch apart), which are as random.

    Args:
        classes: number of classes K.
        size: edge of the image, a power of two from 8 pixels up.
        channel_cap: most channels of any map.
        base: as in the generator.
        mapping_layers: layers of the label's mapping network (8 in the published code).

    Raises:
        UsageError: for a size that is no such power of two, or without channels at it.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        channel_cap: int = 512,
        base: int = 16384,
        mapping_layers: int = 8,
    ):
        super().__init__()
        widths = channels(size, channel_cap, base)[::-1]
        last = widths[-1]
        self.from_rgb = EqualConv(3, widths[0], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise(widths)))
        self.mix = EqualConv(last + 1, last, 3, padding=1)
        self.dense = EqualLinear(last * START**2, last)
        self.project = EqualLinear(last, last)
        self.mapping = Mapping(classes, 0, last, mapping_layers)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        h = self.blocks(activate(self.from_rgb(images)))
        h = activate(self.mix(minibatch_deviation(h)))
        h = self.project(activate(self.dense(h.flatten(1)))).float()
        label = self.mapping(None, y)
        return (h * label).sum(1) * label.shape[1] ** -0.5


class ResidualBlock(nn.Module):
    """Map (B, C, R, R) to (B, C', R/2, R/2): two 3x3 convolutions beside a 1x1, each smoothed."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv0 = EqualConv(in_channels, in_channels, 3, padding=1)
        self.conv1 = EqualConv(in_channels, out_channels, 3, stride=2)
        self.skip = EqualConv(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = activate(self.conv0(x))
        h = activate(self.conv1(smooth(h, padding=2)))
        # A strided filter gives these pixels too, but its backward in bfloat16 is 5-10x slower.
        halved = smooth(x, padding=1)[:, :, ::2, ::2]
        return (h + self.skip(halved)) * 0.5**0.5


class EqualConv(nn.Conv2d):
    """Convolution at equalised learning rate: weights N(0, 1), scaled to unit gain when used."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        gain = self.weight[0].numel() ** -0.5
        return F.conv2d(x, self.weight * gain, self.bias, self.stride, self.padding)


class EqualLinear(nn.Module):
    """Linear layer at equalised learning rate times `rate`: (B, in) to (B, out), biases `bias`.

    Parameters are stored 1 / `rate` times as large and scaled back when used, so that a step of
    Adam, whose size does not depend on the gradient's, changes them relatively less.
    """

    def __init__(self, in_features: int, out_features: int, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / rate)
        self.bias = nn.Parameter(torch.full((out_features,), bias / rate))
        self.rate, self.gain = rate, rate * in_features**-0.5

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the scale of a zero-mean input (mean square 1.04 of 1)."""
    return F.leaky_relu(x, LEAK) * GAIN


def normalise(x: Tensor) -> Tensor:
    """Each row of (B, N) at mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def smooth(x: Tensor, padding: int) -> Tensor:
    """The filter [1, 3, 3, 1] / 8 along both edges of (B, C, H, W), zeros outside."""
    line = torch.tensor(FILTER, dtype=x.dtype, device=x.device) / sum(FILTER)
    kernel = torch.outer(line, line).expand(x.shape[1], 1, -1, -1)  # 1 to 9 / 64: exact in bfloat16
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


def channels(size: int, cap: int, base: int) -> tuple[int, ...]:
    """Channels of the maps of edge 4, 8, ... `size`; raises UsageError where there can be none."""
    if size < 2 * START or size & (size - 1):
        raise UsageError(
            f"stylegan2 cannot make images of {size} pixels; the edge must be a power of two from "
            f"{2 * START} up. Choose 32, 64 or 128 with --size."
        )
    if cap < 1 or base < size:
        raise UsageError(
            f"stylegan2 has no channels with channel_cap {cap} and base {base} at {size} pixels; "
            "channel_cap must be at least 1 and base at least the size."
        )
    return tuple(min(base >> i, cap) for i in range(2, size.bit_length()))
