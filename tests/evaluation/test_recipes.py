"""What a recipe must say about generators that words can describe, and that it says everything."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from hqgan.data.dataset import Dataset
from hqgan.evaluation.features import Extractor, load_extractor
from hqgan.evaluation.recipes import RecipeResult, evaluate_images, reference_class_mix

CLASSES = ("dark", "pale", "rare")
COLOURS = np.array([[90, 50, 40], [200, 160, 140], [170, 60, 90]])
SIDE = 12
JSON_KEYS = [
    "recipe", "class", "value", "interval", "floor", "n_real", "n_fake",
    "split", "extractor", "seed", "reason",
]  # fmt: skip


def lesions(labels: np.ndarray, seed: int) -> np.ndarray:
    """Discs of the class colour on skin, each of its own place, size and tint."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    drawn = []
    for label in labels:
        centre, radius = rng.uniform(4, 8, 2), rng.uniform(2, 5)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        skin = np.array([220, 180, 160]) + rng.normal(0, 8, 3)
        colour = COLOURS[label] + rng.normal(0, 8, 3)
        drawn.append(np.where(disc[..., None], colour, skin) + rng.normal(0, 3, (SIDE, SIDE, 3)))
    return np.stack(drawn).clip(0, 255).astype(np.uint8)


def dataset(
    split: str, counts: tuple[int, int, int], seed: int, images_a_lesion: int = 1
) -> Dataset:
    labels = np.repeat(np.arange(3), counts)
    ids = np.array([f"{split}{i}" for i in range(len(labels))])
    groups = np.array([f"{split}{i // images_a_lesion}" for i in range(len(labels))])
    return Dataset(lesions(labels, seed), labels, CLASSES, groups, ids, split)


@pytest.fixture(scope="module")
def reference() -> Dataset:
    return dataset("val", (60, 30, 10), seed=0)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return dataset("train", (150, 80, 30), seed=1)


@pytest.fixture(scope="module")
def tiny() -> Extractor:
    return load_extractor(name="tiny")


