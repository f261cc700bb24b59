"""Whatever the user points at: the right images and labels, and nothing dropped in silence."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hqgan.data import Source, open_source
from hqgan.data.splits import shipped_split
from hqgan.errors import DataError, UsageError
from small_images import write_csv, write_npz, write_picture

HAM_COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")


def labels_by_id(source: Source) -> dict[str, str]:
    return {record.id: source.classes[record.label] for record in source.records}


def reasons(source: Source) -> dict[str, str]:
    return {item.id: item.reason for item in source.skipped}


def test_class_index_is_the_position_of_the_sorted_folder_name(
    class_folders: Callable[..., Path],
) -> None:
    source = open_source(class_folders(nv=3, bcc=2, mel=4))
    assert source.classes == ("bcc", "mel", "nv")
    assert labels_by_id(source)["mel/002.png"] == "mel"
    assert len(source.records) == 9
    assert any("No lesion ids" in text for text in source.warnings)


def test_split_folders_are_honoured_whatever_their_spelling(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "Validation", "test")):
        for name in ("a", "b"):
            write_picture(tmp_path / split / name / f"{split}{number}.jpg", number)
    source = open_source(tmp_path)
    assert source.classes == ("a", "b")
    assert {record.id: record.split for record in source.records}[
        "Validation/a/Validation1.jpg"
    ] == ("val")
    assert source.counts()["train"] == {"a": 1, "b": 1}


def test_a_missing_val_folder_is_carved_from_train_and_said_so(tmp_path: Path) -> None:
    for number in range(40):
        write_picture(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", number)
    write_picture(tmp_path / "test" / "a" / "t.png", 99)
    source = open_source(tmp_path)
    splits = {split: len(source.split(split)) for split in ("train", "val", "test")}
    assert splits["test"] == 1
    assert 0 < splits["val"] < splits["train"]
    assert "no val" in source.split_origin


def test_files_that_are_no_images_or_lie_elsewhere_are_reported(
    class_folders: Callable[..., Path],
) -> None:
    folder = class_folders(a=2, b=2)
    (folder / "a" / "notes.txt").write_text("hello")
    write_picture(folder / "stray.png", 1)
    assert set(reasons(open_source(folder))) == {"a/notes.txt", "stray.png"}


def test_links_to_folders_are_followed_but_a_loop_ends(class_folders: Callable[..., Path]) -> None:
    folder = class_folders(a=2, b=2)
    (folder / "a" / "loop").symlink_to(folder / "a", target_is_directory=True)
    (folder / "c").symlink_to(folder / "b", target_is_directory=True)
    source = open_source(folder)
    assert source.counts()["train"].keys() == {"a", "b", "c"}
    assert len(source.records) == 6


def test_official_ham10000_gets_the_shipped_split_by_lesion(tmp_path: Path) -> None:
    ids = list(shipped_split())[:6]
    for number, name in enumerate(ids):
        write_picture(tmp_path / f"HAM10000_images_part_{number % 2 + 1}" / f"{name}.jpg", number)
    write_picture(tmp_path / "HAM10000_images_part_1" / "ISIC_9999999.jpg", 9)
    rows = [(f"L{i}", name, "nv" if i % 2 else "mel", "histo", "45.0", "male", "back")
            for i, name in enumerate([*ids, "ISIC_9999999"])]  # fmt: skip
    table = write_csv(tmp_path / "HAM10000_metadata.csv", HAM_COLUMNS, rows)
    for path in (table, tmp_path):
        source = open_source(path)
        assert {r.id: r.split for r in source.records} == {
            name: shipped_split()[name] for name in ids
        }
        assert "not in the split that ships" in reasons(source)["ISIC_9999999"]
        assert dict(source.records[0].metadata)["age"] == "45.0"
        assert source.records[0].group.startswith("L")


def test_dataverse_writes_tabs_and_no_suffix(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.jpg", 1)
    write_picture(tmp_path / "y.jpg", 2)
    text = "lesion_id\timage_id\tdx\nL1\tx\tnv\nL2\ty\tmel\n"
    (tmp_path / "HAM10000_metadata").write_text(text)
    assert labels_by_id(open_source(tmp_path)) == {"x": "nv", "y": "mel"}


def test_the_split_column_of_a_table_wins(tmp_path: Path) -> None:
    rows = [(f"i{n}", f"L{n}", "ab"[n % 2], ("train", "val", "test")[n % 3]) for n in range(6)]
    for row in rows:
        write_picture(tmp_path / f"{row[0]}.jpg", int(row[0][1:]))
    write_csv(tmp_path / "metadata.csv", ("image_id", "lesion_id", "dx", "split"), rows)
    source = open_source(tmp_path)
    assert {record.id: record.split for record in source.records} == {r[0]: r[3] for r in rows}
    assert source.split_origin == "column split of metadata.csv"


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    write_picture(tmp_path / "i.jpg", 1)
    (tmp_path / "m.csv").write_text("\ufeffimage_id,lesion_id,dx\ni,L,nv\n", encoding="utf-8")
    assert labels_by_id(open_source(tmp_path / "m.csv")) == {"i": "nv"}


def test_isic_one_hot_with_its_lesion_table_splits_by_lesion(tmp_path: Path) -> None:
    names = [f"ISIC_{number:03d}" for number in range(24)]
    for number, name in enumerate(names):
        write_picture(tmp_path / "input" / f"{name}.jpg", number)
    truth = [(n, *(1.0 if k == i % 3 else 0.0 for k in range(4))) for i, n in enumerate(names)]
    truth.append(("ISIC_900", 0.0, 0.0, 0.0, 0.0))
    write_csv(tmp_path / "GroundTruth.csv", ("image", "MEL", "NV", "BCC", "UNK"), truth)
    lesions = [(name, f"L{number // 2}") for number, name in enumerate(names)]
    write_csv(tmp_path / "Metadata.csv", ("image", "lesion_id"), lesions)
    source = open_source(tmp_path)
    assert source.classes == ("BCC", "MEL", "NV")  # nothing is UNK
    assert labels_by_id(source)["ISIC_001"] == "NV"
    assert reasons(source) == {"ISIC_900": "0 of the class columns are 1"}
    homes: dict[str, set[str]] = {}
    for record in source.records:
        homes.setdefault(record.group, set()).add(record.split)
    assert len(homes) == 12
    assert all(len(splits) == 1 for splits in homes.values())


def test_fitzpatrick_labels_are_chosen_and_skin_type_is_metadata(tmp_path: Path) -> None:
    header = (
        "md5hash",
        "fitzpatrick_scale",
        "label",
        "nine_partition_label",
        "three_partition_label",
    )
    rows = [
        ("h1", 3, "acne", "inflammatory", "non-neoplastic"),
        ("h2", -1, "melanoma", "mm", "mal"),
    ]
    for number, row in enumerate(rows):
        write_picture(tmp_path / f"{row[0]}.jpg", number)
    table = write_csv(tmp_path / "fitzpatrick17k.csv", header, rows)
    assert open_source(table).classes == ("acne", "melanoma")
    source = open_source(table, label="three_partition_label")
    assert labels_by_id(source) == {"h1": "non-neoplastic", "h2": "mal"}
    assert {r.id: dict(r.metadata)["skin_type"] for r in source.records} == {"h1": "3", "h2": ""}
    with pytest.raises(UsageError, match="nine_partition_label"):
        open_source(table, label="skin")


@pytest.mark.parametrize("grey", [False, True])
def test_medmnist_keeps_its_own_splits_and_labels(tmp_path: Path, grey: bool) -> None:
    source = open_source(write_npz(tmp_path / "some.npz", grey))
    assert source.classes == ("0", "1")
    assert source.counts()["train"] == {"0": 3, "1": 3}
    assert len(source.split("test")) == 4


def test_volumes_and_foreign_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    with pytest.raises(DataError, match="lacks train_images"):
        open_source(tmp_path / "foreign.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK not really")
    with pytest.raises(DataError, match="damaged, or no npz"):
        open_source(tmp_path / "broken.npz")


def test_embedded_needs_no_path() -> None:
    source = open_source(None)
    assert source.kind == open_source("embedded").kind == "embedded"
    assert len(source.classes) >= 4


@pytest.mark.parametrize("path", [os.devnull, "~nobody-of-this-name/images"])
def test_what_is_neither_file_nor_folder_is_refused(path: str) -> None:
    with pytest.raises(DataError, match=r"There is no .*Expected a folder"):
        open_source(path)


def test_a_missing_path_says_what_could_be_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*nowhere.*sub-folder per class"):
        open_source(tmp_path / "nowhere")


def test_an_empty_class_folder_is_named(class_folders: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="class folder hollow"):
        open_source(class_folders(a=2, hollow=0))


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.png", 1)
    with pytest.raises(DataError, match="no class folders"):
        open_source(tmp_path)


def test_unknown_columns_list_what_was_seen_and_what_is_known(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ("picture", "disease"), [("x", "y")])
    for path in (table, tmp_path):
        with pytest.raises(DataError, match=r"picture, disease.*image_id, dx.*md5hash"):
            open_source(path)


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ("image_id", "dx", "dx"), [("x", "y", "z")])
    with pytest.raises(DataError, match="dx more than once"):
        open_source(table)


def test_labels_without_any_image_name_the_first_and_the_place(tmp_path: Path) -> None:
    rows = [("one", "L", "nv"), ("two", "L", "nv")]
    table = write_csv(tmp_path / "m.csv", ("image_id", "lesion_id", "dx"), rows)
    with pytest.raises(DataError) as error:
        open_source(table)
    assert "The first is one" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_every_row_and_file_left_out_has_its_reason(tmp_path: Path) -> None:
    for name in ("good", "unlabelled"):
        write_picture(tmp_path / "p1" / f"{name}.jpg", 1)
    write_picture(tmp_path / "p2" / "good.jpg", 2)
    rows = [("good", "L1", "nv"), ("good", "L1", "nv"), ("lost", "L2", "nv"), ("blank", "L3", "")]
    write_csv(tmp_path / "m.csv", ("image_id", "lesion_id", "dx"), rows)
    left = sorted((item.id, item.reason) for item in open_source(tmp_path).skipped)
    assert left == [
        ("blank", "the column dx is empty"),
        ("good", "a second row of the same image in m.csv"),
        ("lost", f"no image file below {tmp_path}"),
        ("p1/unlabelled.jpg", "no usable row in m.csv"),
        ("p2/good.jpg", "same name as p1/good.jpg"),
    ]


def test_two_labels_for_one_image_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.jpg", 1)
    rows = [("x", "L", "nv"), ("x", "L", "mel")]
    write_csv(tmp_path / "m.csv", ("image_id", "lesion_id", "dx"), rows)
    with pytest.raises(DataError, match="x two labels, 'nv' and 'mel'"):
        open_source(tmp_path)


def test_a_split_column_that_tears_a_lesion_apart_is_warned_of(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        write_picture(tmp_path / f"{name}.png", number)
    rows = [("a", "L1", "mel", "train"), ("b", "L1", "mel", "val"), ("c", "L2", "nv", "train")]
    write_csv(tmp_path / "t.csv", ("image_id", "lesion_id", "dx", "split"), rows)
    (warning,) = open_source(tmp_path).warnings
    assert "more than one split: 1." in warning


def test_an_unknown_split_names_its_line(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.jpg", 1)
    write_csv(tmp_path / "m.csv", ("image_id", "dx", "split"), [("x", "nv", "holdout")])
    with pytest.raises(DataError, match="line 2 has the split 'holdout'"):
        open_source(tmp_path)


def test_two_label_tables_in_one_folder_are_ambiguous(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / name, ("image_id", "dx"), [("x", "nv")])
    with pytest.raises(DataError, match="several label tables"):
        open_source(tmp_path)


def test_real_ham10000_has_the_published_split(ham10000: Path) -> None:
    source = open_source(ham10000)
    assert source.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert list(source.counts()["train"].values()) == [189, 303, 669, 69, 670, 4009, 83]
    assert {record.id: record.split for record in source.records} == dict(shipped_split())


def test_a_manifest_names_images_by_their_path_and_nothing_is_made_val(tmp_path: Path) -> None:
    rows = []
    for number in range(20):
        file = f"{'ab'[number % 2]}/{number // 2}.png"  # a/0.png and b/0.png are two images
        write_picture(tmp_path / file, number)
        rows.append((file, "ab"[number % 2], "train", f"lesion{number // 3}", "false"))
    write_picture(tmp_path / "a" / "later.png", 99)
    (tmp_path / "README.md").write_text("a card")
    write_csv(tmp_path / "manifest.csv", ("file", "class", "split", "lesion", "synthetic"), rows)
    source = open_source(tmp_path)
    assert source.kind == "manifest"
    assert source.counts()["train"] == {"a": 10, "b": 10}
    assert not source.split("val")
    assert {r.id: r.group for r in source.records} == {row[0]: row[3] for row in rows}
    assert source.records[0].metadata == (("synthetic", "false"),)
    assert reasons(source) == {"a/later.png": "no usable row in manifest.csv"}
