"""What the distances must say about generators that words can describe, and that they are exact."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from hqgan.evaluation.metrics import (
    MIN_GROUPS,
    Gaussian,
    TooFewImages,
    frechet_distance,
    frechet_infinity,
    kid,
    kid_bootstrap,
    kid_interval,
)

EXACT = 1e-10  # the same sum in another order
SQRTM_RTOL = 1e-7  # scipy's Schur method on an unsymmetric product
DIM = 8


def normal(count: int, seed: int, mean: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).standard_normal((count, DIM))


def naive_kid(real: np.ndarray, fake: np.ndarray) -> float:
    """The U-statistic as it is written down: sums over pairs, one pair at a time."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    def within(x: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
        return sum(k(x[i], x[j]) for i, j in pairs) / len(pairs)

    across = sum(k(x, y) for x in real for y in fake) / (len(real) * len(fake))
    return within(real) + within(fake) - 2 * across


# ---- conventions ----


def test_a_set_compared_with_itself_has_no_frechet_distance() -> None:
    real = normal(100, seed=0)
    assert frechet_distance(real, real) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("distance", [frechet_distance, kid])
def test_a_good_generator_beats_a_collapsed_one_and_noise_is_worst(distance) -> None:
    real, good = normal(200, seed=0), normal(200, seed=1)
    # Collapsed: one real image over and over, with a whiff of noise. Noise: unrelated and wide.
    collapsed = real[:1] + 0.05 * normal(200, seed=2)
    noise = normal(200, seed=3, mean=3.0, spread=4.0)
    at_good, at_collapsed, at_noise = (distance(real, x) for x in (good, collapsed, noise))
    assert 5 * abs(at_good) < at_collapsed < at_noise


@pytest.mark.parametrize("distance", [frechet_distance, kid])
def test_the_order_of_images_and_of_the_two_sets_does_not_matter(distance) -> None:
    real, fake = normal(40, seed=0), normal(50, seed=1, mean=0.3)
    shuffled = np.random.default_rng(2).permutation(real)
    assert distance(real, fake) == pytest.approx(distance(shuffled, fake), abs=EXACT)
    assert distance(real, fake) == pytest.approx(distance(fake, real), abs=1e-9)


def test_fewer_images_raise_the_frechet_distance_but_not_the_kernel_distance() -> None:
    """Between two samples of one distribution the first is biased upwards, the second is not."""
    few, many = 12, 120
    draws = range(60)
    frechet = {
        n: np.mean([frechet_distance(normal(n, 2 * i), normal(n, 2 * i + 1)) for i in draws])
        for n in (few, many)
    }
    assert frechet[few] > 3 * frechet[many] > 0
    kids = np.array([kid(normal(few, 2 * i), normal(few, 2 * i + 1)) for i in draws])
    assert abs(kids.mean()) < 3 * kids.std() / len(kids) ** 0.5
    assert kids.min() < 0 < kids.max()  # unbiased at 0 means negative half of the time


@pytest.mark.parametrize("distance", [frechet_distance, kid])
def test_a_copied_training_set_looks_perfect(distance) -> None:
    """Distances reward copying, which is why copies are looked for by themselves."""
    train, val, good = normal(200, 0), normal(200, 1), normal(200, 2)
    assert distance(train, train.copy()) < min(0, distance(train, good)) + EXACT
    assert distance(val, train) < 2 * abs(distance(val, good)) + 0.01


@pytest.mark.parametrize("distance", [frechet_distance, kid])
def test_shuffled_labels_are_seen_by_class_and_not_overall(distance) -> None:
    one, other = normal(150, 0), normal(150, 1, mean=2.0)
    fakes = np.concatenate([normal(150, 2), normal(150, 3, mean=2.0)])
    shuffled = np.random.default_rng(4).permutation(fakes)
    both = np.concatenate([one, other])
    assert distance(both, shuffled) == pytest.approx(distance(both, fakes), abs=1e-9)
    assert distance(one, shuffled[:150]) > 10 * abs(distance(one, fakes[:150]))


