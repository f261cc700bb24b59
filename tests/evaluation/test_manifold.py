"""What the four numbers must say about sets that words can describe, and that they are exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqgan.evaluation import manifold
from hqgan.evaluation.manifold import (
    Manifold,
    Neighbourhoods,
    precision_recall_density_coverage,
)
from hqgan.evaluation.metrics import TooFewImages

EXACT = 1e-12  # the same counts, divided
DIM = 6


def normal(count: int, seed: int, mean: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).standard_normal((count, DIM))


def literal(real: np.ndarray, fake: np.ndarray, k: int) -> Manifold:
    """The definitions as they are written down, one pair of images at a time."""

    def radius(points: np.ndarray, i: int) -> float:
        others = [np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i]
        return float(sorted(others)[k - 1])

    real_radii = [radius(real, i) for i in range(len(real))]
    fake_radii = [radius(fake, j) for j in range(len(fake))]
    near = [[float(np.linalg.norm(x - y)) for y in fake] for x in real]
    m, n = range(len(real)), range(len(fake))
    return Manifold(
        precision=sum(any(near[i][j] <= real_radii[i] for i in m) for j in n) / len(fake),
        recall=sum(any(near[i][j] <= fake_radii[j] for j in n) for i in m) / len(real),
        density=sum(near[i][j] < real_radii[i] for i in m for j in n) / (k * len(fake)),
        coverage=sum(any(near[i][j] < real_radii[i] for j in n) for i in m) / len(real),
    )


def numbers(found: Manifold) -> list[float]:
    return [found.precision, found.recall, found.density, found.coverage]


# ---- exactness ----


@settings(max_examples=30)
@given(
    st.integers(6, 20), st.integers(6, 20), st.integers(1, 5), st.integers(0, 9999),
    st.floats(0, 2),
)  # fmt: skip
def test_the_numbers_are_those_of_the_definitions(
    m: int, n: int, k: int, seed: int, shift: float
) -> None:
    real, fake = normal(m, seed), normal(n, seed + 1, mean=shift)
    found = numbers(precision_recall_density_coverage(real, fake, k))
    assert found == pytest.approx(numbers(literal(real, fake, k)), abs=EXACT)


def test_blocks_of_rows_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(50, 0), normal(41, 1, mean=0.5)
    whole = precision_recall_density_coverage(real, fake)
    monkeypatch.setattr(manifold, "BLOCK", 7)
    assert precision_recall_density_coverage(real, fake) == whole


def test_features_far_from_zero_or_in_single_precision_have_the_same_numbers() -> None:
    """Distances from norms and products would drown in rounding so far out."""
    real, fake = (normal(40, s).astype(np.float32) for s in (0, 1))
    expected = precision_recall_density_coverage(real.astype(float), fake.astype(float))
    assert precision_recall_density_coverage(real, fake) == expected
    far = precision_recall_density_coverage(real.astype(float) + 1e8, fake.astype(float) + 1e8)
    assert numbers(far) == pytest.approx(numbers(expected), abs=EXACT)


def test_what_was_fitted_once_stands_for_its_features() -> None:
    real, fake = normal(30, 0), normal(30, 1)
    fitted = precision_recall_density_coverage(Neighbourhoods.fit(real), Neighbourhoods.fit(fake))
    assert fitted == precision_recall_density_coverage(real, fake)


# ---- conventions ----


@pytest.mark.parametrize("count", [6, 40, 700])  # the last in two blocks
def test_a_set_compared_with_itself_has_one_four_times(count: int) -> None:
    real = normal(count, seed=3)
    assert numbers(precision_recall_density_coverage(real, real)) == [1.0] * 4
    shuffled = np.random.default_rng(0).permutation(real)
    assert numbers(precision_recall_density_coverage(real, shuffled)) == [1.0] * 4


def test_sets_far_apart_have_nothing_in_common() -> None:
    found = precision_recall_density_coverage(normal(40, 0), normal(40, 1, mean=100.0))
    assert numbers(found) == [0.0] * 4


def test_a_collapsed_generator_is_plausible_and_not_diverse() -> None:
    real = normal(200, seed=0)
    collapsed = real[:1] + 0.05 * normal(200, seed=1)
    found = precision_recall_density_coverage(real, collapsed)
    assert found.precision == 1.0
    assert found.recall < 0.05
    assert found.coverage < 0.2


def test_a_copied_training_set_looks_as_good_as_held_out_images() -> None:
    """Held against a third set, copies are real images: nothing here sees copying."""
    val, train, good = normal(300, 0), normal(300, 1), normal(300, 2)
    copied = numbers(precision_recall_density_coverage(val, train.copy()))
    assert copied == pytest.approx(numbers(precision_recall_density_coverage(val, good)), abs=0.1)


def test_shuffled_labels_are_seen_in_the_class_they_spoil() -> None:
    one, other = normal(150, 0), normal(150, 1, mean=6.0)
    fakes = np.concatenate([normal(150, 2), normal(150, 3, mean=6.0)])
    shuffled = np.random.default_rng(4).permutation(fakes)
    both = np.concatenate([one, other])
    whole = [numbers(precision_recall_density_coverage(both, x)) for x in (fakes, shuffled)]
    assert whole[0] == whole[1]
    assert precision_recall_density_coverage(one, fakes[:150]).precision > 0.8
    assert precision_recall_density_coverage(one, shuffled[:150]).precision < 0.65


def test_pure_noise_is_neither_plausible_nor_covering() -> None:
    """Recall is no comfort: the balls of scattered noise are wide enough to hold everything."""
    found = precision_recall_density_coverage(normal(200, 0), normal(200, 1, spread=8.0))
    assert found.precision < 0.05
    assert found.density < 0.05
    assert found.coverage < 0.05


def test_half_of_the_modes_is_half_of_the_coverage() -> None:
    modes = normal(200, 0)
    modes[::2] += 50.0
    found = precision_recall_density_coverage(modes, normal(200, 1))
    assert found.precision > 0.8
    assert found.recall == pytest.approx(0.5, abs=0.1)
    assert found.coverage == pytest.approx(0.5, abs=0.05)


def test_density_is_one_on_average_for_equal_distributions() -> None:
    """Naeem et al. 2020, lemma 1: whatever the distribution, the dimension and the numbers."""
    found = [
        precision_recall_density_coverage(normal(30, 2 * i), normal(50, 2 * i + 1)).density
        for i in range(200)
    ]
    assert abs(np.mean(found) - 1) < 3 * np.std(found) / len(found) ** 0.5


def test_exchanging_the_sets_exchanges_precision_and_recall() -> None:
    real, fake = normal(40, 0), normal(30, 1, mean=0.6)
    there = precision_recall_density_coverage(real, fake)
    back = precision_recall_density_coverage(fake, real)
    assert (there.precision, there.recall) == (back.recall, back.precision)


# ---- refusals ----


def test_sets_without_k_neighbours_are_refused() -> None:
    enough, short = normal(6, 0), normal(5, 1)
    precision_recall_density_coverage(enough, enough)
    for pair in ((enough, short), (short, enough)):
        with pytest.raises(TooFewImages, match="5 images have no 5 neighbours"):
            precision_recall_density_coverage(*pair)


def test_features_that_cannot_be_compared_are_named() -> None:
    real = normal(20, 0)
    with pytest.raises(ValueError, match="NaN"):
        precision_recall_density_coverage(real, np.full_like(real, np.nan))
    with pytest.raises(ValueError, match="real has 6 features, fake has 5"):
        precision_recall_density_coverage(real, real[:, :5])
    with pytest.raises(ValueError, match="k is 0"):
        precision_recall_density_coverage(real, real, k=0)
    with pytest.raises(ValueError, match="fitted for 3 and 5 neighbours, expected k = 5"):
        precision_recall_density_coverage(Neighbourhoods.fit(real, k=3), real)
