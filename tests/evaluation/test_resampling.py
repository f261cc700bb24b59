"""Weighted measures are scikit-learn's; intervals hold what varies, and say what they leave out."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sklearn

from hqgan.evaluation.classification import MEASURES, Predictions, scores
from hqgan.evaluation.metrics import MIN_GROUPS
from hqgan.evaluation.resampling import (
    ONE_SEED,
    Estimate,
    difference_interval,
    mean_interval,
    weighted,
)
from hqgan.evaluation.trials import POWER, detectable_effect, paired_t

EXACT = 1e-12
POWER_EXPERIMENTS = 120
POWER_BOUND = 0.12  # three standard deviations of a share of 0.8 in as many experiments
EXPERIMENTS = 250
COVERED = 0.9  # what we vouch for at 8 seeds, of a nominal 95 %
WIDTH = 0.4  # Student's factor is up to 1.2; to count disagreeing seeds thrice would be 1.7
LESION_SD = 0.8  # ease of lesions, shared by all classifiers, in units of chance
SECONDS = 4.0  # about 1 for the slowest measure on one free core


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def arm(
    seeds: int, first: int = 0, shift: float = 1.0, n: int = 90, classes: int = 3
) -> list[Predictions]:
    """Classifiers of one arm: like errors, the true class favoured; two images of each lesion."""
    labels = np.arange(n) // 2 % classes
    return [
        Predictions(
            softmax(
                np.random.default_rng(first + i).standard_normal((n, classes))
                + shift * np.eye(classes)[labels]
            ),
            labels,
            [f"lesion {j // 2}" for j in range(n)],
        )
        for i in range(seeds)
    ]


# ---- weighted measures ----


@st.composite
def cases(draw: st.DrawFn) -> tuple[Predictions, np.ndarray]:
    """Predictions with ties and absent classes, and rows of weights with zeros, some all zero."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, classes = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    steps = draw(st.sampled_from([2, 5, 1000]))  # few steps: many ties
    counts = rng.multinomial(steps, np.full(classes, 1 / classes), size=n)
    labels = rng.integers(draw(st.integers(1, classes)), size=n)
    weights = rng.integers(draw(st.integers(1, 4)), size=(4, n))
    return Predictions(counts / steps, labels, ["x"] * n), weights


def by_scikit_learn(case: Predictions, measure: str, weights: np.ndarray) -> float:
    used = weights > 0
    present = np.unique(case.labels[used])
    labels, predicted = case.labels, case.probabilities.argmax(axis=1)
    macro = {
        "labels": present,
        "average": "macro",
        "zero_division": 0,
        "sample_weight": weights,
    }
    match measure:
        case "accuracy":
            return sklearn.accuracy_score(labels, predicted, sample_weight=weights)
        case "precision":
            return sklearn.precision_score(labels, predicted, **macro)
        case "recall" | "balanced_accuracy":
            return sklearn.recall_score(labels, predicted, **macro)
        case "f1":
            return sklearn.f1_score(labels, predicted, **macro)
        case "brier":
            return sklearn.brier_score_loss(
                labels,
                case.probabilities,
                labels=range(case.classes),
                sample_weight=weights,
                scale_by_half=False,
            )
        case "auroc" if len(present) > 1:
            areas = [
                sklearn.roc_auc_score(labels == k, case.probabilities[:, k], sample_weight=weights)
                for k in present
            ]
            return float(np.mean(areas))
    return float("nan")


@given(cases(), st.sampled_from([m for m in MEASURES if m != "ece"]))
@settings(max_examples=150, deadline=None)
def test_weighted_measures_are_scikit_learns(
    case: tuple[Predictions, np.ndarray], measure: str
) -> None:
    predictions, weights = case
    found = weighted(predictions, measure, weights)
    for row, value in zip(weights, found, strict=True):
        expected = by_scikit_learn(predictions, measure, row) if row.any() else np.nan
        assert value == pytest.approx(expected, abs=EXACT, nan_ok=True)


@given(cases(), st.sampled_from(MEASURES))
@settings(max_examples=80, deadline=None)
def test_an_image_of_weight_two_is_two_images(
    case: tuple[Predictions, np.ndarray], measure: str
) -> None:
    predictions, weights = case
    found = weighted(predictions, measure, weights)
    for row, value in zip(weights, found, strict=True):
        copies = np.repeat(np.arange(len(row)), row)
        repeated = Predictions(
            predictions.probabilities[copies], predictions.labels[copies], ["x"] * len(copies)
        )
        expected = scores(repeated).overall[measure]
        assert value == pytest.approx(expected, abs=EXACT, nan_ok=True)


def test_what_cannot_be_weighted_is_named() -> None:
    one = arm(1)[0]
    with pytest.raises(ValueError, match="no measure 'acc', expected one of accuracy"):
        weighted(one, "acc", np.ones((1, 90)))
    with pytest.raises(ValueError, match=r"shape \(90,\), expected \(replicates, 90\)"):
        weighted(one, "f1", np.ones(90))


