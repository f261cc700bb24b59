"""Adaptive discriminator augmentation: changes of real and fake images, as many as are needed.

Karras et al. 2020 (arXiv 2006.06676, appendix B). Kept are its pixel blitting and geometry ("bg"),
and brightness and contrast of its colour changes. Luma flip, hue and saturation are left out: in a
lesion colour is the diagnosis, and a generator may learn a little of what the critic is shown.

Differences from the paper. Geometry is one affine map and one bilinear resampling; the paper
resamples at twice the resolution between low-pass filters of an orthogonal wavelet, which keeps the
fine detail that ours blurs at fractions of a pixel, and the aliasing away that ours lets in where
an image shrinks. What enters at an edge is mirrored, in both; ours repeats the outermost pixel
first, the paper's does not.

All draws come from the CPU generator `rng`, so that a resumed run repeats them on any device.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

# Standard deviations and largest values of the paper's distributions; shifts are shares of the edge
BLIT_SHIFT = 0.125  # uniform
SCALE_OCTAVES = 0.2  # log2 of both scales
SHIFT = 0.125
BRIGHTNESS = 0.2  # on the range [-1, 1]
CONTRAST_OCTAVES = 0.5


def ada(images: Tensor, rng: torch.Generator, strength: float = 1.0) -> Tensor:
    """Augment (B, 3, S, S) images in [-1, 1]; each change befalls an image with that probability.

    The result may leave [-1, 1]. Differentiable with respect to the images, once (grid_sample has
    no second derivative): a penalty on the critic's gradient must be taken at augmented images.
    `strength` in [0, 1] is the paper's p; 0 returns `images` itself.
    """
    if strength <= 0:
        return images
    b, _, s, _ = images.shape
    theta = geometry(b, s, rng, strength)
    contrast, shift = (t.to(images).view(-1, 1, 1, 1) for t in colour(b, rng, strength))
    return warp(images, theta) * contrast + shift


def geometry(count: int, size: int, rng: torch.Generator, strength: float) -> Tensor:
    """Draw for each image the map (B, 2, 3) from where a pixel goes to where it comes from.

    Coordinates are those of `affine_grid`: x, y in [-1, 1] from edge to edge. The image undergoes,
    in this order: mirroring of x, quarter turns, a shift by whole pixels, isotropic scale,
    rotation, anisotropic scale, rotation, shift; the map is the product of the inverses in the same
    order.
    The rotations before and after the anisotropy, which turn its axes, have a probability of
    1 - sqrt(1 - strength) each, hence of `strength` that there is one.
    """

    def uniform(columns: int = 1) -> Tensor:
        return torch.rand(count, columns, generator=rng, dtype=torch.float64)

    def normal(columns: int = 1) -> Tensor:
        return torch.randn(count, columns, generator=rng, dtype=torch.float64)

    def sometimes(values: Tensor, probability: float = strength) -> Tensor:
        return values * (uniform() < probability)

    each_rotation = 1 - math.sqrt(1 - strength)
    mirror = sometimes((2 * uniform()).floor())
    quarters = sometimes((4 * uniform()).floor())
    blit = sometimes((BLIT_SHIFT * (2 * uniform(2) - 1) * size).round() / size)
    scale = 2 ** sometimes(SCALE_OCTAVES * normal())
    before = sometimes(math.pi * (2 * uniform() - 1), each_rotation)
    stretch = 2 ** sometimes(SCALE_OCTAVES * normal())
    after = sometimes(math.pi * (2 * uniform() - 1), each_rotation)
    shift = sometimes(SHIFT * normal(2))
    inverse = (
        scaling(1 - 2 * mirror, torch.ones_like(mirror))
        @ rotation(-math.pi / 2 * quarters)
        @ translation(-2 * blit)  # the edge is 2 long
        @ scaling(1 / scale, 1 / scale)
        @ rotation(-before)
        @ scaling(1 / stretch, stretch)
        @ rotation(-after)
        @ translation(-2 * shift)
    )
    return inverse[:, :2]


def warp(images: Tensor, theta: Tensor) -> Tensor:
    """Move the pixels of (B, C, S, S) along the maps (B, 2, 3) of `geometry`."""
    grid = F.affine_grid(theta.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)


def colour(count: int, rng: torch.Generator, strength: float) -> tuple[Tensor, Tensor]:
    """Draw for each image a factor and what is added after it, (B, 1) both.

    Brightness is added first, then contrast multiplies about mid grey (0): c (x + b) = c x + c b.
    """
    normal = torch.randn(count, 2, generator=rng)
    chosen = torch.rand(count, 2, generator=rng) < strength
    brightness, octaves = (normal * chosen).split(1, 1)
    contrast = 2 ** (CONTRAST_OCTAVES * octaves)
    return contrast, contrast * BRIGHTNESS * brightness


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Factors (B, 1) along x and y as homogeneous matrices (B, 3, 3)."""
    return torch.diag_embed(torch.cat([x, y, torch.ones_like(x)], 1))


def rotation(angle: Tensor) -> Tensor:
    """Angles (B, 1) in radians, from x towards y, as homogeneous matrices (B, 3, 3)."""
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1]
    return torch.cat(rows, 1).view(-1, 3, 3)


def translation(offset: Tensor) -> Tensor:
    """Offsets (B, 2) along x and y as homogeneous matrices (B, 3, 3)."""
    matrix = torch.eye(3, dtype=offset.dtype).repeat(len(offset), 1, 1)
    matrix[:, :2, 2] = offset
    return matrix


class Adaptive:
    """The augmentation's strength, led by how sure the critic is of the real images.

    Every `every` calls it moves by images / (1000 kimg), up where the mean sign of the critic's
    logits on augmented real images exceeds `target` (it begins to know them by heart), down where
    it falls short (arXiv 2006.06676, section 3: r_t, target 0.6, every 4 minibatches, from 0 to 1
    in 500 kimg at the fastest).

    Args:
        target: the mean sign aimed at, in [-1, 1].
        kimg: thousands of images in which the strength may move from 0 to 1.
        every: calls of `observe` between two moves.
        strength: where it starts, in [0, 1].
    """

    def __init__(
        self, target: float = 0.6, kimg: float = 500, every: int = 4, strength: float = 0.0
    ):
        self.target, self.kimg, self.every = target, kimg, every
        self.strength = strength
        self._forget()

    def observe(self, real_logits: Tensor, images: int) -> None:
        """Take in the logits of one critic step, of any shape, and how many real images it saw."""
        self._signs += float(real_logits.detach().sign().sum())
        self._logits += real_logits.numel()
        self._images += images
        self._calls += 1
        if self._calls < self.every:
            return
        excess = self._signs / self._logits - self.target
        direction = (excess > 0) - (excess < 0)
        moved = self.strength + direction * self._images / (1000 * self.kimg)
        self.strength = min(max(moved, 0.0), 1.0)
        self._forget()

    def state_dict(self) -> dict[str, float]:
        """All that changes, as plain numbers; the arguments are the configuration's."""
        return {
            "strength": self.strength,
            "signs": self._signs,
            "logits": self._logits,
            "images": self._images,
            "calls": self._calls,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.strength, self._signs = float(state["strength"]), float(state["signs"])
        self._logits, self._images = int(state["logits"]), int(state["images"])
        self._calls = int(state["calls"])

    def _forget(self) -> None:
        self._signs, self._logits, self._images, self._calls = 0.0, 0, 0, 0
