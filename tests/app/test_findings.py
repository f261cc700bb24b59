"""What `data inspect` found, as visitors read it."""

from pathlib import Path

from hqgan.app.findings import findings_html, statements
from hqgan.data import inspect
from small_images import write_picture


def folder_with_flaws(folder: Path) -> Path:
    for name in ("mel", "<b>nv"):
        for number in range(4):
            write_picture(
                folder / name / f"{number}.png", 9 * len(name) + number, width=40, height=30
            )
    (folder / "mel" / "twin.png").write_bytes((folder / "mel" / "0.png").read_bytes())
    (folder / "mel" / "torn.png").write_bytes(b"no image at all")
    return folder


def test_flaws_are_told_in_sentences_without_the_servers_paths(tmp_path: Path) -> None:
    found = inspect(folder_with_flaws(tmp_path / "images"))
    good, bad = statements(found, ("notes.txt", "a", "b", "c"))
    text = " ".join(bad)
    assert "no images: notes.txt; a; b and 1 more." in text
    assert "Cannot be read: mel/torn.png (not an image" in text
    assert "One pair of images is equal in every pixel: mel/0.png and mel/twin.png." in text
    assert "Sizes in pixels: 40 x 30 (9)." in good
    page = findings_html(found, ())
    assert str(tmp_path) not in page
    assert "<b>nv" not in page
    assert "&lt;b&gt;nv" in page


def test_one_class_is_not_enough_and_that_is_said(tmp_path: Path) -> None:
    write_picture(tmp_path / "mel" / "0.png", 0, width=32, height=32)
    _, bad = statements(inspect(tmp_path), ())
    assert "one class only (mel)" in bad[0]
