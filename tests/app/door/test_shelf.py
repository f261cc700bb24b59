"""Uploads that wait: bounded for one visitor and for all, oldest first, never another's."""

from pathlib import Path

import pytest

from hqgan.app.door.refusing import Refused
from hqgan.app.door.shelf import Shelf, Upload

LARGEST = 1000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_shelf(folder: Path, clock: Clock | None = None) -> Shelf:
    return Shelf(
        folder, LARGEST, of_visitor=2, in_all=4, seconds=60, spare=0, clock=clock or Clock()
    )


def put(shelf: Shelf, owner: str, count: int = LARGEST) -> Upload:
    upload = shelf.begin(owner, owner)
    shelf.grow(upload, count)
    upload.path.write_bytes(bytes(count))
    upload.complete = True
    return upload


def test_a_visitor_finds_an_upload_by_its_word_and_nobody_else_does(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    upload = put(shelf, "ann")
    assert shelf.find(upload.word, "ann") == upload.path
    for word, owner in ((upload.word, "bob"), (upload.path.name, "ann"), ("../x", "ann")):
        with pytest.raises(Refused, match="no longer here"):
            shelf.find(word, owner)


def test_of_too_many_of_one_visitor_the_oldest_goes(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    other = put(shelf, "bob")
    uploads = [put(shelf, "ann", 10) for _ in range(50)]
    kept = [one for one in uploads if one.path.exists()]
    assert kept == uploads[-2:]
    assert other.path.exists()


def test_of_too_much_of_all_together_the_oldest_goes(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    uploads = [put(shelf, f"visitor {number}") for number in range(50)]
    assert [one for one in uploads if one.path.exists()] == uploads[-4:]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4 * LARGEST


def test_unfinished_ones_are_not_pushed_out_so_the_newest_is_refused(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    for number in range(4):
        shelf.grow(shelf.begin(f"visitor {number}", ""), LARGEST)
    with pytest.raises(Refused) as refusal:
        shelf.grow(shelf.begin("ann", ""), 1)
    assert refusal.value.status == 503
    assert refusal.value.retry


def test_what_is_larger_than_one_may_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        put(a_shelf(tmp_path), "ann", LARGEST + 1)
    assert refusal.value.status == 413


def test_what_nobody_looks_at_is_deleted_after_a_while(tmp_path: Path) -> None:
    clock = Clock()
    shelf = a_shelf(tmp_path, clock)
    upload = put(shelf, "ann")
    clock.now = 59
    shelf.sweep()
    assert upload.path.exists()
    clock.now = 61
    shelf.sweep()
    assert not list(tmp_path.iterdir())


def test_what_was_looked_at_takes_no_room(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    for number in range(20):  # as `receive` does
        shelf.find(put(shelf, f"visitor {number}").word, f"visitor {number}").unlink()
    shelf.sweep()
    assert shelf._sum() == 0


def test_some_of_the_disk_is_left_free(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, LARGEST, spare=10**15)
    with pytest.raises(Refused) as refusal:
        put(shelf, "ann", 1)
    assert refusal.value.status == 507
