"""What diversity must say about generators that words can describe, and that it is exact."""

import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from hqgan.data import Dataset, lesions
from hqgan.errors import HqganError
from hqgan.evaluation import Extractor, load_extractor
from hqgan.evaluation.diversity import evaluate_diversity, intra_class_distance, ms_ssim
from hqgan.evaluation.metrics import TooFewImages

SIDE = 32
COUNTS = (12, 12, 12, 12)
SINGLE = 1e-5  # similarities are computed in single precision
SAME = 0.25  # of the value: what another draw of twelve images changes


def dataset(seed: int = 0, split: str = "val") -> Dataset:
    images, labels = lesions.generate(COUNTS, SIDE, split=split, seed=seed)
    names = np.array([f"{split}{i}" for i in range(len(labels))])
    return Dataset(images, labels, lesions.CLASSES, names, names, split)


@pytest.fixture(scope="module")
def real() -> Dataset:
    return dataset()


@pytest.fixture(scope="module")
def tiny() -> Extractor:
    return load_extractor(name="tiny")


def overall(images: np.ndarray, labels: np.ndarray, real: Dataset, tiny: Extractor) -> dict:
    results = evaluate_diversity(images, labels, real, tiny)
    return {one.recipe: one for one in results if one.class_name is None}


# ---- conventions ----


def test_a_collapsed_generator_is_not_diverse(real: Dataset, tiny: Extractor) -> None:
    found = overall(real.images[12 * real.labels], real.labels, real, tiny)
    assert found["ms_ssim"].value == pytest.approx(1, abs=SINGLE)
    assert found["ms_ssim"].floor < 0.8
    assert found["intra_class_distance"].value < 0.01 * found["intra_class_distance"].floor


def test_a_copied_training_set_is_as_diverse_as_real_images(real: Dataset, tiny: Extractor) -> None:
    """Diversity does not see copying: that is what `memorisation` is for."""
    train = dataset(split="train")
    for one in overall(train.images, train.labels, real, tiny).values():
        assert one.value == pytest.approx(one.floor, rel=SAME)


def test_shuffled_labels_make_classes_look_more_diverse(real: Dataset, tiny: Extractor) -> None:
    fresh = dataset(seed=1)
    shuffled = np.random.default_rng(0).permutation(fresh.labels)
    honest = overall(fresh.images, fresh.labels, real, tiny)["intra_class_distance"]
    liar = overall(fresh.images, shuffled, real, tiny)["intra_class_distance"]
    assert liar.value > 1.05 * honest.value


def test_pure_noise_is_most_diverse_of_all_in_structure(real: Dataset, tiny: Extractor) -> None:
    noise = np.random.default_rng(0).integers(0, 256, real.images.shape, dtype=np.uint8)
    found = overall(noise, real.labels, real, tiny)["ms_ssim"]
    assert found.value < 0.1 < found.floor


# ---- exactness ----


def test_the_distance_is_scipys() -> None:
    features = np.random.default_rng(0).normal(100, 1, (20, 5))
    assert intra_class_distance(features) == pytest.approx(pdist(features).mean())


def test_images_of_one_lesion_are_no_pair(real: Dataset) -> None:
    twins, groups = np.repeat(real.images[:6], 2, axis=0), np.repeat(np.arange(6), 2)
    assert ms_ssim(twins, 0, groups) < ms_ssim(twins, 0)
    assert ms_ssim(twins, 0, groups) == pytest.approx(ms_ssim(real.images[:6], 0), abs=SINGLE)
    features = np.repeat(np.random.default_rng(0).random((6, 3)), 2, axis=0)
    assert intra_class_distance(features, groups) == pytest.approx(pdist(features[::2]).mean())


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_the_scales_fit_the_size(size: int) -> None:
    images, _ = lesions.generate((2, 0, 0, 0), size)
    assert 0 < ms_ssim(images, 0) < 1
    assert ms_ssim(images[[0, 0]], 0) == pytest.approx(1, abs=SINGLE)


# ---- completeness and refusals ----


def test_each_class_has_its_numbers_and_a_class_without_a_pair_says_why(
    real: Dataset, tiny: Extractor
) -> None:
    rows = np.flatnonzero((real.labels < 3) | (np.arange(len(real)) == 40))
    results = evaluate_diversity(real.images[rows], real.labels[rows], real, tiny)
    assert [(one.recipe, one.class_name) for one in results] == [
        (recipe, name)
        for recipe in ("ms_ssim", "intra_class_distance")
        for name in (None, *lesions.CLASSES)
    ]
    for whole, *classes in (results[:5], results[5:]):
        assert (classes[3].value, classes[3].n_fake) == (None, 1)
        assert "no pair" in classes[3].reason
        assert whole.reason == "without vascular"
        assert whole.value == pytest.approx(np.mean([one.value for one in classes[:3]]))
        assert (whole.n_real, whole.n_fake) == (36, 36)
        assert whole.as_json()["extractor"] == str(tiny)


def test_what_cannot_be_measured_is_refused(real: Dataset, tiny: Extractor) -> None:
    with pytest.raises(TooFewImages, match="1 images hold no pair"):
        ms_ssim(real.images[:1], 0)
    with pytest.raises(ValueError, match="8 pixels wide"):
        ms_ssim(real.images[:, :8, :8], 0)
    with pytest.raises(ValueError, match="2 labels for 3 images"):
        intra_class_distance(np.zeros((3, 2)), [1, 2])
    with pytest.raises(ValueError, match="fakes are"):
        evaluate_diversity(real.images[:, ::2, ::2], real.labels, real, tiny)


def test_a_broken_torchvision_is_explained(real: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with pytest.raises(HqganError, match="pip uninstall torchvision"):
        ms_ssim(real.images, 0)
