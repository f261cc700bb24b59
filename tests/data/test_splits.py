"""Splits are by group, near 70/10/20, present in every class, and stable when data is added."""

import hypothesis.strategies as st
from hypothesis import given

from hqgan.data.splits import assign_splits, carve_validation, shipped_split

SHARE_TOLERANCE = 0.05  # binomial deviation of 600 groups, more than 2.5 sigma


def groups(count: int, classes: int = 3) -> dict[str, int]:
    return {f"lesion-{number}": number % classes for number in range(count)}


def test_shares_are_70_10_20_within_each_class() -> None:
    labels = groups(1800)
    splits = assign_splits(labels)
    for kind in range(3):
        own = [splits[group] for group, label in labels.items() if label == kind]
        for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
            assert abs(own.count(name) / len(own) - share) < SHARE_TOLERANCE


def test_adding_groups_moves_no_earlier_one() -> None:
    before, after = assign_splits(groups(300)), assign_splits(groups(400))
    assert all(after[group] == split for group, split in before.items())


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 3), max_size=30))
def test_small_classes_reach_train_first_then_test_then_val(labels: dict[str, int]) -> None:
    splits = assign_splits(labels)
    assert splits.keys() == labels.keys()
    for kind in set(labels.values()):
        own = [splits[group] for group, label in labels.items() if label == kind]
        assert set(own) >= set(("train", "test", "val")[: len(own)])


def test_order_of_the_groups_does_not_matter() -> None:
    labels = groups(50)
    assert assign_splits(labels) == assign_splits(dict(reversed(labels.items())))


def test_validation_is_carved_from_at_least_one_group_but_never_the_only_one() -> None:
    assert carve_validation(["only"]) == set()
    assert len(carve_validation(["one", "two"])) == 1
    assert 60 < len(carve_validation(f"g{n}" for n in range(800))) < 140


def test_the_shipped_split_has_the_published_counts() -> None:
    splits = list(shipped_split().values())
    assert [splits.count(name) for name in ("train", "val", "test")] == [5992, 824, 1710]
