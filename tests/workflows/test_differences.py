"""Differences within a class are those of its images alone."""

from pathlib import Path

import numpy as np
import pytest

from hqgan.config import load_config
from hqgan.data import Dataset
from hqgan.evaluation import kid
from hqgan.evaluation.statistics import Reference, kid_difference
from hqgan.workflows.cell import Cell, Recipe
from hqgan.workflows.differences import MIN_CLASS_IMAGES, Differences

EXACT = 1e-9  # the same sums in another order
DIM = 5
COUNTS = (MIN_CLASS_IMAGES, MIN_CLASS_IMAGES - 1, MIN_CLASS_IMAGES + 20)
LABELS = np.repeat(np.arange(len(COUNTS)), COUNTS)


def normal(seed: int, shift: float = 0.0) -> np.ndarray:
    return shift + np.random.default_rng(seed).standard_normal((len(LABELS), DIM))


def cell(folder: Path, features: np.ndarray | None) -> Cell:
    folder.mkdir()
    recipe = Recipe("val", len(LABELS), 10, "tiny", 0)
    config = load_config("dcgan")
    found = Cell(folder.name, config, "embedded", None, folder, folder, recipe)
    if features is not None:
        np.savez(folder / found.FEATURES, features=features, labels=LABELS)
    return found


@pytest.fixture(scope="module")
def reference() -> Dataset:
    lesions = np.array([f"{i // 2:03d}" for i in range(len(LABELS))])
    images = np.zeros((len(LABELS), 1, 1, 3), np.uint8)
    return Dataset(images, LABELS, ("a", "b", "c"), lesions, lesions, "val")


def test_classes_with_enough_real_images_have_one_and_the_others_have_none(
    reference: Dataset, tmp_path: Path
) -> None:
    real, theirs = normal(0), normal(2, 0.5)
    mine = [normal(3), normal(4)]
    cells = [cell(tmp_path / f"mine{i}", features) for i, features in enumerate(mine)]
    differences = Differences(real, reference, cells)
    overall, found = differences.of([cell(tmp_path / "theirs", theirs)])
    against = Reference(real, reference.groups)
    assert overall == kid_difference([against.sums(theirs)], [against.sums(x) for x in mine])
    assert [one["class"] for one in found] == ["a", "c"]
    for one, label in zip(found, (0, 2), strict=True):
        rows = label == LABELS
        expected = kid(real[rows], theirs[rows])
        expected -= np.mean([kid(real[rows], x[rows]) for x in mine])
        assert one["value"] == pytest.approx(expected, abs=EXACT)
        low, high = one["interval"]
        assert low < one["value"] < high


def test_a_model_without_a_snapshot_has_reasons_instead_of_numbers(
    reference: Dataset, tmp_path: Path
) -> None:
    differences = Differences(normal(0), reference, [cell(tmp_path / "mine", normal(1))])
    overall, found = differences.of([cell(tmp_path / "dead", None)])
    for one in (overall.note, *(one["note"] for one in found)):
        assert one == "a model has no trained network"
