"""Distances between two sets of features: pure functions, (N, d) arrays in, numbers out.

Legend: `real` (M, d) and `fake` (N, d) of any float type; all is computed in float64. Both
distances are 0 for equal distributions and grow without bound. The Fréchet distance is biased
upwards for small sets, the more so the larger d, so it is compared at equal M and N only; the
kernel distance is unbiased.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Interval = tuple[float, float]

CONFIDENCE = 0.95  # of every interval here
POINTS = 15  # of the line to infinitely many fakes, as in the paper
MIN_GROUPS = 5  # a bootstrap over fewer independent units says nothing about their spread


class TooFewImages(ValueError):
    """The metric is undefined or meaningless at this number of images; the message says why."""


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,), covariance (d, d) and its symmetric root (d, d) of one set of features."""

    mean: Array
    covariance: Array
    root: Array

    @classmethod
    def fit(cls, features: Array) -> "Gaussian":
        """Of (N, d) features, covariance over N - 1; TooFewImages where N <= d. O(N d² + d³)."""
        features = as_features(features, "features")
        n, d = features.shape
        if n <= d:
            raise TooFewImages(
                f"{n} images give a singular covariance of {d} features; more than {d} are needed"
            )
        mean = features.mean(axis=0)
        centred = features - mean
        covariance = centred.T @ centred / (n - 1)
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
        return cls(mean, covariance, root)


def frechet_distance(real: Array | Gaussian, fake: Array | Gaussian) -> float:
    """Fréchet distance between the Gaussians of two sets of features.

    |m_r - m_f|² + tr(S_r + S_f - 2 (S_r S_f)^½), where the trace of the root is the sum of the
    roots of the eigenvalues of S_r^½ S_f S_r^½, a symmetric matrix: no complex parts, no added
    epsilon. Takes features or fitted `Gaussian`s (fit once what is compared often).
    TooFewImages where a set has no more images than features.
    Source: Heusel et al., "GANs trained by a two time-scale update rule", arXiv 1706.08500, eq. 6.
    """
    a = real if isinstance(real, Gaussian) else Gaussian.fit(real)
    b = fake if isinstance(fake, Gaussian) else Gaussian.fit(fake)
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"real has {a.mean.size} features, fake has {b.mean.size}; expected as many"
        )
    eigenvalues = np.linalg.eigvalsh(a.root @ b.covariance @ a.root).clip(min=0.0)
    squared_mean = float(np.sum((a.mean - b.mean) ** 2))
    traces = float(np.trace(a.covariance) + np.trace(b.covariance))
    return squared_mean + traces - 2.0 * float(np.sqrt(eigenvalues).sum())


def frechet_infinity(real: Array | Gaussian, fake: Array, seed: int) -> float:
    """Fréchet distance extrapolated to infinitely many fakes.

    The distance of N fakes (N, d) exceeds its limit by about c / N. It is taken of `POINTS` random
    subsets, from half of the fakes to all, evenly spaced in 1/N, and a line through them read off
    at 1/N = 0. As in the paper only the number of fakes goes to infinity: the real images are as
    many as there are, so values compare at equal M only. (The paper takes 5,000 to 50,000 fakes.)
    Where fakes are hardly to be told from real images it comes out too low, even negative, for the
    two biases then do not add up. TooFewImages where N <= 2 d or M <= d. Cost: `POINTS` eigenvalue
    problems: 3 s for 768 features, a minute for 2048.
    Source: Chong and Forsyth 2020, arXiv 1911.07023, section 3 and algorithm 1.
    """
    target = real if isinstance(real, Gaussian) else Gaussian.fit(real)
    fake = as_features(fake, "fake")
    n, d = fake.shape
    if n <= 2 * d:
        raise TooFewImages(f"{n} fakes of {d} features; a line needs more than {2 * d}")
    rng = np.random.default_rng([seed, 5])
    inverse = np.linspace(1.0 / n, 2.0 / n, POINTS)
    sizes = np.minimum(n, np.ceil(1.0 / inverse - 1e-9).astype(int))  # more than d each
    found = [frechet_distance(target, fake[rng.permutation(n)[:size]]) for size in sizes]
    return float(np.polyfit(1.0 / sizes, found, 1)[1])


def kid(real: Array, fake: Array) -> float:
    """Kernel distance: the squared MMD for k(x, y) = (x·y / d + 1)³, full U-statistic.

    Over all pairs, no random subsets; unbiased, so it may be negative. TooFewImages below 2 images
    a side. O((M + N)² d) in time, 8 bytes for each pair of a set in memory.
    Source: Binkowski et al., "Demystifying MMD GANs", arXiv 1801.01401, section 4.
    """
    real, fake = _checked_pair(real, fake)
    return (
        _pair_mean(cubic_kernel(real, real))
        + _pair_mean(cubic_kernel(fake, fake))
        - 2.0 * float(cubic_kernel(real, fake).mean())
    )


