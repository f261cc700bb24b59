"""The usual augmentation of a skin-lesion classifier, the bar that synthetic images must clear.

What the leading entries of the ISIC challenges have in common (e.g. Perez et al. 2018, arXiv
1809.01700; Gessert et al. 2020, arXiv 1910.03910): flips and turns, random resized crops with a
small rotation, and brightness, contrast and saturation; hue only slightly, because in a lesion
colour is the diagnosis. All draws come from the CPU generator `rng`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgan.data.diffaugment import flips_and_turns

SMALLEST_AREA = 0.6  # of the image that a crop shows
STRETCH = 1.15  # of one edge of the crop over the other, at most
ROTATION = 15.0  # degrees, either way, on top of the quarter turns
BRIGHTNESS = CONTRAST = SATURATION = 0.2  # factors within 1 -+ this
HUE = 7.0  # degrees, either way

# Rec. 601: what a pixel's luminance and its two colour differences are (the YIQ space, in which a
# turn about the axis of luminance is a change of hue).
TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
)


def standard_augmentation(images: Tensor, rng: torch.Generator) -> Tensor:
    """Augment each of (B, 3, S, S) images in [-1, 1] in its own way; the result is in [-1, 1].

    Cost: one bilinear resampling and one 3x3 product a pixel.
    """
    return recolour(zoom(flips_and_turns(images, rng), rng), rng)


def zoom(images: Tensor, rng: torch.Generator) -> Tensor:
    """Show a random, slightly turned rectangle of each image (B, C, S, S) at full size.

    Its area is 60 to 100 % of the image, its edges differ by up to 15 %; where a turned corner
    leaves the image, the image is mirrored.
    """
    area, stretch, angle, right, down = torch.rand(5, len(images), generator=rng)
    area = SMALLEST_AREA + (1 - SMALLEST_AREA) * area
    half = math.log(STRETCH) * (stretch - 0.5)
    width, height = ((area.sqrt() * torch.exp(h)).clamp(max=1) for h in (half, -half))
    angle = math.radians(ROTATION) * (2 * angle - 1)
    cos, sin = angle.cos(), angle.sin()
    x = (1 - width) * (2 * right - 1)  # the centre, so that the unturned rectangle lies inside
    y = (1 - height) * (2 * down - 1)
    rows = (width * cos, -height * sin, x, width * sin, height * cos, y)
    affine = torch.stack(rows, 1).view(-1, 2, 3).to(images.device)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    # Resampling reads one plane after the other: this layout is the faster one.
    return F.grid_sample(images.contiguous(), grid, padding_mode="reflection", align_corners=False)


def recolour(images: Tensor, rng: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation of each image (B, 3, S, S), and hue a little.

    On pixels in [0, 1] hue turns the colour differences, saturation scales them, brightness
    scales the pixel, contrast its distance to the image's mean luminance: together one affine map
    of the three channels. What leaves [-1, 1] is clamped. Greys stay grey.
    """
    u = 2 * torch.rand(4, len(images), generator=rng) - 1
    brightness, contrast, saturation = (
        1 + reach * share
        for reach, share in zip((BRIGHTNESS, CONTRAST, SATURATION), u, strict=False)
    )
    hue = math.radians(HUE) * u[3]
    turn = torch.zeros(len(images), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * hue.cos()
    turn[:, 2, 1] = saturation * hue.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    gain = brightness * contrast
    matrix = (gain[:, None, None] * (TO_YIQ.inverse() @ turn @ TO_YIQ)).to(images.device)
    gain, brightness = gain.to(images.device), brightness.to(images.device)
    luminance = images.mean((2, 3)) @ TO_YIQ[0].to(images.device) + 1  # twice the mean in [0, 1]
    offset = gain + (brightness - gain) * luminance - 1
    flat = torch.baddbmm(offset.view(-1, 1, 1), matrix, images.flatten(2))
    return flat.view_as(images).clamp_(-1, 1)
