"""The embedded lesions: seeded, adjustable, and with classes that can be told apart but overlap."""

import numpy as np
import pytest

from hqgan.data import lesions


def test_an_image_is_a_function_of_its_seed_alone() -> None:
    few, _ = lesions.generate((2, 1, 1, 1), 32)
    many, labels = lesions.generate((3, 2, 4, 2), 32)
    assert np.array_equal(few[:2], many[:2])
    assert np.array_equal(few[3], many[labels == 2][0])


def test_splits_seeds_rows_and_classes_all_differ() -> None:
    draws = [
        lesions.seed_of(split, label, row, seed)
        for split in ("train", "val") for label in (0, 1) for row in (0, 1) for seed in (0, 1)
    ]  # fmt: skip
    images = {lesions.draw(0, 16, seed).tobytes() for seed in draws}
    assert len(images) == len(draws)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_any_size_shows_the_same_lesion(size: int) -> None:
    reference = lesions.draw(1, 16, (1, 2, 3, 4)).astype(float)
    image = lesions.draw(1, size, (1, 2, 3, 4)).astype(float)
    factor = size // 16
    reduced = image.reshape(16, factor, 16, factor, 3).mean((1, 3))
    assert np.corrcoef(reduced.ravel(), reference.ravel())[0, 1] > 0.9


def test_counts_are_honoured() -> None:
    _, labels = lesions.generate((1, 0, 3, 2), 8)
    assert np.bincount(labels, minlength=4).tolist() == [1, 0, 3, 2]
    with pytest.raises(ValueError, match="4 counts"):
        lesions.generate((1, 2), 8)


def test_classes_differ_in_colour_yet_overlap() -> None:
    """A linear classifier on mean colours is far above chance and below perfection."""
    images, labels = lesions.generate((60, 60, 60, 60), 16)
    middle = images[:, 4:12, 4:12].reshape(240, -1, 3) / 255.0
    features = np.concatenate([middle.mean(1), middle.std(1), np.ones((240, 1))], axis=1)
    train = np.arange(240) % 2 == 0
    weights, *_ = np.linalg.lstsq(features[train], np.eye(4)[labels[train]], rcond=None)
    accuracy = ((features[~train] @ weights).argmax(1) == labels[~train]).mean()
    assert 0.5 < accuracy < 0.98


def test_images_have_a_lesion_darker_than_the_skin_around_it() -> None:
    images, _ = lesions.generate((20, 20, 20, 20), 32)
    brightness = images.mean((-1,))
    middle = brightness[:, 12:20, 12:20].mean((1, 2))
    border = np.concatenate(
        [brightness[:, :3].reshape(80, -1), brightness[:, -3:].reshape(80, -1)], 1
    )
    assert (middle < border.mean(1)).mean() > 0.9
