"""Differentiable augmentation for dermoscopy, applied alike to the reals and fakes the critic sees.

After Zhao et al. 2020 (arXiv 2006.10738). Translation, a small cutout, and brightness and contrast
within 0.2; no hue and no strong saturation, because in a lesion colour is the diagnosis. Flips and
quarter turns belong to the real images alone (a lesion has no up): they add views of the data, and
the generator learns to draw all of them.

All draws come from the CPU generator `rng`, so that a resumed run repeats them on any device.
"""

import torch
from torch import Tensor


def augment(images: Tensor, rng: torch.Generator, strength: float = 1.0) -> Tensor:
    """Augment (B, 3, S, S) images in [-1, 1]; `strength` in [0, 1] is the share that is changed."""
    if strength <= 0:
        return images
    b, _, s, _ = images.shape
    # One row of uniforms an image: chosen, brightness, contrast, shift y, shift x, cut y, cut x.
    u = torch.rand(b, 7, generator=rng).to(images.device)
    chosen = (u[:, 0] < strength).float()
    brightness = (0.4 * u[:, 1] - 0.2) * chosen  # [-0.2, 0.2] of the half range
    contrast = 1 + (0.4 * u[:, 2] - 0.2) * chosen  # [0.8, 1.2]
    reach = s // 8
    shift = ((u[:, 3:5] * (2 * reach + 1)).floor() - reach) * chosen[:, None]
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * contrast.view(-1, 1, 1, 1) + (mean + brightness.view(-1, 1, 1, 1))
    return cutout(translate(images, shift.long()), u[:, 5:7], chosen)


def translate(images: Tensor, shift: Tensor) -> Tensor:
    """Move each image by `shift` (B, 2) whole pixels down and right; what enters repeats the edge.

    Zhao et al. pad with zeros (grey); repeating the edge spares the critic a border no lesion has.
    """
    b, _, s, _ = images.shape
    steps = torch.arange(s, device=images.device)
    rows = (steps - shift[:, :1]).clamp(0, s - 1)  # (B, S)
    columns = (steps - shift[:, 1:]).clamp(0, s - 1)
    pixels = images.permute(0, 2, 3, 1)  # (B, S, S, 3): channels_last in memory
    moved = pixels[
        torch.arange(b, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return moved.permute(0, 3, 1, 2)


def cutout(images: Tensor, centre: Tensor, chosen: Tensor, share: float = 0.25) -> Tensor:
    """Set to 0 a square of edge `share` S around `centre` (B, 2) in [0, 1] of each chosen image."""
    s = images.shape[-1]
    half = share * s / 2
    steps = torch.arange(s, device=images.device) + 0.5
    inside_y = (steps - centre[:, :1] * s).abs() < half  # (B, S)
    inside_x = (steps - centre[:, 1:] * s).abs() < half
    hole = inside_y[:, None, :, None] & inside_x[:, None, None, :] & (chosen > 0).view(-1, 1, 1, 1)
    return images * (~hole)


def flips_and_turns(images: Tensor, rng: torch.Generator) -> Tensor:
    """Give each image (B, C, S, S) one of the eight symmetries of the square at random."""
    symmetry = torch.randint(8, (len(images),), generator=rng)
    out = torch.empty_like(images)
    for k in range(8):
        chosen = (symmetry == k).to(images.device)
        turned = torch.rot90(images[chosen], k % 4, (2, 3))
        out[chosen] = turned.flip(3) if k >= 4 else turned
    return out
