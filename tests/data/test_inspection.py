"""Inspection finds copies, near copies, leaks and damage, and nothing where there is nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.data import inspect
from hqgan.data.inspection import NEAR, near_pairs
from small_images import picture, write_csv, write_picture


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """Two splits with one exact and one near duplicate across them."""
    brighter = np.clip(picture(1, 64, 48).astype(int) + 2, 0, 255).astype(np.uint8)
    save(tmp_path / "train" / "a" / "one.png", picture(1, 64, 48))
    save(tmp_path / "train" / "b" / "two.png", picture(2, 64, 48))
    save(tmp_path / "train" / "b" / "three.bmp", picture(2, 64, 48))
    save(tmp_path / "val" / "a" / "near.png", brighter)
    save(tmp_path / "val" / "b" / "other.png", picture(4, 32, 32))
    save(tmp_path / "test" / "a" / "two.png", picture(2, 64, 48))
    return tmp_path


def test_copies_are_found_across_formats_splits_and_labels(leaky: Path) -> None:
    report = inspect(leaky)
    exact = {frozenset((pair.first, pair.second)) for pair in report.exact_duplicates}
    assert exact == {
        frozenset(("test/a/two.png", "train/b/three.bmp")),
        frozenset(("test/a/two.png", "train/b/two.png")),
    }
    (near,) = report.near_duplicates
    assert {near.first, near.second} == {"train/a/one.png", "val/a/near.png"}
    assert 0 < near.distance < NEAR
    assert near.leaks
    assert report.leaks == 3
    assert report.sizes == {"64 x 48": 5, "32 x 32": 1}


def test_the_report_is_json_and_text(leaky: Path) -> None:
    report = inspect(leaky)
    assert json.loads(json.dumps(report.to_dict()))["leaks"] == 3
    text = "\n".join(report.lines())
    assert "exact duplicates: 2 pairs, 2 across splits, 2 with two labels" in text
    assert "delete one of each pair" in text
    assert "teaches both" in text
    assert "Few val images (a 1, b 1)" in text


def test_a_lesion_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    rows = [("i0", "L0", "a", "train"), ("i1", "L0", "a", "test"), ("i2", "L1", "b", "val")]
    for number, row in enumerate(rows):
        write_picture(tmp_path / f"{row[0]}.png", number)
    write_csv(tmp_path / "m.csv", ("image_id", "lesion_id", "dx", "split"), rows)
    report = inspect(tmp_path)
    assert report.group_leaks == {"L0": ("test", "train")}
    assert report.groups == {"train": 1, "val": 1, "test": 1}
    assert "lesions in two splits: 1" in "\n".join(report.lines())


def test_nothing_is_said_of_lesions_that_nobody_names(class_folders: Callable[..., Path]) -> None:
    report = inspect(class_folders(a=3, b=3))
    assert not report.lesions_known
    words = [line for line in report.lines()[1:] if "lesion" in line]
    assert len(words) == 2  # how the splits were made, and that they may leak


def test_damage_is_a_finding_not_an_error(class_folders: Callable[..., Path]) -> None:
    folder = class_folders(a=3, b=3)
    (folder / "a" / "001.png").write_bytes(b"\x89PNG")
    report = inspect(folder)
    assert [item.id for item in report.unreadable] == ["a/001.png"]
    assert sum(split["a"] for split in report.counts.values()) == 2
    assert not report.exact_duplicates
    assert not report.near_duplicates


def test_near_pairs_equal_the_plain_double_loop() -> None:
    random = np.random.default_rng(0)
    base = random.integers(60, 200, (12, 24, 32, 3))
    noisy = (
        base[:8] + random.integers(-1, 2, (8, 1, 1, 1)) * np.linspace(0, 8, 8)[:, None, None, None]
    )
    images = np.concatenate([base, noisy]).astype(np.uint8)
    expected = {
        (i, j)
        for i in range(len(images)) for j in range(i + 1, len(images))
        if np.sqrt(np.square(images[i].astype(float) - images[j]).mean()) < NEAR
    }  # fmt: skip
    assert 0 < len(expected) < 12
    assert {(i, j) for i, j, _ in near_pairs(images, NEAR)} == expected


def test_progress_counts_every_image(class_folders: Callable[..., Path]) -> None:
    steps: list[tuple[int, int]] = []
    inspect(class_folders(a=2, b=3), progress=lambda *step: steps.append(step))
    assert steps == [(number, 5) for number in range(1, 6)]


def test_where_no_image_can_be_read_all_are_named(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"\x89PNG")
    assert len(inspect(tmp_path).unreadable) == 2