class RandomLayer(nn.Module):
    """A network that stands where the Inception does: 768 random features, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(768, 3 * 36, generator=generator) / 36)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"Mixed_6e": F.relu(F.adaptive_avg_pool2d(x, 6).flatten(1) @ self.weight.T)}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    cache = tmp_path_factory.mktemp("wide")
    return Extractor("inception768", "0" * 64, RandomLayer(), cache_dir=cache)


def by_class(results: list[RecipeResult], recipe: str) -> dict[str | None, RecipeResult]:
    return {r.class_name: r for r in results if r.recipe == recipe}


# ---- the class mix ----


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(0, 3000))
def test_the_class_mix_is_within_one_image_of_exact_and_adds_up(counts: list[int], n: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    mix = reference_class_mix(labels, len(counts), n)
    assert mix.sum() == n
    assert np.abs(mix - n * np.array(counts) / len(labels)).max() < 1


def test_as_many_fakes_as_references_have_exactly_their_mix(reference: Dataset) -> None:
    assert reference_class_mix(reference.labels, 3, 100).tolist() == [60, 30, 10]
    assert reference_class_mix(reference.labels, 3, 15).tolist() == [9, 5, 1]  # 4.5 before 1.5
    assert reference_class_mix(np.array([0, 0]), 3, 5).tolist() == [5, 0, 0]


def test_a_mix_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one label"):
        reference_class_mix(np.array([], dtype=int), 3, 5)
    with pytest.raises(ValueError, match="a label is 7, expected labels below 3"):
        reference_class_mix(np.array([1, 7]), 3, 5)


# ---- conventions ----


def test_a_good_generator_is_at_the_floor_a_collapsed_one_far_above_and_noise_worst(
    reference: Dataset, train: Dataset, tiny: Extractor
) -> None:
    labels = reference.labels
    good = lesions(labels, seed=2)
    collapsed = np.repeat(good[:1], len(labels), axis=0)
    collapsed = collapsed ^ np.random.default_rng(0).integers(0, 4, collapsed.shape, dtype=np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, good.shape, dtype=np.uint8)
    found = []
    for fakes in (good, collapsed, noise):
        (result,) = evaluate_images(fakes, labels, reference, train, tiny)
        assert result.recipe == "fd_tiny"
        assert result.value is not None
        assert result.floor is not None
        found.append(result.value)
    assert found[0] < 2 * result.floor
    assert 10 * found[0] < found[1] < found[2]


def test_a_generator_that_swaps_two_classes_is_caught_by_class_and_not_overall(
    reference: Dataset, train: Dataset, wide: Extractor
) -> None:
    """Half of each: the images are the right ones in the right numbers, the labels are not."""
    even = dataset("val", (40, 40, 20), seed=0)
    images = lesions(even.labels, seed=2)
    swapped = images.copy()
    swapped[:40], swapped[40:80] = images[40:80], images[:40]
    honest = by_class(evaluate_images(images, even.labels, even, train, wide), "kid768")
    liar = by_class(evaluate_images(swapped, even.labels, even, train, wide), "kid768")
    assert liar[None].value == pytest.approx(honest[None].value, abs=1e-9)
    for name in ("dark", "pale"):
        assert honest[name].interval[1] < liar[name].interval[0]
    assert liar["rare"].value == pytest.approx(honest["rare"].value, abs=1e-9)


def test_the_floor_is_what_held_out_real_images_score(
    reference: Dataset, train: Dataset, tiny: Extractor
) -> None:
    labels = reference.labels
    fresh = [
        evaluate_images(lesions(labels, seed), labels, reference, train, tiny)[0]
        for seed in range(10, 16)
    ]
    values = [result.value for result in fresh]
    assert {result.floor for result in fresh} == {fresh[0].floor}  # it does not depend on fakes
    assert min(values) / 1.5 < fresh[0].floor < max(values) * 1.5


# ---- completeness ----


def test_every_result_says_what_it_was_computed_from(
    reference: Dataset, train: Dataset, wide: Extractor
) -> None:
    labels = np.repeat(np.arange(3), reference_class_mix(reference.labels, 3, 40))
    results = evaluate_images(lesions(labels, 2), labels, reference, train, wide, seed=5)
    scopes = [(r.recipe, r.class_name, r.n_real, r.n_fake) for r in results]
    assert scopes == [
        ("fid768", None, 100, 40),
        ("kid768", None, 100, 40),
        ("kid768", "dark", 60, 24),
        ("kid768", "pale", 30, 12),
        ("kid768", "rare", 10, 4),
        ("precision768", None, 40, 40),
        ("recall768", None, 40, 40),
        ("density768", None, 40, 40),
        ("coverage768", None, 40, 40),
    ]
    for result in results:
        record = result.as_json()
        assert list(record) == JSON_KEYS
        assert (record["split"], record["seed"]) == ("val", 5)
        assert record["extractor"] == str(wide)


def test_fid_is_extrapolated_where_fakes_are_twice_the_features(wide: Extractor) -> None:
    large = dataset("val", (400, 300, 100), seed=0)
    labels = np.repeat(np.arange(3), reference_class_mix(large.labels, 3, 2 * 768 + 1))
    fakes = lesions(labels, 2)
    results = evaluate_images(fakes, labels, large, None, wide, per_class=False, repeats=2)
    found = {one.recipe: one for one in results}
    assert found["fid768_infinity"].value < found["fid768"].value
    assert (found["fid768_infinity"].n_fake, found["fid768_infinity"].floor) == (1537, None)


def test_fid_is_refused_with_a_reason_where_images_are_no_more_than_features(
    reference: Dataset, train: Dataset, wide: Extractor
) -> None:
    labels = reference.labels
    fid, kid, *_ = evaluate_images(lesions(labels, 2), labels, reference, train, wide)
    assert (fid.value, fid.floor, fid.interval) == (None, None, None)
    assert (
        fid.reason
        == "100 images give a singular covariance of 768 features; more than 768 are needed"
    )
    assert kid.value is not None
    assert kid.floor is not None
    assert kid.interval[0] < kid.value < kid.interval[1]
    assert kid.reason is None


def test_few_lesions_leave_the_value_and_refuse_the_interval(
    train: Dataset, wide: Extractor
) -> None:
    """Ten images of the rare class are two lesions here: a value, but no idea of its spread."""
    few = dataset("val", (60, 30, 10), seed=0, images_a_lesion=5)
    results = evaluate_images(lesions(few.labels, 2), few.labels, few, train, wide)
    rare = by_class(results, "kid768")["rare"]
    assert rare.value is not None
    assert rare.floor is not None
    assert rare.interval is None
    assert "2 independent real units" in rare.reason


def test_a_class_with_one_image_has_no_kid_but_the_others_do(
    train: Dataset, wide: Extractor
) -> None:
    lonely = dataset("val", (60, 30, 1), seed=0)
    results = evaluate_images(lesions(lonely.labels, 2), lonely.labels, lonely, train, wide)
    found = by_class(results, "kid768")
    assert found["rare"].value is None
    assert "1 real and 1 fake" in found["rare"].reason
    assert found["dark"].value is not None


def test_without_train_there_is_no_floor_and_with_too_little_a_reason(
    reference: Dataset, wide: Extractor
) -> None:
    labels = reference.labels
    fakes = lesions(labels, 2)
    kid = evaluate_images(fakes, labels, reference, None, wide, per_class=False)[1]
    assert (kid.floor, kid.reason) == (None, None)
    short = dataset("train", (150, 80, 9), seed=1)
    found = by_class(evaluate_images(fakes, labels, reference, short, wide), "kid768")
    for scope in (None, "rare"):
        assert found[scope].floor is None
        assert found[scope].value is not None
        assert found[scope].interval is not None
        assert "fewer training images than fakes" in found[scope].reason
    assert found["dark"].floor is not None


def test_the_same_seed_gives_the_same_numbers_and_another_seed_other_draws(
    reference: Dataset, train: Dataset, wide: Extractor
) -> None:
    def run(seed: int) -> list[RecipeResult]:
        labels = reference.labels
        return evaluate_images(lesions(labels, 2), labels, reference, train, wide, seed)

    assert run(0) == run(0)
    first, other = by_class(run(0), "kid768")[None], by_class(run(1), "kid768")[None]
    assert first.value == other.value
    assert first.floor != other.floor
    assert first.interval != other.interval


def test_progress_names_each_stage(reference: Dataset, train: Dataset) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def note(stage: str, done: int, total: int) -> None:
        seen[stage] = (done, total)

    extractor = load_extractor(name="tiny", cache=False)
    evaluate_images(
        lesions(reference.labels, 2), reference.labels, reference, train, extractor, progress=note
    )
    assert seen == {"real": (100, 100), "fake": (100, 100), "train": (260, 260)}


# ---- fidelity and diversity ----


def test_precision_sees_noise_recall_sees_collapse_and_both_floors_are_high(
    reference: Dataset, train: Dataset, wide: Extractor
) -> None:
    labels = reference.labels
    good = lesions(labels, seed=2)
    collapsed = good[np.repeat(np.arange(10), 10)]
    noise = np.random.default_rng(1).integers(0, 256, good.shape, dtype=np.uint8)
    found = []
    for fakes in (good, collapsed, noise):
        results = evaluate_images(fakes, labels, reference, train, wide, per_class=False)
        found.append({r.recipe.removesuffix("768"): r for r in results})
    at_good, at_collapsed, at_noise = found
    for name in ("precision", "recall", "density", "coverage"):
        assert at_good[name].value > 0.7 * at_good[name].floor > 0.4
        assert {one[name].floor for one in found} == {at_good[name].floor}
        assert at_noise[name].value < 0.1
    assert at_collapsed["precision"].value > 0.7
    assert at_collapsed["recall"].value < 0.3
    assert at_collapsed["coverage"].value < 0.6 * at_good["coverage"].value


def test_the_side_with_more_images_is_cut_to_the_others_number_and_mix(
    reference: Dataset, train: Dataset, wide: Extractor
) -> None:
    more = np.repeat(np.arange(3), reference_class_mix(reference.labels, 3, 150))
    results = evaluate_images(lesions(more, 2), more, reference, train, wide, per_class=False)
    cut = [r for r in results if r.recipe in ("precision768", "coverage768")]
    assert [(r.n_real, r.n_fake) for r in cut] == [(100, 100)] * 2
    assert all(0 < r.floor <= 1 for r in cut)


def test_precision_and_recall_need_more_images_than_neighbours(
    train: Dataset, wide: Extractor
) -> None:
    few = dataset("val", (3, 1, 1), seed=0)
    results = evaluate_images(lesions(few.labels, 2), few.labels, few, train, wide, per_class=False)
    (precision,) = by_class(results, "precision768").values()
    assert (precision.value, precision.floor) == (None, None)
    assert precision.reason == "5 images have no 5 neighbours each; more than 5 are needed"


def test_without_enough_training_images_precision_stands_and_its_floor_says_why(
    reference: Dataset, wide: Extractor
) -> None:
    labels, short = reference.labels, dataset("train", (150, 80, 9), seed=1)
    for train, reason in ((None, None), (short, "no floor: a class has fewer training")):
        results = evaluate_images(lesions(labels, 2), labels, reference, train, wide)
        (precision,) = by_class(results, "precision768").values()
        assert precision.value is not None
        assert precision.floor is None
        assert precision.reason is None if reason is None else reason in precision.reason


# ---- what cannot be compared ----


def test_another_class_mix_is_refused(reference: Dataset, tiny: Extractor) -> None:
    labels = np.zeros(100, dtype=int)
    with pytest.raises(ValueError, match=r"are \[100, 0, 0\], expected \[60, 30, 10\]"):
        evaluate_images(lesions(labels, 2), labels, reference, None, tiny)


def test_another_size_or_other_classes_are_refused(
    reference: Dataset, train: Dataset, tiny: Extractor
) -> None:
    labels, fakes = reference.labels, lesions(reference.labels, 2)
    with pytest.raises(ValueError, match=r"fakes are \(6, 6, 3\), expected \(12, 12, 3\)"):
        evaluate_images(fakes[:, ::2, ::2], labels, reference, train, tiny)
    with pytest.raises(ValueError, match="99 labels for 100 fakes"):
        evaluate_images(fakes, labels[:99], reference, train, tiny)
    other = Dataset(train.images, train.labels, ("a", "b", "c"), train.groups, train.ids, "train")
    with pytest.raises(ValueError, match="train has classes"):
        evaluate_images(fakes, labels, reference, other, tiny)
