"""Readings of a learning curve: exact on curves that words can describe."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqgan.evaluation.curves import FLAT, flattened, images_to_reach, mean_curve, within

EXACT = 1e-9
HALVING = [(1000.0 * 4**i, 2.0**-i) for i in range(5)]  # value = sqrt(1000 / images)

points = st.lists(
    st.tuples(st.integers(1, 10**7), st.floats(1e-4, 10)),
    min_size=1,
    max_size=9,
    unique_by=lambda point: point[0],
)


def test_between_two_points_the_value_falls_with_the_logarithm_of_images() -> None:
    curve = [(1000, 3.0), (100_000, 1.0)]
    assert images_to_reach(curve, 2.0) == pytest.approx(10_000, rel=EXACT)
    assert images_to_reach(curve, 2.5) == pytest.approx(1000 * 100**0.25, rel=EXACT)


def test_the_ends_of_a_curve() -> None:
    assert images_to_reach(HALVING, 5.0) == 1000  # at most so many
    assert images_to_reach(HALVING, 2.0**-4) == pytest.approx(256_000, rel=EXACT)
    assert images_to_reach(HALVING, 0.06) is None
    assert images_to_reach([], 1.0) is None


def test_the_first_time_counts_even_if_the_curve_rises_again() -> None:
    curve = [(1, 4.0), (10, 1.0), (100, 3.0), (1000, 0.5)]
    assert images_to_reach(curve, 1.0) == pytest.approx(10, rel=EXACT)


@given(points, st.floats(1e-4, 10))
def test_the_answer_lies_on_the_curve_and_a_harder_target_takes_no_less(
    curve: list[tuple[float, float]], target: float
) -> None:
    found, harder = images_to_reach(curve, target), images_to_reach(curve, target / 2)
    best = min(value for _, value in curve)
    assert (found is None) == (best > target)
    if found is not None:
        assert min(n for n, _ in curve) <= found <= max(n for n, _ in curve) * (1 + EXACT)
    if found is not None and harder is not None:
        assert found <= harder * (1 + EXACT)


@given(points, st.integers(2, 1000))
def test_the_unit_of_images_and_of_values_does_not_matter(
    curve: list[tuple[float, float]], scale: int
) -> None:
    scaled = [(n * scale, v / 4) for n, v in reversed(curve)]
    assert within(scaled) == pytest.approx(scale * within(curve), rel=1e-6)
    assert (flattened(scaled) is None) == (flattened(curve) is None)


def test_within_five_percent_of_its_own_best() -> None:
    curve = [(100, 2.0), (1000, 1.0), (10_000, 1.2)]
    assert within(curve) == pytest.approx(100 * 10**0.95, rel=EXACT)
    assert within(curve, 1.0) == pytest.approx(1000, rel=EXACT)
    assert within([]) is None
    with pytest.raises(ValueError, match=r"factor is 0\.5"):
        within(curve, 0.5)


def test_a_negative_best_value_can_be_approached_too() -> None:
    assert within([(1, 1.0), (10, -0.1)]) == pytest.approx(10 ** (1.095 / 1.1), rel=EXACT)


def test_a_falling_curve_is_not_flat_and_a_still_one_is() -> None:
    assert flattened(HALVING) is False
    assert flattened([*HALVING, (512_000, 2.0**-4)]) is True
    assert flattened([(1, 1.0), (10, 0.5), (100, 0.6)]) is True  # it rises: more images do not help


def test_five_percent_in_the_last_doubling_is_the_limit() -> None:
    for gain, flat in ((FLAT + 0.001, False), (FLAT - 0.001, True)):
        assert flattened([(1, 3.0), (50, 1.0), (100, 1.0 - gain)]) is flat
    # The same slope over two doublings: half of the gain falls into the last one.
    assert flattened([(1, 3.0), (25, 1.0), (100, 1.0 - 1.8 * FLAT)]) is True


def test_a_short_curve_does_not_know() -> None:
    assert flattened([]) is None
    assert flattened([(100, 1.0)]) is None
    assert flattened([(60, 1.0), (100, 0.9)]) is None
    assert flattened([(50, 1.0), (100, 1.0)]) is True


def test_points_that_were_not_measured_are_left_out_and_impossible_ones_refused() -> None:
    holes = [(500, None), *HALVING, (3000, math.nan)]
    assert images_to_reach(holes, 0.3) == images_to_reach(HALVING, 0.3)
    assert flattened([(500, None)]) is None
    for wrong in ([(0, 1.0)], [(5, 1.0), (5, 2.0)]):
        with pytest.raises(ValueError, match="expected different numbers above 0"):
            within(wrong)


def test_a_mean_curve_has_every_point_that_all_seeds_have_reached() -> None:
    """Interpolated in the logarithm: halfway from 100 to 400 is 200."""
    one, other = [(100.0, 4.0), (400.0, 2.0)], [(100.0, 2.0), (200.0, 1.0), (300.0, 0.0)]
    found = mean_curve([one, other, []])
    assert [images for images, _ in found] == [100.0, 200.0, 300.0]
    assert [value for _, value in found][:2] == pytest.approx([3.0, 2.0])
    assert mean_curve([]) == mean_curve([[]]) == []
    assert mean_curve([one]) == one
