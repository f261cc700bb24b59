"""Paired tests over seeds: what a study can find, what it has found, and the sentence that says it.

Seed i trains one classifier in each arm, so d[i], the difference of a measure between two arms, is
one observation, and d of shape (n,) is all a test sees. The primary test is the paired t, Holm's
correction over the primary family; the sign-flip test beside it needs no normal distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import ncf, t

from hqgan.evaluation.classification import LOWER_IS_BETTER
from hqgan.evaluation.metrics import Array, Interval
from hqgan.evaluation.resampling import Estimate
from hqgan.evaluation.statistics import UPPER

LEVEL = 0.05  # of the whole primary family
POWER = 0.8
EXACT_UP_TO = 20  # seeds; half a million sign patterns
DRAWS = 100_000  # of sign patterns beyond that
ROUNDING = 1e-9  # relative spread below which differences are equal
TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "auroc": "AUROC",
    "ece": "calibration error",
    "brier": "Brier score",
}
IN_POINTS = frozenset({"accuracy", "balanced_accuracy", "precision", "recall", "f1"})


@dataclass(frozen=True)
class PairedTest:
    """Student's t test that paired differences have mean 0.

    It sees seeds and no lesions, so it speaks of the images tested: where arms are right on
    different lesions, another split would differ by more. `sentence` asks both it and the
    hierarchical interval.

    Attributes:
        mean: None without finite differences.
        interval: Student's 95 % interval of the mean, None where seeds do not vary.
        statistic: t with n - 1 degrees of freedom.
        p: two-sided, not adjusted; None where the test is undefined.
        note: why something is undefined.
    """

    mean: float | None
    interval: Interval | None
    statistic: float | None
    p: float | None
    note: str | None = None


def paired_t(d: Sequence[float] | Array) -> PairedTest:
    """Of differences d (n,), one for each seed.

    Differences that are all 0 have p = 1. Equal differences other than 0 have no p rather than
    the formula's 0: seeds that do not vary are copies of one training.
    """
    d = np.asarray(d, dtype=float)
    if not len(d) or not np.isfinite(d).all():
        return PairedTest(None, None, None, None, _no_numbers(d))
    mean = float(d.mean())
    if len(d) == 1:
        return PairedTest(mean, None, None, None, "one seed: how seeds vary is unknown")
    if not d.any():
        return PairedTest(0.0, None, 0.0, 1.0, "no seed shows any difference")
    if np.ptp(d) <= ROUNDING * np.abs(d).max():
        note = "all seeds show the same difference; were they trained apart?"
        return PairedTest(mean, None, None, None, note)
    error = float(d.std(ddof=1) / math.sqrt(len(d)))
    half = float(t.ppf(UPPER, len(d) - 1)) * error
    statistic = mean / error
    p = float(2.0 * t.sf(abs(statistic), len(d) - 1))
    return PairedTest(mean, (mean - half, mean + half), statistic, p)


def sign_flip(d: Sequence[float] | Array, seed: int = 0) -> float | None:
    """Two-sided p of the sign-flip test of differences d (n,); None unless all are finite.

    The share of the 2^n patterns of signs under which the mean is at least as far from 0, hence
    never below 2 / 2^n. Exact if the arms may be exchanged within a seed, whatever the
    distribution. Beyond `EXACT_UP_TO` seeds `DRAWS` patterns are drawn at random from the seed.
    """
    d = np.asarray(d, dtype=float)
    if not len(d) or not np.isfinite(d).all():
        return None
    bar = abs(d.sum()) - 1e-12 * np.abs(d).sum()  # sums in another order are the same sum
    if len(d) > EXACT_UP_TO:
        signs = np.random.default_rng(seed).integers(2, size=(DRAWS, len(d))) * 2.0 - 1.0
        return float((1 + (np.abs(signs @ d) >= bar).sum()) / (1 + DRAWS))
    sums = d[:1]  # the first sign stays: with all flipped the distance is the same
    for difference in d[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    return float((np.abs(sums) >= bar).mean())


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Adjusted p values, in the order given, which hold the level of the whole family.

    The i-th smallest of m is multiplied by m - i + 1, never falls below a smaller one's, and is at
    most 1. A test that could not be made (None) stays None and counts in m.
    Source: Holm 1979, Scand. J. Stat. 6, 65.
    """
    made = sorted((value, index) for index, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    floor = 0.0
    for rank, (value, index) in enumerate(made):
        floor = max(floor, min(1.0, (len(p) - rank) * value))
        adjusted[index] = floor
    return adjusted


def power(effect: float, sd: float, n: int, family: int = 1, level: float = LEVEL) -> float:
    """Chance that a two-sided paired t test of n seeds at level / family finds a true effect.

    Args:
        effect: mean difference, in units of the measure.
        sd: standard deviation of the differences over seeds, in the same units.
        family: comparisons. At level / family even Holm's first, hardest step is passed.

    0 below two seeds. The square of a noncentral t is a noncentral F, whose tail is both tails.
    """
    _check(sd, family, level)
    if n < 2:
        return 0.0
    if effect == 0.0:
        return level / family
    if sd == 0.0:
        return 1.0
    bar = t.isf(level / family / 2.0, n - 1) ** 2
    return float(ncf.sf(bar, 1, n - 1, n * (effect / sd) ** 2))


def minimum_detectable_effect(
    sd: float, n: int, family: int = 1, level: float = LEVEL, target: float = POWER
) -> float:
    """The true effect that `power` finds with the chance `target`, in units of the measure.

    Infinite below two seeds. Uses sd as if it were known; an estimate from few seeds is rough. It
    is the t test's alone: `detectable_effect` is that of the test and the interval.
    """
    _check(sd, family, level)
    if not level / family < target < 1.0:
        raise ValueError(f"target is {target}, expected between {level / family:.3g} and 1")
    if n < 2:
        return math.inf
    high = 1.0  # in standard deviations
    while power(high, 1.0, n, family, level) < target:
        high *= 2.0
    return sd * float(brentq(lambda e: power(e, 1.0, n, family, level) - target, 0.0, high))


def detectable_effect(found: Estimate, family: int) -> float | None:
    """The `minimum_detectable_effect` of a difference, for the test and the interval together.

    By the spread over seeds, or by the standard error over seeds and lesions where that is larger,
    as it is where the arms are right on different lesions. None where seeds show no spread.
    """
    if found.seeds < 2 or not np.isfinite(found.by_seed).all():
        return None
    spread = max(float(np.std(found.by_seed, ddof=1)), (found.error or 0.0) * found.seeds**0.5)
    return minimum_detectable_effect(spread, found.seeds, family) if spread else None


def smallest_p(n: int) -> float:
    """Of the sign-flip test with n seeds: both extremes of 2^n patterns."""
    return min(1.0, 2.0 ** (1 - n))


def seeds_needed(family: int, level: float = LEVEL) -> int:
    """Fewest seeds with which the sign-flip test can be significant in a family."""
    _check(0.0, family, level)
    n = 1
    while hopeless(n, family, level):
        n += 1
    return n


def hopeless(n: int, family: int, level: float = LEVEL) -> bool:
    """Whether the sign-flip test of n seeds can never be significant after Holm's correction."""
    return family * smallest_p(n) > level


def too_few_seeds(n: int, family: int, level: float = LEVEL) -> str | None:
    """What to tell the user before a study with n seeds starts, None where there is hope."""
    if not hopeless(n, family, level):
        return None
    least = min(1.0, family * smallest_p(n))
    return (
        f"With {_seeds(n)} and {family} primary comparison{'s' * (family != 1)} nothing can become "
        f"significant: the smallest p value that the exact sign-flip test can give is {least:.2g} "
        f"after Holm's correction, above {level:g}. "
        f"At least {seeds_needed(family, level)} seeds are needed."
    )


def sentence(
    arm: str,
    base: str,
    measure: str,
    found: Estimate,
    family: int = 0,
    p: float | None = None,
    sign_flip_p: float | None = None,
    detectable: float | None = None,
    level: float = LEVEL,
    split: str = "test",
) -> str:
    """What may be said of the difference arm - base in a measure.

    Args:
        found: `resampling.difference_interval` of arm and base.
        family: comparisons in the primary family this one belongs to; 0: exploratory.
        p: of `paired_t`, adjusted by `holm`; None where the test could not be made.
        sign_flip_p: of `sign_flip`, adjusted likewise.
        detectable: minimum detectable effect, in units of the measure.
        split: that the classifiers were tested on.

    Better and worse are said only of a primary comparison on test whose p is at most the level,
    whose interval excludes 0, and whose seeds are not `hopeless`ly few.
    """
    title = TITLES.get(measure, measure)
    if found.value is None:
        return f"{arm} and {base} cannot be compared by {title}: {found.note}."
    if not family and p is not None:
        raise ValueError("an exploratory comparison has no p value; name the size of its family")
    numbers = [_seeds(found.seeds)]
    if found.interval is not None:
        low, high = found.interval
        numbers.insert(0, f"95 % interval {_number(low, measure)} to {_number(high, measure)}")
    if family and p is not None:
        numbers.append(f"Holm-adjusted p {_p(p)}")
        if sign_flip_p is not None:
            numbers.append(f"by exact sign flips p {_p(sign_flip_p)}")
    if found.note:
        numbers.append(found.note)
    return (
        f"{arm} changes {title} on {split} by {_number(found.value, measure)}{_unit(measure)} "
        f"({', '.join(numbers)}) against {base}: "
        f"{_verdict(measure, found, family, p, detectable, level, split)}."
    )


def _verdict(
    measure: str,
    found: Estimate,
    family: int,
    p: float | None,
    detectable: float | None,
    level: float,
    split: str,
) -> str:
    if not family:
        return "exploratory, no test was planned and nothing is claimed"
    if hopeless(found.seeds, family, level):
        return (
            f"with {_seeds(found.seeds)} nothing could have been shown, "
            f"at least {seeds_needed(family, level)} are needed"
        )
    if p is None:
        return "no test could be made and nothing is claimed"
    low, high = found.interval or (0.0, 0.0)
    if p <= level and (low > 0.0 or high < 0.0):
        if split != "test":
            return f"more than noise, but choices were made on {split}, so nothing is claimed"
        return "it is better" if (low > 0.0) != (measure in LOWER_IS_BETTER) else "it is worse"
    missed = "; how large an effect could have been missed is unknown"
    if detectable is not None and math.isfinite(detectable):
        size = _number(detectable, measure).lstrip("+")
        missed = f"; effects below {size}{_unit(measure)} could have been missed"
    if p <= level:
        return f"the test finds an effect that the interval does not, so none is shown{missed}"
    return f"no effect is shown{missed}"


def _number(value: float, measure: str) -> str:
    return f"{100.0 * value:+.1f}" if measure in IN_POINTS else f"{value:+.3f}"


def _unit(measure: str) -> str:
    return " points" if measure in IN_POINTS else ""


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"


def _no_numbers(d: Array) -> str:
    return "a seed has no finite value" if len(d) else "no seed"


def _check(sd: float, family: int, level: float) -> None:
    if not (math.isfinite(sd) and sd >= 0.0):
        raise ValueError(f"the standard deviation is {sd}, expected a number from 0 up")
    if family < 1:
        raise ValueError(f"the family has {family} comparisons, expected at least 1")
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level is {level}, expected between 0 and 1")
