"""Leaks between splits are found, by lesion and by pixels, and named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hqgan.data import Dataset, load_dataset
from hqgan.data.leaks import fingerprints, missing_classes, overlap, require_separate
from hqgan.errors import DataError
from small_images import picture

SIZE = 16


def split(name: str, first: int, labels: tuple[int, ...] = (0, 0, 1)) -> Dataset:
    """Pictures of their own, numbered from `first`."""
    numbers = range(first, first + len(labels))
    names = np.array([f"{name}/{number}" for number in numbers])
    images = np.stack([picture(number, SIZE, SIZE) for number in numbers])
    return Dataset(images, np.array(labels), ("mel", "nv"), names, names, name)


TRAIN, VAL, TEST = split("train", 0), split("val", 10), split("test", 20)


def with_image(dataset: Dataset, image: np.ndarray) -> Dataset:
    return replace(dataset, images=np.concatenate([dataset.images[:-1], image[None]]))


def test_splits_that_share_nothing_pass() -> None:
    require_separate(TRAIN, VAL, TEST)


def test_a_lesion_in_two_splits_is_named_with_what_to_do() -> None:
    torn = replace(TEST, groups=np.array(["a", "val/11", "b"]))
    with pytest.raises(DataError, match=r"1 lesion is \(val/11\) in both val and test.*one split"):
        require_separate(TRAIN, VAL, torn)


def test_of_many_offenders_the_first_are_named_and_the_rest_counted() -> None:
    many = split("train", 0, (0, 1) * 4)
    other = replace(split("val", 50, (0, 1) * 4), groups=many.groups)
    with pytest.raises(
        DataError, match=r"8 lesions are \(train/0; train/1; train/2 and 5 more\) in both"
    ):
        require_separate(many, other)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_same_image_in_two_splits_is_found_however_it_was_turned(
    turns: int, mirrored: bool
) -> None:
    copy = np.rot90(TRAIN.images[0], turns)
    leaking = with_image(TEST, copy[:, ::-1] if mirrored else copy)
    with pytest.raises(DataError, match=r"1 image is \(train/0 \(train\) = test/22 \(test\)\)"):
        require_separate(TRAIN, VAL, leaking)


def test_a_duplicate_within_a_split_is_no_leak() -> None:
    require_separate(with_image(TRAIN, TRAIN.images[0]), VAL, TEST)


def test_one_grey_level_makes_another_image() -> None:
    other = TRAIN.images[0].copy()
    other[3, 4, 1] ^= 1
    require_separate(TRAIN, with_image(VAL, other))
    assert overlap(set(fingerprints(TRAIN.images)), with_image(VAL, other)) == []


def test_overlap_gives_the_ids_of_images_that_were_seen() -> None:
    seen = np.concatenate([TRAIN.images, VAL.images[1:2, ::-1]])
    assert overlap(set(fingerprints(seen)), VAL) == ["val/11"]
    assert overlap(set(fingerprints(TRAIN.images)), TRAIN) == TRAIN.ids.tolist()


def test_a_split_that_lacks_a_class_is_said_so() -> None:
    assert missing_classes(TRAIN, VAL) == []
    assert missing_classes(TRAIN, split("val", 10, (0, 0))) == [
        "val has no image of nv: nothing is known of it there."
    ]


def test_the_shipped_split_of_ham10000_is_separate(ham10000: Path) -> None:
    require_separate(*(load_dataset(ham10000, name, 32) for name in ("train", "val", "test")))