def test_a_thousand_replicates_of_a_study_take_seconds() -> None:
    study = arm(8, n=1700, classes=7)
    start = time.process_time()
    mean_interval(study, "auroc")
    assert time.process_time() - start < SECONDS


# ---- estimates ----


@pytest.mark.parametrize("measure", MEASURES)
def test_values_are_means_over_seeds_of_the_scores(measure: str) -> None:
    a, b = arm(3), arm(3, first=50, shift=0.5)
    ours = [scores(x).overall[measure] for x in a]
    others = [scores(x).overall[measure] for x in b]
    mean, difference = mean_interval(a, measure), difference_interval(a, b, measure)
    assert mean.value == pytest.approx(np.mean(ours), abs=EXACT)
    assert difference.value == pytest.approx(np.mean(ours) - np.mean(others), abs=EXACT)
    assert difference.by_seed == pytest.approx(np.subtract(ours, others), abs=EXACT)
    for found in (mean, difference):
        assert found.interval[0] < found.value < found.interval[1]
        assert (found.seeds, found.lesions, found.replicates) == (3, 45, 1000)
        assert found.note is None


def test_exchanging_the_arms_changes_signs_and_nothing_else() -> None:
    a, b = arm(3), arm(3, first=50)
    there, back = difference_interval(a, b, "f1"), difference_interval(b, a, "f1")
    assert there.value == -back.value
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=EXACT)


def test_an_arm_does_not_differ_from_itself() -> None:
    found = difference_interval(arm(3), arm(3), "auroc")
    assert (found.value, found.interval) == (0.0, (0.0, 0.0))


