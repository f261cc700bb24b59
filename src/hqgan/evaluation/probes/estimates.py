"""A number with what is needed to trust it, and the bootstrap that most of these intervals are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hqgan.evaluation.metrics import CONFIDENCE, MIN_GROUPS, Interval

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval, and from how many independent units (images, draws) it comes.

    `interval` is None where none is defined; `reason` then says why, also of a missing value.
    """

    value: float | None
    interval: Interval | None
    n: int
    reason: str | None = None

    def __str__(self) -> str:
        if self.value is None:
            return f"not defined ({self.reason})"
        if self.interval is None:
            return f"{self.value:.4g}"
        return "{:.4g} [{:.4g}, {:.4g}]".format(self.value, *self.interval)

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, and zero lies outside of it."""
        return self.interval is not None and not self.interval[0] <= 0.0 <= self.interval[1]


def percentile_interval(resamples: Array) -> Interval:
    """The central 95 % of bootstrap resamples (R,), undefined (NaN) ones left out."""
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.nanpercentile(resamples, [tail, 100.0 - tail])
    return float(low), float(high)


def bootstrap(
    rows: Array,
    statistic: Callable[[Array], Array],
    rng: np.random.Generator,
    repeats: int,
) -> Estimate:
    """A function of the means of independent rows (n, m), with a percentile interval.

    `statistic` maps means (R, m) to values (R,); rows are drawn with replacement, whole, so that
    what is measured on one row stays together. No interval below `MIN_GROUPS` rows.
    """
    n = len(rows)
    value = float(statistic(rows.mean(0, keepdims=True))[0])
    if n < MIN_GROUPS:
        return Estimate(value, None, n, f"{n} draws; an interval needs {MIN_GROUPS}")
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=repeats) / n
    return Estimate(value, percentile_interval(statistic(weights @ rows)), n)
