"""One split, decoded once: what is kept, what is reported, what is cached, what is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.data import Dataset, load_dataset, open_source, require_trainable
from hqgan.errors import DataError, UsageError
from small_images import picture, write_csv, write_npz, write_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight train images of two classes, one val and one test image of each."""
    for name in ("mel", "nv"):
        for split, count in (("train", 4), ("val", 1), ("test", 1)):
            for number in range(count):
                seed = 100 * len(name) + 10 * len(split) + number
                write_picture(tmp_path / "data" / split / name / f"{number}.png", seed)
    return tmp_path / "data"


def refuse_decoding(done: int, total: int) -> None:
    raise AssertionError("decoded although it was cached")


def test_pixels_labels_and_ids_belong_together(folder: Path) -> None:
    dataset = load_dataset(folder, "train", 8)
    assert dataset.images.shape == (8, 8, 8, 3)
    assert dataset.images.dtype == np.uint8
    assert dataset.labels.dtype == np.int64
    assert dataset.counts.tolist() == [4, 4]
    for image, label, name in zip(dataset.images, dataset.labels, dataset.ids, strict=True):
        original = Image.open(folder / name)
        square = original.crop((3, 0, 21, 18)).resize((8, 8), Image.Resampling.BOX)
        assert np.array_equal(image, np.asarray(square))
        assert dataset.classes[label] in name


def test_a_second_start_reads_the_cache(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = load_dataset(folder, "train", 8, progress=lambda *step: seen.append(step))
    second = load_dataset(folder, "train", 8, progress=refuse_decoding)
    assert seen == [(number, 8) for number in range(1, 9)]
    assert first.checksum == second.checksum


def test_a_changed_file_a_new_size_or_split_is_decoded_anew(folder: Path) -> None:
    before = load_dataset(folder, "train", 8).checksum
    file = folder / "train" / "nv" / "0.png"
    Image.fromarray(picture(999)).save(file)
    os.utime(file, ns=(1, 1))
    assert load_dataset(folder, "train", 8).checksum != before
    assert load_dataset(folder, "train", 12).images.shape == (8, 12, 12, 3)
    assert load_dataset(folder, "val", 8).images.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY rubbish", None])
def test_a_damaged_cache_is_decoded_over(
    folder: Path, private_cache: Path, damage: bytes | None
) -> None:
    before = load_dataset(folder, "train", 8).checksum
    for file in private_cache.iterdir():
        file.write_bytes(file.read_bytes()[:-9] if damage is None else damage)
    assert load_dataset(folder, "train", 8).checksum == before
    assert load_dataset(folder, "train", 8, progress=refuse_decoding).checksum == before


def test_a_cache_that_cannot_be_written_costs_only_speed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    dataset = load_dataset(folder, "train", 8, cache_dir=tmp_path / "file" / "below")
    assert len(dataset) == 8


def test_a_cache_in_the_home_of_nobody_is_refused_with_the_remedy(folder: Path) -> None:
    with pytest.raises(UsageError, match="export HQGAN_CACHE=FOLDER"):
        load_dataset(folder, "train", 8, cache_dir="~nobody-of-this-name/cache")


def test_unreadable_images_are_left_out_and_reported_from_the_cache_too(folder: Path) -> None:
    (folder / "train" / "mel" / "1.png").write_bytes(b"not an image")
    for _ in range(2):
        dataset = load_dataset(folder, "train", 8)
        assert len(dataset) == len(dataset.images) == 7
        assert [(item.id, item.reason) for item in dataset.skipped] == [
            ("train/mel/1.png", "not an image, or damaged at its beginning")
        ]
        assert "train/mel/1.png" not in dataset.ids


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root reads anything")
def test_a_file_whose_permission_was_mended_is_found_again(folder: Path) -> None:
    file = folder / "train" / "mel" / "1.png"
    file.chmod(0)
    assert len(load_dataset(folder, "train", 8)) == 7
    file.chmod(0o644)
    assert len(load_dataset(folder, "train", 8)) == 8


def test_a_file_that_was_away_for_a_moment_is_found_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Image.open

    def flaky(path: Path) -> Image.Image:
        if path.name == "1.png":
            raise OSError("the network is down")
        return whole(path)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", flaky)
        assert len(load_dataset(folder, "train", 8)) == 6
    assert len(load_dataset(folder, "train", 8)) == 8


def test_a_class_lost_to_damage_is_an_error(folder: Path) -> None:
    for file in (folder / "train" / "mel").iterdir():
        file.write_bytes(file.read_bytes()[:70])
    with pytest.raises(DataError, match=r"Not one train image of class 'mel'.*train/mel/0.png"):
        load_dataset(folder, "train", 8)


def test_enlarging_is_allowed_but_said(folder: Path) -> None:
    assert load_dataset(folder, "train", 16).warnings == ()
    dataset = load_dataset(folder, "train", 32)
    assert "8 of 8 train images are smaller than 32" in dataset.warnings[0]


def test_groups_and_metadata_travel_with_the_images(tmp_path: Path) -> None:
    rows = [(f"i{n}", f"L{n // 2}", "ab"[n % 2], "train", f"{50 + n}") for n in range(4)]
    for row in rows:
        write_picture(tmp_path / f"{row[0]}.jpg", int(row[0][1:]))
    write_csv(tmp_path / "m.csv", ("image_id", "lesion_id", "dx", "split", "age"), rows)
    dataset = load_dataset(tmp_path, "train", 8)
    whole = {*dataset.ids.tolist(), *load_dataset(tmp_path, "val", 8).ids.tolist()}
    assert whole == {row[0] for row in rows}
    by_id = {row[0]: row for row in rows}
    for name, group, age in zip(dataset.ids, dataset.groups, dataset.metadata["age"], strict=True):
        assert (group, age) == (by_id[name][1], by_id[name][4])


@pytest.mark.parametrize("grey", [False, True])
def test_medmnist_rows_are_the_stored_images(tmp_path: Path, grey: bool) -> None:
    dataset = load_dataset(write_npz(tmp_path / "some.npz", grey), "train", 28)
    for row, image in enumerate(dataset.images):
        stored = picture(row, 28, 28)
        assert np.array_equal(image, stored[..., :1].repeat(3, -1) if grey else stored)
    assert dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_without_val_rows_some_of_train_are_set_aside_with_their_own_pixels(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "some.npz")
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive}
    arrays |= {name: arrays[name][:0] for name in ("val_images", "val_labels")}
    np.savez(file, **arrays)
    held_out = load_dataset(file, "val", 28)
    for name, image in zip(held_out.ids, held_out.images, strict=True):
        split, row = name.split("/")
        assert split == "train"
        assert np.array_equal(image, picture(int(row), 28, 28))


