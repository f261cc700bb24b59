"""Ways through the latent space: truncation, and walks from one image to another."""

import math

import torch
from torch import Tensor

from hqgan.errors import UsageError
from hqgan.models.generator import Generator
from hqgan.models.snapshot import latents

LEAST_TRUNCATION, NO_TRUNCATION = 0.1, 4.0  # standard deviations; beyond 4 lies 1 of 16,000


def truncated(generator: Generator, z: Tensor, limit: float) -> Tensor:
    """Latents (n, z_dim), pushed together into [-limit, limit] as a truncated normal has them.

    The trick of BigGAN (Brock et al. 2019, arXiv 1809.11096): more typical images, less variety.
    There values beyond the limit are drawn again; here every value keeps its quantile, so that an
    image changes smoothly with the limit and stays the one of its seed.

    Args:
        generator: which space the latents are of.
        z: standard normal.
        limit: 0.1 to 4 standard deviations; 4 returns z as it is.

    Raises:
        UsageError: another limit, or a generator whose latents are not normal.
    """
    if not LEAST_TRUNCATION <= limit <= NO_TRUNCATION:
        raise UsageError(
            f"truncation is {limit:g} standard deviations, but must lie from {LEAST_TRUNCATION:g} "
            f"to {NO_TRUNCATION:g}, which means none"
        )
    if limit == NO_TRUNCATION:
        return z
    if not has_normal_latents(generator):
        raise UsageError(
            f"the latents of {type(generator).__name__} are bounded already; leave truncation at "
            f"{NO_TRUNCATION:g}"
        )
    kept = math.erf(limit / math.sqrt(2))  # probability of [-limit, limit]
    return math.sqrt(2) * torch.special.erfinv(kept * torch.erf(z.double() / math.sqrt(2))).float()


def walk(generator: Generator, y: int, seeds: tuple[int, int], steps: int) -> Tensor:
    """Latents (steps, z_dim) from the first image of class y of one seed to that of another.

    On the great circle for normal latents, which keeps to lengths that training has seen (White
    2016, arXiv 1609.04468); straight for bounded ones.

    Raises:
        UsageError: fewer than two steps.
    """
    if steps < 2:
        raise UsageError(f"a walk has {steps} steps, but needs its two ends at least")
    a, b = (next(latents(generator, [y], seed))[0][0].double() for seed in seeds)
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    if not has_normal_latents(generator):
        return (a + t * (b - a)).float()
    cosine = torch.dot(a, b) / (a.norm() * b.norm())
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-6:  # the same seed twice
        return (a + t * (b - a)).float()
    return ((((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()).float()


def has_normal_latents(generator: Generator) -> bool:
    """Whether latents are standard normal, as `Generator.sample_z` draws them."""
    return type(generator).sample_z is Generator.sample_z