def kid_bootstrap(
    real: Array,
    fake: Array,
    groups: Sequence[object] | NDArray[np.generic],
    seed: int,
    repeats: int = 1000,
) -> Array:
    """`kid` in each of (repeats,) resamples: real images drawn by group (lesion), fakes singly.

    `groups` holds one label per real image. A pair within a group has the group's weight, a pair
    across groups the product of theirs, and no image is paired with itself: the resamples
    then centre on `kid`. Weights depend on seed and set sizes alone, so the difference of two calls
    with the same `real`, `groups` and number of fakes is a paired bootstrap of two models.
    TooFewImages below `MIN_GROUPS` groups or fakes; NaN in a resample without any pair.
    Cost: one `kid`, then O(repeats (M² + N²)).
    """
    real, fake = _checked_pair(real, fake)
    if len(groups) != len(real):
        raise ValueError(
            f"groups has {len(groups)} labels for {len(real)} real images; expected one each"
        )
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}, expected at least 1")
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if min(len(names), len(fake)) < MIN_GROUPS:
        raise TooFewImages(
            f"{len(names)} independent real units (lesions) and {len(fake)} fakes; "
            f"an interval needs {MIN_GROUPS} of each"
        )
    real_weights = multinomial(len(names), repeats, [seed, 0])
    fake_weights = multinomial(len(fake), repeats, [seed, 1])
    within_real = _weighted_pair_mean(cubic_kernel(real, real), member, real_weights)
    within_fake = _weighted_pair_mean(cubic_kernel(fake, fake), np.arange(len(fake)), fake_weights)
    image_weights = real_weights[:, member]
    across = np.einsum("rm,rm->r", image_weights, fake_weights @ cubic_kernel(fake, real))
    across /= image_weights.sum(axis=1) * len(fake)
    return within_real + within_fake - 2.0 * across


def kid_interval(
    real: Array,
    fake: Array,
    groups: Sequence[object] | NDArray[np.generic],
    seed: int,
    repeats: int = 1000,
) -> Interval:
    """The 95 % percentile interval (low, high) of `kid_bootstrap`; same arguments and errors.

    Near KID = 0 the statistic is degenerate and the interval is wide rather than exact.
    """
    resamples = kid_bootstrap(real, fake, groups, seed, repeats)
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.nanpercentile(resamples, [tail, 100.0 - tail])
    return float(low), float(high)


def cubic_kernel(x: Array, y: Array) -> Array:
    """k(x, y) = (x·y / d + 1)³ of (M, d) and (N, d): (M, N)."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _pair_mean(kernel: Array) -> float:
    """Mean of a square kernel matrix without its diagonal."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def _weighted_pair_mean(kernel: Array, member: NDArray[np.integer], weights: Array) -> Array:
    """Mean over pairs of different items, weighted by group, for each row of weights (R, G): (R,).

    NaN where a resample holds no such pair (one group with one image drawn every time).
    """
    order = np.argsort(member, kind="stable")
    sizes = np.bincount(member, minlength=weights.shape[1]).astype(float)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(int)
    between = np.add.reduceat(kernel[np.ix_(order, order)], starts, axis=0)
    between = np.add.reduceat(between, starts, axis=1)
    inside = np.diag(between) - np.add.reduceat(np.diag(kernel)[order], starts)
    np.fill_diagonal(between, 0.0)
    total = np.einsum("rg,rg->r", weights, weights @ between) + weights @ inside
    images = weights @ sizes
    pairs = images**2 - (weights**2) @ sizes**2 + weights @ (sizes * (sizes - 1.0))
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def multinomial(items: int, repeats: int, entropy: list[int]) -> Array:
    """How often each item is drawn in each resample: (repeats, items), rows sum to items."""
    rng = np.random.default_rng(entropy)
    return rng.multinomial(items, np.full(items, 1.0 / items), size=repeats).astype(float)


def as_features(features: Array, name: str) -> Array:
    """Float64 (N, d); ValueError, with this name for the set, for another shape or NaN."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(f"{name} has shape {features.shape}, expected (images, features)")
    if not np.isfinite(features).all():
        raise ValueError(f"{name} holds NaN or infinity, expected finite features")
    return features


def _checked_pair(real: Array, fake: Array) -> tuple[Array, Array]:
    real, fake = as_features(real, "real"), as_features(fake, "fake")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real has {real.shape[1]} features, fake has {fake.shape[1]}; expected as many"
        )
    if min(len(real), len(fake)) < 2:
        raise TooFewImages(
            f"{len(real)} real and {len(fake)} fake images; pairs need at least 2 of each"
        )
    return real, fake
