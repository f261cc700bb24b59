"""Room on the disk: what can be downloaded goes when it is old or too much."""

import os
import time
from pathlib import Path

from hqgan.app.tidying import bytes_below, tidy


def made(folder: Path, number: int, age: float = 0.0) -> Path:
    file = folder / f"{number:064x}" / "image.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(100))
    os.utime(file, (time.time() - age, time.time() - age))
    return file


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    files = [made(tmp_path, number, age=100 - number) for number in range(10)]
    names = [{str(file) for file in files}, {str(files[0]), "another"}]
    assert tidy(tmp_path, names, most_bytes=350) == 7
    assert [file for file in files if file.exists()] == files[7:]
    assert not files[0].parent.exists()
    assert names == [{str(file) for file in files[7:]}, {"another"}]


def test_what_is_old_goes_and_what_is_others_business_stays(tmp_path: Path) -> None:
    old, new = made(tmp_path, 1, age=60), made(tmp_path, 2)
    upload = tmp_path / "uploads" / "word.zip"
    upload.parent.mkdir()
    upload.write_bytes(b"PK")
    os.utime(upload, (0, 0))
    assert tidy(tmp_path, [], age=30) == 1
    assert not old.exists()
    assert new.exists()
    assert upload.exists()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert tidy(tmp_path / "nowhere", []) == bytes_below(tmp_path / "nowhere") == 0
    made(tmp_path, 1)
    assert bytes_below(tmp_path) >= 100
