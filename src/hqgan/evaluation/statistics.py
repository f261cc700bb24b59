"""Is one model better than another? Differences with what seeds, lesions and fakes leave open.

A kernel distance varies with the seed of the training, with the lesions that happen to be in the
reference and with the fakes that were drawn. The reference is the same for both models, so its
noise cancels to a large part in their difference, which is why the difference has an interval of
its own: two intervals that overlap say little. What cannot be computed is None, with a note, so
that a table of many models is never lost to one of them.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from hqgan.evaluation.metrics import (
    CONFIDENCE,
    MIN_GROUPS,
    Array,
    Interval,
    as_features,
    cubic_kernel,
    multinomial,
)

UPPER = 0.5 + CONFIDENCE / 2
ONE_SEED = "a model has one seed, and how it varies with the seed is not in the interval"


@dataclass(frozen=True)
class Difference:
    """Mean kid of model A minus that of model B: negative where A is better.

    Attributes:
        value: None where there is nothing to compare.
        interval: 95 %, None where there are too few images or lesions for one.
        seeds: trained networks of the model that has fewer.
        replicates: resamples behind the interval, 0 without one.
        note: what the numbers leave out, or why there are none.
    """

    value: float | None
    interval: Interval | None
    seeds: int
    replicates: int
    note: str | None = None

    def sentence(self, a: str, b: str) -> str:
        """What may be said of models with these names; better and worse only beyond the noise."""
        if self.value is None:
            return f"{a} and {b} cannot be compared: {self.note}."
        if self.interval is None:
            return f"Whether {a} or {b} is better is open: {self.note}."
        low, high = self.interval
        numbers = f"kid differs by {self.value:.3g}, 95 % interval {low:.3g} to {high:.3g}"
        tail = f"; {self.note}" if self.note else ""
        if self.seeds == 1 and (low > 0 or high < 0):
            place = "further from" if low > 0 else "nearer to"
            return (
                f"{a} is {place} the real images than {b} in this one training ({numbers}{tail})."
            )
        if low > 0 or high < 0:
            return f"{a} is {'worse' if low > 0 else 'better'} than {b} ({numbers}{tail})."
        return f"No difference between {a} and {b} is shown ({numbers}{tail})."


@dataclass(frozen=True)
class SeedMean:
    """Mean of one number over seeds, and its 95 % interval where two or more seeds allow one."""

    value: float | None
    interval: Interval | None
    seeds: int
    note: str | None = None


@dataclass(frozen=True)
class KernelSums:
    """All that a difference needs of one trained network's fakes, N of them.

    Attributes:
        among: (N, N) kernel between fakes, the diagonal 0.
        across: (N, G) kernel between fakes and real images, summed over the images of each lesion.
        sizes: (G,) images of each lesion.
    """

    among: Array
    across: Array
    sizes: Array

    @property
    def digest(self) -> int:
        """A number that stands for the content."""
        return zlib.crc32(self.across.tobytes())


class Reference:
    """The real features (M, d) that all models are compared with, and a lesion for each of them."""

    def __init__(self, real: Array, groups: Sequence[object] | NDArray[np.generic]) -> None:
        self._real = as_features(real, "real")
        if len(groups) != len(self._real):
            raise ValueError(
                f"groups has {len(groups)} labels for {len(self._real)} real images; "
                "expected one each"
            )
        names, self._member = np.unique(np.asarray(groups), return_inverse=True)
        self._sizes = np.bincount(self._member, minlength=len(names)).astype(float)

    def sums(self, fake: Array) -> KernelSums:
        """Of fakes (N, d), once for all comparisons. O((M + N) N d), 8 N (N + M) bytes meanwhile.

        Raises ValueError for NaN or another number of features.
        """
        fake = as_features(fake, "fake")
        if fake.shape[1] != self._real.shape[1]:
            raise ValueError(
                f"real has {self._real.shape[1]} features, fake has {fake.shape[1]}; "
                "expected as many"
            )
        among = cubic_kernel(fake, fake)
        np.fill_diagonal(among, 0.0)
        across = np.zeros((len(self._sizes), len(fake)))
        np.add.at(across, self._member, cubic_kernel(self._real, fake))
        return KernelSums(among, across.T, self._sizes)


def kid_difference(
    a: Sequence[KernelSums], b: Sequence[KernelSums], seed: int = 0, replicates: int = 1000
) -> Difference:
    """Mean kid of model A over its seeds minus that of B, with a hierarchical bootstrap interval.

    Args:
        a: one entry for each trained network of the model, all from one `Reference`.
        b: those of the other; as many or not.
        seed: of the resamples. They depend on it and on what is compared, not on the order, so
            exchanging A and B changes signs and nothing else.

    Each replicate draws lesions once for both models, then for each model by itself S - 1 of its S
    networks (the spread of S - 1 draws is that of a mean of S; Rao and Wu 1988, J. Am. Stat. Assoc.
    83, 231), and of each network drawn its fakes. The real images among themselves, equal for both
    models, cancel. The percentile interval is stretched about the value by the ratio of Student's
    to the normal quantile, as in Welch's test, for a few seeds know little of their own spread.
    Fakes vary the networks' values too and so count twice, which errs on the side of a wider
    interval. A model with one network has no spread to draw from; the note says so.

    Cost: O(replicates N (N + G)) for each network, about 0.2 s at N = G = 800 and 1000 replicates.
    """
    seeds = min(len(a), len(b))
    if not seeds:
        return Difference(None, None, 0, 0, "a model has no trained network")
    fakes = min(len(sums.among) for sums in (*a, *b))
    lesions, images = len(a[0].sizes), int(a[0].sizes.sum())
    if any(not np.array_equal(sums.sizes, a[0].sizes) for sums in (*a, *b)):
        raise ValueError("the networks were compared with different references, expected one")
    if fakes < 2 or not images:
        note = f"{images} real and {fakes} fake images; at least 1 and 2 are needed"
        return Difference(None, None, seeds, 0, note)
    values_a, values_b = _values(a), _values(b)
    value = float(values_a.mean() - values_b.mean())
    if min(lesions, fakes) < MIN_GROUPS:
        note = f"{lesions} lesions and {fakes} fakes; an interval needs {MIN_GROUPS} of each"
        return Difference(value, None, seeds, 0, note)
    weights = multinomial(lesions, replicates, [seed, 0])
    resamples = _resamples(a, weights, seed) - _resamples(b, weights, seed)
    low, high = np.nanpercentile(resamples, [100 * (1 - UPPER), 100 * UPPER])
    scale = student_scale(float(np.nanvar(resamples)), values_a, values_b)
    interval = (float(value + scale * (low - value)), float(value + scale * (high - value)))
    return Difference(value, interval, seeds, replicates, ONE_SEED if seeds == 1 else None)


def mean_over_seeds(values: Sequence[float]) -> SeedMean:
    """Mean with Student's 95 % interval of any number that was measured once for each seed.

    Assumes that seeds vary about normally. One seed has no interval, no or non-finite values have
    no mean; the note then says so.
    """
    numbers = np.asarray(values, dtype=float)
    seeds = len(numbers)
    if not seeds or not np.isfinite(numbers).all():
        return SeedMean(None, None, seeds, "no seed" if not seeds else "a seed has no finite value")
    mean = float(numbers.mean())
    if seeds == 1:
        return SeedMean(mean, None, 1, "one seed: its spread is unknown")
    half = float(t.ppf(UPPER, seeds - 1) * numbers.std(ddof=1) / seeds**0.5)
    return SeedMean(mean, (mean - half, mean + half), seeds)


def _values(model: Sequence[KernelSums]) -> Array:
    """kid of each network, without the term of the real images among themselves: (S,)."""
    return np.array(
        [
            sums.among.sum() / (len(sums.among) * (len(sums.among) - 1))
            - 2.0 * sums.across.sum() / (len(sums.among) * sums.sizes.sum())
            for sums in model
        ]
    )


def student_scale(variance: float, *models: Array) -> float:
    """Student's over the normal quantile, its degrees of freedom by Satterthwaite's formula.

    `variance` is that of the difference; the part of it that the models' own values (S,) show is
    known with S - 1 degrees of freedom, the rest (lesions) as good as exactly.
    """
    parts = [(x.var(ddof=1) / len(x), len(x) - 1) for x in models if len(x) > 1]
    uncertain = sum(part**2 / freedom for part, freedom in parts)
    if uncertain == 0.0:
        return 1.0
    variance = max(variance, sum(part for part, _ in parts))
    return float(t.ppf(UPPER, variance**2 / uncertain) / norm.ppf(UPPER))


def _resamples(model: Sequence[KernelSums], lesion_weights: Array, seed: int) -> Array:
    """Mean of `_values` in each replicate: (R,) for lesion weights (R, G)."""
    model = sorted(model, key=lambda sums: sums.digest)
    replicates, draws = len(lesion_weights), max(1, len(model) - 1)
    rng = np.random.default_rng([seed, 1, *(sums.digest for sums in model)])
    drawn = rng.integers(len(model), size=(replicates, draws))
    total = np.zeros(replicates)
    for index, sums in enumerate(model):
        rows = np.nonzero(drawn == index)[0]  # a network drawn twice has other fakes each time
        np.add.at(total, rows, _one(sums, lesion_weights[rows], [seed, 2, sums.digest]))
    return total / draws


def _one(sums: KernelSums, lesion_weights: Array, entropy: list[int]) -> Array:
    """kid but for its real term, of fakes drawn anew for each row of lesion weights (R, G): (R,).

    As in `kid_bootstrap` no image is paired with itself, so the resamples centre on the value.
    """
    n = len(sums.among)
    weights = multinomial(n, len(lesion_weights), entropy)
    pairs = n**2 - (weights**2).sum(axis=1)
    among = np.einsum("rn,rn->r", weights @ sums.among, weights)
    across = np.einsum("rg,rg->r", weights @ sums.across, lesion_weights)
    images = lesion_weights @ sums.sizes
    return np.divide(
        among, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0
    ) - 2.0 * across / (n * images)
