"""Synthesis: what depends on the seed, what is rejected, and how many of which class."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hqgan.data import Dataset, to_float, to_uint8
from hqgan.errors import UsageError
from hqgan.evaluation.nearest import nearest_pixels
from hqgan.models import Generator, generate
from hqgan.models.classifier import Classifier
from hqgan.training.classification import ClassifierRecipe, fit_classifier
from hqgan.workflows.synthesis import ROUND, CopyFilter, Synthetic, balanced_counts, synthesise
from small_images import picture
from small_runs import CLASSES, SIZE, tiny_dataset

K = len(CLASSES)
COPIED = 0.5  # share of the copier's images


class Dreamer(Generator):
    """Smooth random images, brighter for a higher class; a share of them copies of `stolen`."""

    def __init__(self, stolen: np.ndarray | None = None):
        super().__init__()
        self.size, self.classes, self.z_dim = SIZE, K, 50
        self.anchor = torch.nn.Parameter(torch.zeros(1))  # generators are asked for their device
        self.stolen = None if stolen is None else to_float(stolen)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        coarse = z[:, :48].view(-1, 3, 4, 4) * 0.3 + (y.view(-1, 1, 1, 1) - 1) * 0.5
        made = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(-1, 1)
        if self.stolen is None:
            return made
        thief = z[:, 49] > torch.distributions.Normal(0, 1).icdf(torch.tensor(1 - COPIED))
        which = (z[:, 48].abs() * 1000).long() % len(self.stolen)
        turned = self.stolen[which].rot90(1, (2, 3))
        return torch.where(thief.view(-1, 1, 1, 1), turned, made)


def dataset(split: str, first: int, lesions: tuple[int, ...], views: int = 1) -> Dataset:
    """Pictures of so many lesions a class, each seen `views` times with a little noise."""
    rng = np.random.default_rng(first)
    labels = np.repeat(np.arange(len(lesions)), np.multiply(lesions, views))
    groups = np.arange(sum(lesions)).repeat(views)
    images = np.stack([picture(first + group, SIZE, SIZE) for group in groups])
    noise = rng.integers(-3, 4, images.shape)
    images = (images.astype(int) + noise).clip(0, 255).astype(np.uint8)
    ids = np.array([f"{split}-{number}" for number in range(len(labels))])
    return Dataset(images, labels, CLASSES, np.array([f"{split}{g}" for g in groups]), ids, split)


def make(
    counts: Iterable[int] = (5, 3, 4),
    stolen: np.ndarray | None = None,
    seed: int = 1,
    copies: CopyFilter | None = None,
    judge: Classifier | None = None,
    attempts: float = 20,
) -> Synthetic:
    generator = Dreamer(stolen)
    return synthesise(
        generator, list(counts), TRAIN, seed=seed, copies=copies, judge=judge, attempts=attempts
    )


TRAIN = tiny_dataset()
VAL = dataset("val", 1000, (10, 10, 10))


@pytest.fixture(scope="module")
def judge() -> Classifier:
    """A classifier that has learned how bright a class of `Dreamer` is, but for class 2."""
    images = np.concatenate(
        [to_uint8(x) for x in generate(Dreamer(), [y for y in range(K) for _ in range(64)], 9)]
    )
    labels = np.repeat(np.arange(K), 64)
    labels[images.mean((1, 2, 3)) > 191] = 0  # the brighter half of class 2 passes for class 0
    recipe = ClassifierRecipe(steps=60, batch=32, evaluations=2)
    val = replace(VAL, images=images, labels=labels, groups=labels, ids=labels)
    return fit_classifier(recipe, images, labels, val, 0).classifier


def test_without_filters_the_first_images_of_each_class_are_taken() -> None:
    found = make()
    assert found.labels.tolist() == [0] * 5 + [1] * 3 + [2] * 4
    assert found.numbers.tolist() == [*range(5), *range(3), *range(4)]
    assert np.isnan(found.confidence).all()
    assert [(r.name, r.asked, r.made, r.kept) for r in found.per_class] == [
        ("bkl", 5, 5, 5),
        ("mel", 3, 3, 3),
        ("nv", 4, 4, 4),
    ]


def test_image_i_of_a_class_is_the_one_that_sample_makes() -> None:
    found = make()
    expected = np.concatenate([to_uint8(x) for x in generate(Dreamer(), found.labels.tolist(), 1)])
    np.testing.assert_array_equal(found.images, expected)


def test_the_nearest_training_image_is_named_with_or_without_a_filter() -> None:
    for copies in (None, CopyFilter.fit(TRAIN, VAL)):
        found = make(copies=copies)
        neighbours = nearest_pixels(found.images, TRAIN.images)
        assert found.nearest.tolist() == TRAIN.ids[neighbours.index[:, 0]].tolist()
        np.testing.assert_allclose(found.distance, neighbours.distance[:, 0], rtol=1e-5)


def test_the_same_seed_gives_the_same_and_more_only_adds(judge: Classifier) -> None:
    filters = {"stolen": TRAIN.images, "copies": CopyFilter.fit(TRAIN, VAL), "judge": judge}
    few, again = make((5, 0, 2), **filters), make((5, 0, 2), **filters)
    many, other = make((90, 0, 80), **filters), make((5, 0, 2), seed=2, **filters)
    for name in ("images", "numbers", "nearest", "distance", "confidence"):
        mine = getattr(few, name)
        np.testing.assert_array_equal(mine, getattr(again, name))
        for y, count in ((0, 5), (2, 2)):
            more = getattr(many, name)[many.labels == y][:count]
            np.testing.assert_array_equal(mine[few.labels == y], more)
    assert not np.array_equal(few.images, other.images)


def test_planted_copies_are_rejected_whatever_their_class_and_turn() -> None:
    copies = CopyFilter.fit(TRAIN, VAL)
    thief, honest = make((90, 90, 90), stolen=TRAIN.images), make((90, 90, 90))
    filtered = make((90, 90, 90), stolen=TRAIN.images, copies=copies)
    assert (thief.distance < 0.01).mean() > COPIED / 2
    assert (honest.distance > 0.01).all()
    assert (filtered.distance > copies.thresholds[filtered.labels]).all()
    for report in filtered.per_class:
        assert report.kept == 90
        assert report.near_copies == report.made - 90
        assert report.near_copies / report.made > COPIED / 2


def test_a_generator_that_only_copies_ends_with_nothing_and_says_so() -> None:
    class Copier(Dreamer):
        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            return to_float(TRAIN.images[:1]).expand(len(z), -1, -1, -1)

    copies = CopyFilter.fit(TRAIN, VAL)
    found = synthesise(Copier(), [10, 0, 0], TRAIN, seed=0, copies=copies, judge=None, attempts=3.5)
    assert found.images.shape == (0, SIZE, SIZE, 3)
    report = found.per_class[0]
    assert (report.made, report.kept, report.near_copies, report.short) == (35, 0, 35, 10)


def test_attempts_count_images_not_rounds() -> None:
    copies = CopyFilter.fit(TRAIN, VAL)
    found = make((ROUND, 0, 0), stolen=TRAIN.images, copies=copies, attempts=1)
    assert found.per_class[0].made == ROUND
    assert found.per_class[0].kept == len(found.images) < ROUND


def test_what_the_judge_takes_for_another_class_is_left_out(judge: Classifier) -> None:
    found = make((20, 20, 20), judge=judge)
    assert (found.confidence > 1 / K).all()
    sure, doubtful = found.per_class[1], found.per_class[2]
    assert doubtful.unrecognised > sure.unrecognised
    assert all(r.made == r.kept + r.unrecognised for r in found.per_class)
    every = make((doubtful.made, 0, doubtful.made))
    rejected = set(range(doubtful.made)) - set(found.numbers[found.labels == 2].tolist())
    brightness = every.images[every.labels == 2].mean((1, 2, 3))
    assert brightness[sorted(rejected)].mean() > brightness.mean()


def test_progress_counts_images_kept_over_all_classes() -> None:
    told: list[tuple[int, int]] = []
    counts, tell = [5, 0, 200], lambda *at: told.append(at)
    synthesise(Dreamer(), counts, TRAIN, seed=0, copies=None, judge=None, progress=tell)
    assert told[0] == (5, 205)
    assert told[1] == (5 + ROUND, 205)
    assert told[-1] == (205, 205)


def test_a_class_with_enough_lesions_has_its_own_threshold_and_the_others_share_one() -> None:
    val = dataset("val", 1000, (120, 80, 40))
    distance = nearest_pixels(val.images, TRAIN.images).distance[:, 0]
    own = np.percentile(distance[val.labels == 0], 1)
    pooled = np.percentile(distance[val.labels > 0], 1)
    copies = CopyFilter.fit(TRAIN, val)
    np.testing.assert_allclose(copies.thresholds, [own, pooled, pooled], rtol=1e-5)
    assert copies.lesions.tolist() == [120, 120, 120]


def test_where_even_the_pool_is_small_all_lesions_make_the_threshold() -> None:
    val = dataset("val", 1000, (110, 5, 5))
    distance = nearest_pixels(val.images, TRAIN.images).distance[:, 0]
    copies = CopyFilter.fit(TRAIN, val)
    assert copies.thresholds[0] == pytest.approx(np.percentile(distance[:110], 1), rel=1e-5)
    assert copies.thresholds[1] == pytest.approx(np.percentile(distance, 1), rel=1e-5)
    assert copies.lesions.tolist() == [110, 120, 120]


def test_a_lesion_counts_once_by_its_nearest_image() -> None:
    val = dataset("val", 1000, (15, 15, 15), views=4)
    distance = nearest_pixels(val.images, TRAIN.images).distance[:, 0]
    by_lesion = distance.reshape(-1, 4).min(axis=1)
    copies = CopyFilter.fit(TRAIN, val)
    np.testing.assert_allclose(copies.thresholds, np.percentile(by_lesion, 1), rtol=1e-5)
    assert copies.lesions.tolist() == [45] * K


def test_of_new_real_images_about_one_in_a_hundred_is_called_a_copy() -> None:
    """Of 1,000 the binomial 99.9 % interval is 2 to 22; thresholds of 400 lesions widen it."""
    copies = CopyFilter.fit(TRAIN, dataset("val", 1000, (400, 0, 0)))
    new = dataset("test", 9000, (1000, 0, 0))
    called, nearest, distance = copies.near(new.images, new.labels)
    assert 1 <= called.sum() <= 30
    assert (called == (distance <= copies.thresholds[0])).all()
    assert set(nearest.tolist()) <= set(TRAIN.ids.tolist())


COUNTS = np.array([10, 40, 25])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("max", [30, 0, 15]),
        ("median", [15, 0, 0]),
        (30, [20, 0, 5]),
        (1, [0, 0, 0]),
        (0.5, [5, 20, 12]),
        (2.0, [20, 80, 50]),
    ],
)
def test_a_rule_says_how_many_each_class_gets(rule: str | float, expected: list[int]) -> None:
    assert balanced_counts(COUNTS, rule).tolist() == expected


@pytest.mark.parametrize("rule", ["most", 0, -3, -0.5, float("nan"), float("inf")])
def test_an_impossible_rule_is_refused(rule: str | float) -> None:
    with pytest.raises(UsageError, match="expected max, median, a number of images per class"):
        balanced_counts(COUNTS, rule)


@pytest.mark.parametrize(("counts", "attempts"), [((1, 2), 20), ((1, 2, -1), 20), ((1, 1, 1), 0.5)])
def test_impossible_orders_are_refused(counts: tuple[int, ...], attempts: float) -> None:
    with pytest.raises(UsageError, match="expected a number of images for each of 3 classes"):
        make(counts, attempts=attempts)
