"""Differences are those of kid, their intervals hold the truth, and words stay within them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hqgan.evaluation.metrics import MIN_GROUPS, kid, kid_interval
from hqgan.evaluation.statistics import (
    Difference,
    KernelSums,
    Reference,
    kid_difference,
    mean_over_seeds,
)

EXACT = 1e-9  # the same sums in another order
DIM = 3
EXPERIMENTS = 200
COVERED = 0.92  # 95 % of these experiments would be 190 +- 3; the bootstrap is a little rough


def normal(count: int, seed: int, mean: float = 0.0) -> np.ndarray:
    return mean + np.random.default_rng(seed).standard_normal((count, DIM))


def networks(
    reference: Reference,
    seeds: int,
    first: int,
    mean: float = 0.4,
    spread: float = 0.0,
    n: int = 40,
) -> list[KernelSums]:
    """Fakes of one model: networks whose mean varies by `spread` with the seed of training."""
    shift = np.random.default_rng(10_000 + first).standard_normal(seeds)
    return [reference.sums(normal(n, first + i, mean + spread * shift[i])) for i in range(seeds)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(normal(60, seed=0), np.arange(60) // 2)


# ---- exactness ----


def test_the_value_is_the_difference_of_the_mean_kids(reference: Reference) -> None:
    real = normal(60, seed=0)
    a, b = [normal(30, 1), normal(45, 2)], [normal(30, s, mean=0.5) for s in (3, 4, 5)]
    found = kid_difference([reference.sums(x) for x in a], [reference.sums(x) for x in b])
    expected = np.mean([kid(real, x) for x in a]) - np.mean([kid(real, x) for x in b])
    assert found.value == pytest.approx(expected, abs=EXACT)
    assert (found.seeds, found.replicates, found.note) == (2, 1000, None)


def test_single_precision_features_are_compared_in_double() -> None:
    real, fake = normal(20, 0).astype(np.float32), normal(20, 1).astype(np.float32)
    low = Reference(real, range(20)).sums(fake)
    high = Reference(real.astype(float), range(20)).sums(fake.astype(float))
    assert np.array_equal(low.across, high.across)


def test_a_sum_over_lesions_is_that_of_their_images() -> None:
    lesions = ["b", "a", "b", "c", "a", "b"]
    real, fake = normal(6, 0), normal(4, 1)
    sums = Reference(real, lesions).sums(fake)
    kernel = (fake @ real.T / DIM + 1) ** 3
    assert sums.sizes.tolist() == [2, 3, 1]
    assert sums.across[:, 1] == pytest.approx(kernel[:, [0, 2, 5]].sum(axis=1), abs=EXACT)
    assert np.diag(sums.among).tolist() == [0.0] * 4


# ---- symmetry ----


def test_exchanging_the_models_changes_signs_and_nothing_else(reference: Reference) -> None:
    a, b = networks(reference, 3, 10), networks(reference, 2, 20, mean=0.6)
    there, back = kid_difference(a, b), kid_difference(b, a)
    assert there.value == -back.value
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=EXACT)


def test_the_order_of_seeds_does_not_matter(reference: Reference) -> None:
    a, b = networks(reference, 3, 10), networks(reference, 3, 20)
    one, other = kid_difference(a, b), kid_difference(a[::-1], [b[1], b[2], b[0]])
    assert one.value == pytest.approx(other.value, abs=EXACT)
    assert one.interval == pytest.approx(other.interval, abs=EXACT)


def test_a_model_does_not_differ_from_itself(reference: Reference) -> None:
    a = networks(reference, 2, 10)
    found = kid_difference(a, list(a))
    assert (found.value, found.interval) == (0.0, (0.0, 0.0))
    assert found.sentence("a", "b").startswith("No difference")


def test_the_seed_of_the_resamples_moves_the_interval_a_little_and_not_the_value(
    reference: Reference,
) -> None:
    a, b = networks(reference, 2, 10), networks(reference, 2, 20)
    one, same, other = (kid_difference(a, b, seed) for seed in (0, 0, 1))
    assert one == same
    assert one.value == other.value
    assert one.interval != other.interval
    width = one.interval[1] - one.interval[0]
    assert one.interval == pytest.approx(other.interval, abs=0.3 * width)


# ---- intervals ----


@pytest.mark.parametrize(
    ("seeds_a", "seeds_b", "spread"), [(1, 1, 0.0), (2, 2, 0.2), (3, 3, 0.2), (2, 6, 0.2)]
)
def test_where_models_do_not_differ_the_interval_holds_zero(
    seeds_a: int, seeds_b: int, spread: float
) -> None:
    """Two models that are equal but for seeds, fakes and a reference drawn anew each time."""
    held = 0
    for i in range(EXPERIMENTS):
        fresh = Reference(normal(40, 10**6 + i), np.arange(40))
        a = networks(fresh, seeds_a, 2000 + 100 * i, spread=spread)
        b = networks(fresh, seeds_b, 2050 + 100 * i, spread=spread)
        low, high = kid_difference(a, b, replicates=200).interval
        held += low <= 0 <= high
    assert held >= COVERED * EXPERIMENTS


def test_the_interval_shrinks_with_seeds_and_a_real_difference_is_seen(
    reference: Reference,
) -> None:
    widths = []
    for seeds in (3, 12):
        a = networks(reference, seeds, 100, mean=0.3, spread=0.1)
        b = networks(reference, seeds, 200, mean=0.9, spread=0.1)
        found = kid_difference(a, b)
        widths.append(found.interval[1] - found.interval[0])
        assert found.value < 0
    assert widths[1] < widths[0] / 1.5
    assert found.interval[1] < 0
    assert "fine is better than coarse" in found.sentence("fine", "coarse")
    assert "coarse is worse than fine" in kid_difference(b, a).sentence("coarse", "fine")


def test_the_references_noise_cancels_in_the_difference() -> None:
    """Two like models, far from few lesions: these move both distances, not which is nearer."""
    real, lesions = normal(30, 100), np.arange(30)
    fakes = [1.0 + 0.2 * normal(300, seed) for seed in (1, 2)]
    reference = Reference(real, lesions)
    low, high = kid_difference(*([reference.sums(fake)] for fake in fakes)).interval
    alone = [np.ptp(kid_interval(real, fake, lesions, seed=0)) for fake in fakes]
    assert high - low < 0.5 * np.linalg.norm(alone)


def test_one_seed_of_a_model_is_said(reference: Reference) -> None:
    found = kid_difference(networks(reference, 1, 10), networks(reference, 4, 20))
    assert found.seeds == 1
    assert "a model has one seed" in found.note
    assert found.note in found.sentence("a", "b")


def test_seeds_that_vary_widen_the_interval(reference: Reference) -> None:
    steady = kid_difference(networks(reference, 3, 10), networks(reference, 3, 20)).interval
    varied = kid_difference(
        networks(reference, 3, 10, spread=0.5), networks(reference, 3, 20, spread=0.5)
    ).interval
    assert varied[1] - varied[0] > 2 * (steady[1] - steady[0])


# ---- what cannot be had ----


def test_what_cannot_be_computed_is_none_with_a_note(reference: Reference) -> None:
    enough = networks(reference, 2, 10)
    nothing = kid_difference(enough, [])
    assert nothing == Difference(None, None, 0, 0, "a model has no trained network")
    single = kid_difference(enough, [reference.sums(normal(1, 5))])
    assert (single.value, single.interval) == (None, None)
    assert "1 fake images" in single.note
    few = MIN_GROUPS - 1
    for a, b in (
        (enough, [reference.sums(normal(few, 5))]),
        ([Reference(normal(8, 0), np.arange(8) % few).sums(normal(9, i))] for i in (1, 2)),
    ):
        found = kid_difference(a, b)
        assert found.value is not None
        assert found.interval is None
        assert found.replicates == 0
        assert f"an interval needs {MIN_GROUPS} of each" in found.note
        assert "is open" in found.sentence("a", "b")
    assert "cannot be compared" in nothing.sentence("a", "b")


def test_features_that_cannot_be_compared_are_named(reference: Reference) -> None:
    with pytest.raises(ValueError, match="real has 3 features, fake has 2"):
        reference.sums(normal(9, 0)[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        reference.sums(np.full((5, DIM), np.nan))
    with pytest.raises(ValueError, match="3 labels for 60"):
        Reference(normal(60, 0), [1, 2, 3])
    other = Reference(normal(60, 0), np.arange(60))
    with pytest.raises(ValueError, match="different references"):
        kid_difference(networks(reference, 1, 1), networks(other, 1, 2))


# ---- words ----


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_better_and_worse_are_said_only_beyond_zero(
    value: float, below: float, above: float
) -> None:
    found = Difference(value, (value - below, value + above), 3, 1000)
    words = found.sentence("A", "B")
    beyond = value - below > 0 or value + above < 0
    assert ("better" in words or "worse" in words) == beyond
    if beyond:
        assert ("better" in words) == (value < 0)


# ---- means over seeds ----


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8))
def test_the_mean_over_seeds_has_students_interval(values: list[float]) -> None:
    found = mean_over_seeds(values)
    assert (found.seeds, found.note) == (len(values), None)
    assert found.value == pytest.approx(np.mean(values), abs=EXACT)
    if np.std(values) > 1e-6:
        test = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert found.interval == pytest.approx((test.low, test.high), rel=1e-6, abs=1e-6)
    else:
        assert found.interval == pytest.approx((np.mean(values),) * 2, abs=1e-4)


def test_one_seed_has_a_mean_and_no_interval_and_none_has_neither() -> None:
    one = mean_over_seeds([0.5])
    assert (one.value, one.interval, one.seeds) == (0.5, None, 1)
    assert "unknown" in one.note
    assert (mean_over_seeds([]).value, mean_over_seeds([]).note) == (None, "no seed")
    assert mean_over_seeds([1.0, float("nan")]).value is None
