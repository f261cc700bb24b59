"""`prepare` writes what a model sees and which lesion it shows, and overwrites nothing."""

import csv
import os
import sys

import numpy as np
import pytest
from PIL import Image

from hqgan.data import class_folders, load_dataset, prepare
from hqgan.errors import DataError
from small_images import write_csv, write_picture

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


def test_read_back_an_image_still_shows_the_lesion_it_showed(tmp_path):
    rows = [(f"p{number}", "ab"[number % 2], f"lesion{number // 4}") for number in range(24)]
    for number, (name, _, _) in enumerate(rows):
        write_picture(tmp_path / "data" / f"{name}.png", number)
    write_csv(tmp_path / "data" / "labels.csv", ("image_id", "dx", "lesion_id"), rows)
    prepare(tmp_path / "data", tmp_path / "out", SIZE)
    for split in ("train", "val", "test"):
        before = load_dataset(tmp_path / "data", split, SIZE)
        after = load_dataset(tmp_path / "out", split, SIZE)
        assert lesion_of(after) == lesion_of(before)


def lesion_of(dataset):
    """Lesion by the pixels of the image, for the order is that of the ids."""
    pixels = (image.tobytes() for image in dataset.images)
    return dict(zip(pixels, dataset.groups.tolist(), strict=True))


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        prepare("embedded", tmp_path, SIZE)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_class_names_cannot_lead_out_of_the_folder_nor_meet_in_one():
    assert class_folders(("../../etc", "a/b\\c", "..", ".hidden", "x\0y")) == (
        *("_.._etc", "a_b_c", "unnamed", "hidden", "x_y"),
    )
    assert class_folders(("a/b", "a_b", "A_B", ".")) == ("a_b", "a_b_", "A_B__", "unnamed")


def test_a_class_called_dot_dot_stays_in_the_folder(tmp_path):
    for number, name in enumerate(("one", "two")):
        write_picture(tmp_path / "data" / f"{name}.png", number)
    rows = (("one", "..", "train"), ("two", "a/b", "val"))
    write_csv(tmp_path / "data" / "labels.csv", ("image_id", "dx", "split"), rows)
    prepare(tmp_path / "data", tmp_path / "out", SIZE)
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        written = {row["class"]: row["file"] for row in csv.DictReader(file)}
    assert written == {"..": "train/unnamed/000000.png", "a/b": "val/a_b/000000.png"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_names_that_are_no_text_keep_their_bytes(tmp_path):
    odd = os.fsdecode(b"\xff\xfe")
    for number, name in enumerate((f"a/{odd}.png", f"{odd}/b.png")):
        write_picture(tmp_path / "data" / "train" / name, number)
    prepare(tmp_path / "data", tmp_path / "out", SIZE)
    assert b"train/a/\xff\xfe.png" in (tmp_path / "out" / "manifest.csv").read_bytes()
    assert load_dataset(tmp_path / "data", "train", SIZE).checksum