def test_infinitely_many_fakes_have_the_distance_that_is_extrapolated_from_a_few() -> None:
    """The bias that the number of fakes causes goes."""
    real, fakes = normal(400, 0), [normal(150, 10 + i, 0.5, 1.5) for i in range(40)]
    limit = frechet_distance(real, normal(40_000, 1, mean=0.5, spread=1.5))
    found = np.array([frechet_infinity(real, fake, seed=0) for fake in fakes])
    plain = np.array([frechet_distance(real, fake) for fake in fakes])
    assert abs(found.mean() - limit) < 3 * found.std() / len(found) ** 0.5
    assert abs(plain.mean() - limit) > 3 * plain.std() / len(plain) ** 0.5


def test_a_seed_draws_what_it_drew_for_the_published_numbers() -> None:
    real, fake = normal(60, 0), normal(60, 1, mean=0.5)
    assert frechet_infinity(real, fake, seed=3) == pytest.approx(2.7254041, rel=1e-6)


# ---- exactness ----


@settings(max_examples=25)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10_000))
def test_kid_equals_the_sum_over_pairs(m: int, n: int, seed: int) -> None:
    real, fake = normal(m, seed), normal(n, seed + 1, mean=0.2)
    assert kid(real, fake) == pytest.approx(naive_kid(real, fake), abs=EXACT)


def test_kid_equals_that_of_features_in_single_precision() -> None:
    real, fake = normal(30, 0).astype(np.float32), normal(30, 1).astype(np.float32)
    assert kid(real, fake) == kid(real.astype(np.float64), fake.astype(np.float64))


def test_the_frechet_distance_of_known_gaussians_is_the_formula() -> None:
    """Whitened samples have mean 0 and covariance 1 exactly, so the distance is in closed form."""
    samples = normal(50, seed=0)
    samples -= samples.mean(axis=0)
    white = samples @ np.linalg.inv(np.linalg.cholesky(np.cov(samples, rowvar=False))).T
    scale, shift = 3.0, 0.5
    expected = DIM * (shift**2 + (scale - 1) ** 2)
    assert frechet_distance(white, scale * white + shift) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_equals_scipys_matrix_square_root() -> None:
    real, fake = normal(60, 0) @ normal(DIM, 5), normal(70, 1, mean=0.5) @ normal(DIM, 6)
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b).real
    gap = real.mean(axis=0) - fake.mean(axis=0)
    expected = gap @ gap + np.trace(a + b - 2 * root)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=SQRTM_RTOL)


def test_a_constant_feature_does_no_harm() -> None:
    """Dead channels make the covariance singular; no epsilon is needed for them."""
    real, fake = normal(50, 0), normal(50, 1)
    dead = np.full((50, 1), 0.7)
    expected = frechet_distance(real, fake)
    found = frechet_distance(np.hstack([real, dead]), np.hstack([fake, dead]))
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_fitted_gaussian_stands_for_its_features() -> None:
    real, fake = normal(40, 0), normal(40, 1)
    assert frechet_distance(Gaussian.fit(real), fake) == frechet_distance(real, fake)


# ---- intervals ----


def test_the_interval_holds_the_value_and_shrinks_with_more_images() -> None:
    widths = []
    for count in (40, 400):
        real, fake = normal(count, 0), normal(count, 1, mean=0.4)
        low, high = kid_interval(real, fake, np.arange(count), seed=0, repeats=300)
        assert low < kid(real, fake) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_resamples_centre_on_kid_also_where_lesions_have_several_images() -> None:
    """Counting a lesion's images against each other twice would push every resample upwards."""
    lesions = np.repeat(np.arange(30), 3)
    centres = normal(30, 0)
    real = centres[lesions] + 0.1 * normal(90, 1)  # images of one lesion are nearly the same
    fake = normal(90, 2, mean=0.3)
    resamples = kid_bootstrap(real, fake, lesions, seed=0, repeats=2000)
    standard_error = resamples.std() / len(resamples) ** 0.5
    assert abs(resamples.mean() - kid(real, fake)) < 4 * standard_error


