"""Tests over seeds are scipy's, find what they say they find, and words stay within them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hqgan.evaluation.resampling import Estimate
from hqgan.evaluation.trials import (
    EXACT_UP_TO,
    LEVEL,
    POWER,
    PairedTest,
    holm,
    hopeless,
    minimum_detectable_effect,
    paired_t,
    power,
    seeds_needed,
    sentence,
    sign_flip,
    smallest_p,
    too_few_seeds,
)

EXACT = 1e-9
TRIALS = 3000
SEEDS = 8
FAMILY = 3
SD = 0.02
# Three standard deviations of a share of TRIALS: 0.022 at a power of 0.8, 0.012 at level 0.05.
POWER_NOISE = 3 * math.sqrt(POWER * (1 - POWER) / TRIALS)
LEVEL_NOISE = 3 * math.sqrt(LEVEL * (1 - LEVEL) / TRIALS)
HOLM_GAIN = 0.03  # over a test at level / 3, where a null happens to be rejected first
FLIP_LOSS = 0.05  # the sign-flip test's p is a multiple of 2/256, so it uses less than the level

differences = st.lists(
    st.integers(-1000, 1000).map(lambda i: i / 1000), min_size=2, max_size=9
).filter(lambda d: np.ptp(d) > 0)


# ---- the t test ----


@given(differences)
def test_the_paired_t_test_is_scipys(d: list[float]) -> None:
    found, expected = paired_t(d), stats.ttest_rel(d, np.zeros(len(d)))
    assert found.statistic == pytest.approx(expected.statistic, rel=EXACT)
    assert found.p == pytest.approx(expected.pvalue, rel=EXACT)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-6)
    assert (found.mean, found.note) == (pytest.approx(np.mean(d), abs=EXACT), None)


def test_seeds_that_do_not_vary_prove_nothing() -> None:
    copies = paired_t([0.1 + 0.2, 0.3, 0.3])
    assert (copies.mean, copies.p, copies.interval) == (pytest.approx(0.3), None, None)
    assert "were they trained apart" in copies.note
    assert paired_t([0.0, 0.0]) == PairedTest(0.0, None, 0.0, 1.0, "no seed shows any difference")


def test_a_test_without_enough_numbers_is_none_with_a_note() -> None:
    assert paired_t([0.1]) == PairedTest(
        0.1, None, None, None, "one seed: how seeds vary is unknown"
    )
    assert paired_t([]).note == "no seed"
    assert paired_t([0.1, math.nan]).note == "a seed has no finite value"


# ---- the sign-flip test ----


@given(differences)
@settings(deadline=None)
def test_the_sign_flip_test_is_scipys(d: list[float]) -> None:
    expected = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip(d) == pytest.approx(expected.pvalue, abs=EXACT)


@given(differences)
def test_the_sign_flip_p_counts_patterns(d: list[float]) -> None:
    patterns = itertools.product([-1, 1], repeat=len(d))
    sums = np.abs([np.dot(signs, d) for signs in patterns])
    assert sign_flip(d) == np.mean(sums >= abs(sum(d)) - 1e-10)
    assert sign_flip(d) >= smallest_p(len(d))


def test_the_smallest_sign_flip_p_is_that_of_seeds_that_agree() -> None:
    for n in (1, 2, 8, EXACT_UP_TO):
        assert sign_flip([0.1] * n) == smallest_p(n) == 2 / 2**n


def test_no_difference_is_no_surprise() -> None:
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0
    assert sign_flip([0.1, -0.1]) == 1.0
    assert sign_flip([]) is None
    assert sign_flip([0.1, math.nan]) is None


def test_beyond_twenty_seeds_drawn_patterns_come_near_the_exact_p() -> None:
    many = np.random.default_rng(0).normal(0.4, 1.0, size=EXACT_UP_TO + 1)
    normal = 2 * stats.norm.sf(abs(many.sum()) / np.sqrt((many**2).sum()))
    assert sign_flip(many) == sign_flip(many, seed=0)
    assert sign_flip(many, seed=1) == pytest.approx(sign_flip(many), abs=0.005)
    assert sign_flip(many) == pytest.approx(normal, abs=0.01)


# ---- families ----


@given(st.lists(st.floats(0, 1), max_size=5))
def test_holm_rejects_what_the_step_down_rejects(p: list[float]) -> None:
    """Holm's own words: from the smallest, reject while p is at most level / (m - i + 1)."""
    adjusted = holm(p)
    assert all(raw <= value <= 1.0 for raw, value in zip(p, adjusted, strict=True))
    for level in (0.01, 0.05, 0.2, 0.9):
        rejected, going = [False] * len(p), True
        for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            going = going and (len(p) - rank) * p[index] <= level
            rejected[index] = going
        assert [value <= level for value in adjusted] == rejected


