"""A fraction of a data set is a fraction of its lesions."""

import numpy as np
import pytest

from hqgan.data import Dataset
from hqgan.data.fractions import lesion_fraction
from hqgan.errors import DataError


def lesions(counts: tuple[int, ...], images: int = 3) -> Dataset:
    """`counts` lesions of each class with `images` images each."""
    labels = np.repeat(np.arange(len(counts)), np.array(counts) * images)
    groups = np.repeat([f"lesion-{i}" for i in range(sum(counts))], images)
    ids = np.array([f"image-{i}" for i in range(len(labels))])
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Dataset(
        images=np.broadcast_to(pixels, (len(labels), 16, 16, 3)).copy(),
        labels=labels,
        classes=tuple("abcdefg"[: len(counts)]),
        groups=groups,
        ids=ids,
        split="train",
        metadata={"skin": ids},
    )


def test_a_lesion_is_there_with_all_its_images_or_not_at_all() -> None:
    few = lesion_fraction(lesions((20, 10)), 0.3, seed=0)
    assert set(np.unique(few.groups, return_counts=True)[1].tolist()) == {3}
    assert few.counts.tolist() == [18, 9]


def test_every_column_keeps_to_its_image() -> None:
    few = lesion_fraction(lesions((20, 10)), 0.3, seed=0)
    numbers = [int(name.removeprefix("image-")) for name in few.ids]
    assert few.images[:, 0, 0, 0].tolist() == numbers
    assert few.metadata["skin"].tolist() == few.ids.tolist()


def test_every_class_keeps_two_lesions() -> None:
    assert lesion_fraction(lesions((40, 5, 2)), 0.05, seed=1).counts.tolist() == [6, 6, 6]


def test_a_smaller_fraction_is_part_of_a_larger_one() -> None:
    data = lesions((30, 12))
    kept = [set(lesion_fraction(data, f, seed=3).ids) for f in (0.1, 0.25, 0.5, 1.0)]
    assert kept[0] < kept[1] < kept[2] < kept[3]


def test_another_seed_draws_other_lesions_and_the_same_seed_the_same() -> None:
    data = lesions((30, 12))
    one, again, other = (lesion_fraction(data, 0.5, seed).ids.tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_the_whole_is_the_data_set_itself() -> None:
    data = lesions((4, 2))
    assert lesion_fraction(data, 1.0, seed=5) is data


def test_a_class_of_one_lesion_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="class b has 1 lesion in"):
        lesion_fraction(lesions((4, 1)), 0.5, seed=0)