def test_images_of_one_lesion_count_as_one_for_the_interval() -> None:
    real = np.repeat(normal(30, 0), 4, axis=0)
    fake = normal(400, 1, mean=0.4)
    by_lesion = np.std(kid_bootstrap(real, fake, np.repeat(np.arange(30), 4), 0, 500))
    by_image = np.std(kid_bootstrap(real, fake, np.arange(120), 0, 500))
    assert by_lesion > 1.5 * by_image


def test_a_resample_is_the_u_statistic_of_what_was_drawn() -> None:
    """With each image its own lesion, one resample is the mean over pairs of different images."""
    real, fake = normal(6, 0), normal(7, 1)
    found = kid_bootstrap(real, fake, list("abcdef"), seed=3, repeats=1)[0]
    real_counts = np.random.default_rng([3, 0]).multinomial(6, np.full(6, 1 / 6))
    fake_counts = np.random.default_rng([3, 1]).multinomial(7, np.full(7, 1 / 7))

    def mean(x: np.ndarray, y: np.ndarray, v: np.ndarray, w: np.ndarray, same: bool) -> float:
        weights = np.outer(v, w).astype(float)
        if same:
            np.fill_diagonal(weights, 0.0)
        return float(np.average((x @ y.T / DIM + 1) ** 3, weights=weights))

    expected = (
        mean(real, real, real_counts, real_counts, same=True)
        + mean(fake, fake, fake_counts, fake_counts, same=True)
        - 2 * mean(real, fake, real_counts, fake_counts, same=False)
    )
    assert found == pytest.approx(expected, abs=EXACT)


def test_two_models_share_their_resamples_so_that_their_difference_is_paired() -> None:
    """Two nearly equal models differ by little in every resample, though each varies much."""
    real, fake = normal(60, 0), normal(60, 1, mean=0.5)
    first = kid_bootstrap(real, fake, np.arange(60), seed=0, repeats=200)
    second = kid_bootstrap(real, fake + 0.001, np.arange(60), seed=0, repeats=200)
    assert np.std(second - first) < 0.05 * np.std(first)


# ---- refusals ----


def test_frechet_is_refused_where_either_set_is_no_larger_than_the_features() -> None:
    enough, short = normal(DIM + 1, 0), normal(DIM, 1)
    frechet_distance(enough, enough)
    for pair in ((enough, short), (short, enough)):
        with pytest.raises(TooFewImages, match=f"{DIM} images .* more than {DIM}"):
            frechet_distance(*pair)


def test_the_extrapolation_needs_twice_as_many_fakes_as_features() -> None:
    with pytest.raises(TooFewImages, match=f"more than {2 * DIM}"):
        frechet_infinity(normal(50, 0), normal(2 * DIM, 1), seed=0)


def test_kid_needs_a_pair_and_its_interval_some_lesions() -> None:
    real, fake = normal(20, 0), normal(20, 1)
    with pytest.raises(TooFewImages, match="1 real and 20 fake"):
        kid(real[:1], fake)
    with pytest.raises(TooFewImages, match=f"{MIN_GROUPS - 1} independent real units"):
        kid_interval(real, fake, np.arange(20) % (MIN_GROUPS - 1), seed=0)


def test_features_that_cannot_be_compared_are_named() -> None:
    real = normal(20, 0)
    with pytest.raises(ValueError, match="real has 8 features, fake has 7"):
        kid(real, real[:, :7])
    with pytest.raises(ValueError, match="real has 8 features, fake has 7"):
        frechet_distance(real, real[:, :7])
    with pytest.raises(ValueError, match="NaN"):
        kid(real, np.full_like(real, np.nan))
    with pytest.raises(ValueError, match=r"shape \(20,\)"):
        kid(real[:, 0], real)
    with pytest.raises(ValueError, match="3 labels for 20"):
        kid_interval(real, real, [1, 2, 3], seed=0)