def test_the_seed_gives_the_same_interval_again_and_another_seed_another() -> None:
    one, same, other = (difference_interval(arm(3), arm(3, 50), "f1", seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.value == other.value
    assert one.interval != other.interval


def test_images_of_one_lesion_are_not_independent() -> None:
    """Every image four times over: under one lesion the interval stays, as many lesions it halves.

    Known only where all seeds agree, so that nothing else is drawn.
    """
    once = arm(1, n=200)[0]
    copies = np.tile(np.arange(200), 4)
    lesions = [f"{i}" for i in range(200)]
    alone, together, apart = (
        np.ptp(mean_interval([Predictions(p, y, g)], "accuracy").interval)
        for p, y, g in (
            (once.probabilities, once.labels, lesions),
            (once.probabilities[copies], once.labels[copies], np.array(lesions)[copies]),
            (once.probabilities[copies], once.labels[copies], [f"{i}" for i in range(800)]),
        )
    )
    assert together == pytest.approx(alone, rel=EXACT)
    assert apart == pytest.approx(alone / 2, rel=0.15)


def test_one_seed_has_an_interval_over_lesions_and_says_so() -> None:
    found = difference_interval(arm(1), arm(1, 50), "accuracy")
    assert found.interval is not None
    assert found.note == ONE_SEED


def test_a_mean_stays_in_its_range() -> None:
    """Two seeds, one perfect: Student's factor of two seeds reaches far beyond 1."""
    found = mean_interval([*arm(1, shift=20.0), *arm(1, shift=1.0)], "accuracy")
    assert found.interval[1] == 1.0
    assert 0.0 <= found.interval[0] < found.value


def test_the_subset_of_one_skin_type_is_compared_by_its_own_lesions() -> None:
    mask = np.arange(90) < 40
    a, b = ([x.subset(mask) for x in models] for models in (arm(2), arm(2, 50)))
    found = difference_interval(a, b, "accuracy")
    hits = [
        np.mean((x.probabilities.argmax(axis=1) == x.labels)[:40]) for x in (*arm(2), *arm(2, 50))
    ]
    assert found.value == pytest.approx((sum(hits[:2]) - sum(hits[2:])) / 2, abs=EXACT)
    assert found.lesions == 20


def test_what_cannot_be_computed_is_none_with_a_note() -> None:
    assert mean_interval([], "f1") == Estimate(None, None, (), 0, 0, "no classifier was trained")
    everything = arm(2)
    few = [x.subset(np.arange(90) < 2 * (MIN_GROUPS - 1)) for x in everything]
    found = mean_interval(few, "accuracy")
    assert found.value is not None
    assert (found.interval, found.replicates) == (None, 0)
    assert found.note == f"{MIN_GROUPS - 1} lesions; an interval needs {MIN_GROUPS}"
    one_class = mean_interval([x.subset(x.labels == 0) for x in everything], "auroc")
    assert (one_class.value, one_class.note) == (None, "all images are of one class")
    nothing = mean_interval([x.subset(x.labels > 5) for x in everything], "accuracy")
    assert (nothing.value, nothing.note) == (None, "there is no image")


def test_a_class_of_few_lesions_is_named() -> None:
    scarce = [x.subset((x.labels != 2) | (np.arange(90) < 12)) for x in arm(2)]
    assert mean_interval(scarce, "f1").note == (
        "fewer than 5 lesions of class 2 (2): the interval may be too narrow"
    )
    assert mean_interval(scarce, "accuracy").note is None


def test_arms_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2 seeds"):
        difference_interval(arm(3), arm(2), "f1")
    with pytest.raises(ValueError, match="different images"):
        difference_interval(arm(2), arm(2, n=88), "f1")
    with pytest.raises(ValueError, match="replicates is 0"):
        mean_interval(arm(2), "f1", replicates=0)


# ---- coverage ----


def simulated_arm(
    rng: np.random.Generator, ease: np.ndarray, member: np.ndarray, seeds: np.ndarray
) -> list[Predictions]:
    """Classifiers whose chance to be right is a probit of the lesion's ease, seed and chance."""
    labels = member % 3
    found = []
    for shift in seeds:
        right = rng.standard_normal(len(labels)) < shift + ease[member]
        predicted = np.where(right, labels, (labels + 1) % 3)
        found.append(Predictions(np.eye(3)[predicted], labels, member.astype(str)))
    return found


def simulated_pair(
    i: int, ease: tuple[float, float], seed_sd: float, arm_sd: float
) -> list[list[Predictions]]:
    """Two arms of 8 seeds on 120 lesions of one to three images, new in every experiment i."""
    rng = np.random.default_rng(i)
    member = np.repeat(np.arange(120), rng.integers(1, 4, size=120))
    shared = LESION_SD * rng.standard_normal(120)
    return [
        simulated_arm(
            rng,
            each + shared + arm_sd * rng.standard_normal(120),
            member,
            seed_sd * rng.standard_normal(8),
        )
        for each in ease
    ]


@pytest.mark.parametrize(
    ("measure", "seed_sd", "arm_sd"),
    [
        ("accuracy", 0.0, 0.0),  # seeds differ by chance alone
        ("accuracy", 0.5, 0.0),  # seeds are most of the noise
        ("accuracy", 0.1, 0.8),  # lesions are: arms are right on different ones
        ("balanced_accuracy", 0.15, 0.3),
    ],
)
def test_the_interval_of_eight_seeds_holds_the_true_difference_and_is_no_wider_than_it_must(
    measure: str, seed_sd: float, arm_sd: float
) -> None:
    """The truth is that of all lesions there could be."""
    total = np.sqrt(1 + seed_sd**2 + LESION_SD**2 + arm_sd**2)
    truth = norm.cdf(0.8 / total) - norm.cdf(0.5 / total)
    held, values, widths = 0, [], []
    for i in range(EXPERIMENTS):
        arms = simulated_pair(i, (0.8, 0.5), seed_sd, arm_sd)
        found = difference_interval(*arms, measure, seed=i, replicates=200)
        low, high = found.interval
        held += low <= truth <= high
        values.append(found.value)
        widths.append(high - low)
    assert held >= COVERED * EXPERIMENTS
    needed = 2 * norm.ppf(0.975) * np.std(values)
    assert np.mean(widths) == pytest.approx(needed, rel=WIDTH)


@pytest.mark.parametrize(
    ("gap", "arm_sd"),
    [(0.3, 0.0), (0.5, 0.8)],
    ids=["arms right on the same lesions", "on different ones"],
)
def test_an_effect_of_the_detectable_size_is_shown_at_the_stated_power(
    gap: float, arm_sd: float
) -> None:
    """Test and interval must both find it: the gap is such that the effect is of that size."""
    shown = 0
    effects, detectable = [], []
    for i in range(POWER_EXPERIMENTS):
        arms = simulated_pair(i, (0.5 + gap, 0.5), 0.15, arm_sd)
        found = difference_interval(*arms, "accuracy", seed=i, replicates=200)
        effects.append(found.value)
        detectable.append(detectable_effect(found, 1))
        shown += paired_t(found.by_seed).p <= 0.05 and found.interval[0] > 0
    assert np.mean(effects) == pytest.approx(np.mean(detectable), rel=0.05)
    assert shown / POWER_EXPERIMENTS == pytest.approx(POWER, abs=POWER_BOUND)


def test_the_interval_guards_the_t_test_where_like_arms_are_right_on_different_lesions() -> None:
    """Arms alike over all lesions: seeds agree on a difference that is these lesions' alone."""
    by_t = by_both = 0
    for i in range(EXPERIMENTS):
        found = difference_interval(
            *simulated_pair(i, (0.5, 0.5), 0.15, 0.8), "accuracy", seed=i, replicates=200
        )
        low, high = found.interval
        significant = paired_t(found.by_seed).p <= 0.05
        by_t += significant
        by_both += significant and (low > 0 or high < 0)
    assert by_t > 0.1 * EXPERIMENTS
    assert by_both <= (1 - COVERED) * EXPERIMENTS