def test_an_archive_with_damage_inside_is_named(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "some.npz")
    content = bytearray(file.read_bytes())
    begin = content.find(b"train_images") + 300
    content[begin : begin + 40] = bytes(40)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.npz is damaged.* Download it again"):
        load_dataset(file, "train", 28)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    before = len(load_dataset(folder, "train", 8))
    os.mkfifo(folder / "train" / "mel" / "pipe.png")
    assert len(load_dataset(folder, "train", 8)) == before


def test_embedded_lesions_load_like_any_data() -> None:
    dataset = load_dataset("embedded", "test", 8)
    assert dataset.counts.tolist() == list(open_source(None).counts()["test"].values())
    assert len(set(dataset.groups)) == len(dataset)


def test_an_unknown_split_or_size_is_wrong_usage(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"'holdout'.*train, val, test"):
        load_dataset(folder, "holdout", 8)
    with pytest.raises(UsageError, match="Size 0"):
        load_dataset(folder, "train", 0)


def test_an_empty_split_is_named(class_folders: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="has no val image"):
        load_dataset(class_folders(a=2, b=2), "val", 8)


def tiny(labels: list[int], classes: tuple[str, ...]) -> Dataset:
    count = len(labels)
    names = np.array([str(n) for n in range(count)])
    images = np.zeros((count, 8, 8, 3), np.uint8)
    return Dataset(images, np.array(labels), classes, names, names, "train")


def test_training_is_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match="one class only"):
        require_trainable(tiny([0, 0], ("nv",)), 2)
    with pytest.raises(DataError, match="No train image of class df"):
        require_trainable(tiny([0, 0], ("df", "nv")[::-1]), 2)
    with pytest.raises(DataError, match="2 images, fewer than one batch of 64"):
        require_trainable(tiny([0, 1], ("df", "nv")), 64)
    require_trainable(tiny([0, 1], ("df", "nv")), 2)


def test_the_checksum_sees_a_single_pixel_and_label() -> None:
    base, other = tiny([0, 1], ("a", "b")), tiny([0, 1], ("a", "b"))
    assert base.checksum == other.checksum
    pixel = tiny([0, 1], ("a", "b"))
    pixel.images[1, 2, 3, 0] = 1
    assert len({base.checksum, pixel.checksum, tiny([1, 1], ("a", "b")).checksum}) == 3


def test_real_ham10000_val_is_decoded_whole(ham10000: Path) -> None:
    dataset = load_dataset(ham10000, "val", 32)
    assert dataset.counts.tolist() == [28, 44, 87, 12, 86, 553, 14]
    assert dataset.skipped == ()
    red, green, blue = dataset.images.reshape(-1, 3).mean(0)
    assert red > blue > green  # skin under a dermatoscope
