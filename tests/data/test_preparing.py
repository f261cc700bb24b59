"""`prepare` writes what a model sees and which lesion it shows, and overwrites nothing."""

import csv

import numpy as np
import pytest
from PIL import Image

from hqgan.data import load_dataset, prepare
from hqgan.errors import DataError

SIZE = 8


@pytest.fixture
def prepared(tmp_path):
    out = tmp_path / "out"
    return out, prepare("embedded", out, SIZE)


def test_written_images_are_the_pixels_a_model_is_trained_on(prepared):
    out, _ = prepared
    with (out / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    train = load_dataset("embedded", "train", SIZE)
    of_train = [row for row in rows if row["split"] == "train"]
    assert [row["id"] for row in of_train] == train.ids.tolist()
    assert [row["lesion"] for row in of_train] == train.groups.tolist()
    for index in (0, len(train) - 1):
        stored = np.asarray(Image.open(out / of_train[index]["file"]))
        np.testing.assert_array_equal(stored, train.images[index])


def test_the_folders_are_a_data_set_with_the_same_splits_and_classes(prepared):
    out, result = prepared
    again = load_dataset(out, "val", SIZE)
    original = load_dataset("embedded", "val", SIZE)
    assert again.classes == original.classes
    assert again.counts.tolist() == original.counts.tolist()
    assert result.images["val"] == len(original)


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        prepare("embedded", tmp_path, SIZE)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