def test_holm_by_hand_and_with_a_test_that_was_not_made() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06], abs=EXACT)
    assert holm([0.04, None, 0.01]) == [pytest.approx(0.08), None, pytest.approx(0.03)]
    assert holm([]) == []


# ---- power ----


@pytest.mark.parametrize(("n", "family"), [(2, 1), (3, 3), (8, 3), (8, 1), (30, 2)])
def test_power_is_that_of_the_noncentral_t(n: int, family: int) -> None:
    bar = stats.t.isf(LEVEL / family / 2, n - 1)
    for effect in (0.3, 0.9):
        shift = effect * math.sqrt(n)
        expected = stats.nct.sf(bar, n - 1, shift) + stats.nct.cdf(-bar, n - 1, shift)
        assert power(effect * SD, SD, n, family) == pytest.approx(expected, abs=1e-7)


@given(st.integers(2, 60), st.integers(1, 5), st.floats(1e-4, 10))
def test_the_minimum_detectable_effect_has_its_power(n: int, family: int, sd: float) -> None:
    effect = minimum_detectable_effect(sd, n, family)
    assert power(effect, sd, n, family) == pytest.approx(POWER, abs=1e-6)
    assert minimum_detectable_effect(sd, n + 1, family) < effect
    assert minimum_detectable_effect(sd, n, family + 1) > effect


def test_power_where_it_is_degenerate() -> None:
    assert minimum_detectable_effect(SD, 1) == math.inf
    assert minimum_detectable_effect(0.0, 4) == 0.0
    assert power(1.0, SD, 1) == 0.0
    assert power(1.0, 0.0, 4) == 1.0
    assert power(0.0, SD, 4, family=2) == power(0.0, 0.0, 4, family=2) == LEVEL / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 8), "standard deviation is -1.0"),
        ((math.nan, 8), "standard deviation is nan"),
        ((1.0, 8, 0), "family has 0 comparisons"),
        ((1.0, 8, 1, 5.0), "level is 5.0"),
        ((1.0, 8, 1, 0.05, 80.0), "target is 80.0, expected between 0.05 and 1"),
    ],
)
def test_impossible_designs_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minimum_detectable_effect(*arguments)


def test_too_few_seeds_are_hopeless_and_told_how_many_are_needed() -> None:
    assert [hopeless(n, 3) for n in (0, 1, 6, 7)] == [True, True, True, False]
    assert (seeds_needed(1), seeds_needed(2), seeds_needed(3)) == (6, 7, 7)
    assert "At least 7 seeds are needed" in too_few_seeds(3, 3)
    assert "With 1 seed and 1 primary comparison nothing can" in too_few_seeds(1, 1)
    assert too_few_seeds(7, 3) is None
    flips = holm([sign_flip([1.0] * 6)] * 3)
    assert min(flips) > LEVEL >= min(holm([sign_flip([1.0] * 7)] * 3))


# ---- simulations ----


def simulated(effects: list[float], seed: int) -> np.ndarray:
    """Differences of independent comparisons: (TRIALS, comparisons, SEEDS)."""
    noise = np.random.default_rng(seed).standard_normal((TRIALS, len(effects), SEEDS))
    return np.array(effects)[:, None] + SD * noise


def found_by_t(d: np.ndarray) -> np.ndarray:
    """Which comparisons are significant after Holm's correction: (TRIALS, comparisons)."""
    return np.array([[p <= LEVEL for p in holm([paired_t(x).p for x in trial])] for trial in d])


def test_an_injected_effect_is_found_at_the_stated_power() -> None:
    effect = minimum_detectable_effect(SD, SEEDS, FAMILY)
    found = found_by_t(simulated([effect, 0.0, 0.0], seed=1))[:, 0].mean()
    assert POWER - POWER_NOISE <= found <= POWER + POWER_NOISE + HOLM_GAIN


def test_a_null_is_found_at_no_more_than_the_stated_level() -> None:
    """In the whole family: any of three comparisons without an effect."""
    found = found_by_t(simulated([0.0] * FAMILY, seed=2)).any(axis=1).mean()
    assert LEVEL / 2 <= found <= LEVEL + LEVEL_NOISE


def test_the_sign_flip_test_loses_little_power() -> None:
    effect = minimum_detectable_effect(SD, SEEDS)
    found = np.mean([sign_flip(d) <= LEVEL for d in simulated([effect], seed=3)[:, 0]])
    assert POWER - FLIP_LOSS - POWER_NOISE <= found <= POWER + POWER_NOISE


@pytest.mark.parametrize("heavy", [False, True])
def test_the_sign_flip_test_holds_its_level_without_a_normal_distribution(heavy: bool) -> None:
    d = simulated([0.0], seed=4)[:, 0]
    if heavy:
        d = d**5
    found = np.mean([sign_flip(x) <= LEVEL for x in d])
    assert LEVEL / 2 <= found <= LEVEL + LEVEL_NOISE


# ---- words ----


def estimate(value: float, below: float, above: float, seeds: int = 8) -> Estimate:
    return Estimate(value, (value - below, value + above), (value,) * seeds, 900, 1000)


def test_the_sentence_of_no_effect_says_what_could_have_been_missed() -> None:
    assert sentence(
        "standard+hybridq",
        "standard",
        "balanced_accuracy",
        estimate(0.012, 0.016, 0.016),
        family=3,
        p=0.14,
        sign_flip_p=0.19,
        detectable=0.023,
    ) == (
        "standard+hybridq changes balanced accuracy on test by +1.2 points (95 % interval -0.4 "
        "to +2.8, 8 seeds, Holm-adjusted p = 0.14, by exact sign flips p = 0.19) against standard: "
        "no effect is shown; effects below 2.3 points could have been missed."
    )


def test_errors_are_better_when_they_fall_and_have_no_points() -> None:
    words = sentence("a", "b", "ece", estimate(-0.02, 0.01, 0.01), family=1, p=0.0004)
    assert "changes calibration error on test by -0.020 (95 % interval -0.030 to -0.010" in words
    assert "p < 0.001" in words
    assert words.endswith("against b: it is better.")
    assert "worse" in sentence("a", "b", "brier", estimate(0.2, 0.1, 0.1), family=1, p=0.01)


@given(
    st.floats(-0.5, 0.5),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.one_of(st.none(), st.floats(0, 0.1)),
    st.integers(1, 3),
    st.integers(5, 9),
)
def test_better_and_worse_need_the_test_and_the_interval_and_enough_seeds(
    value: float, below: float, above: float, p: float | None, family: int, seeds: int
) -> None:
    words = sentence("A", "B", "f1", estimate(value, below, above, seeds), family, p)
    up, down = value - below > 0, value + above < 0
    may = p is not None and p <= LEVEL and not hopeless(seeds, family)
    assert ("better" in words) == (may and up)
    assert ("worse" in words) == (may and down)


def test_what_was_not_tested_is_said() -> None:
    clear = estimate(0.2, 0.1, 0.1)
    assert "exploratory, no test was planned" in sentence("a", "b", "f1", clear)
    assert "no test could be made" in sentence("a", "b", "f1", clear, family=1)
    assert "the interval does not" in sentence(
        "a", "b", "f1", estimate(0.1, 0.2, 0.2), family=1, p=0.01
    )
    few = sentence("a", "b", "f1", estimate(0.2, 0.1, 0.1, seeds=3), family=3, p=0.001)
    assert "with 3 seeds nothing could have been shown, at least 7 are needed" in few
    with pytest.raises(ValueError, match="an exploratory comparison has no p value"):
        sentence("a", "b", "f1", clear, p=0.01)


def test_what_is_undefined_or_left_out_is_said() -> None:
    nothing = Estimate(None, None, (), 0, 0, "no classifier was trained")
    assert sentence("a", "b", "auroc", nothing) == (
        "a and b cannot be compared by AUROC: no classifier was trained."
    )
    short = Estimate(0.1, None, (0.1,) * 8, 4, 0, "4 lesions; an interval needs 5")
    words = sentence("a", "b", "accuracy", short, family=1, p=0.01)
    assert "4 lesions; an interval needs 5" in words
    assert "better" not in words
