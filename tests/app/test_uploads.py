"""Zips of strangers: good ones become folders, bad ones a sentence, and nothing is written."""

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.app.limits import UploadLimits
from hqgan.app.uploads import unpack
from hqgan.data import inspect
from hqgan.errors import DataError
from small_images import picture

SMALL = UploadLimits(
    zip_bytes=400_000, unpacked_bytes=2_000_000, files=20, ratio=100, pixels=200_000
)


def png(seed: int = 0, side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(seed, side, side)).save(buffer, format="PNG")
    return buffer.getvalue()


def packed(file: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file


def good(prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{name}/{i}.png": png(i) for name in ("mel", "nv") for i in range(3)}


@pytest.mark.parametrize("prefix", ["", "wrapped/", "twice/wrapped/"])
def test_class_folders_are_found_however_they_are_wrapped(tmp_path: Path, prefix: str) -> None:
    rubbish = {"__MACOSX/._0.png": b"x", f"{prefix}notes.txt": b"x", f"{prefix}mel/.DS_Store": b"x"}
    file = packed(tmp_path / "a.zip", good(prefix) | rubbish)
    unpacked = unpack(file, tmp_path / "out", SMALL)
    assert unpacked.files == 6
    assert unpacked.left_out == (f"{prefix}notes.txt",)
    assert inspect(unpacked.folder).classes == ("mel", "nv")
    assert (unpacked.folder / "mel" / "0.png").read_bytes() == png(0)


def test_a_label_table_comes_along_with_its_images(tmp_path: Path) -> None:
    table = b"image,MEL,NV\na,1.0,0.0\nb,0.0,1.0\n"
    entries = {"labels.csv": table, "images/a.png": png(1), "images/b.png": png(2)}
    unpacked = unpack(packed(tmp_path / "a.zip", entries), tmp_path / "out", SMALL)
    assert inspect(unpacked.folder).kind == "isic"


def renamed(name: str) -> Callable[[Path], None]:
    return lambda file: void(packed(file, good() | {name: png(9)}))


def zero_byte(file: Path) -> None:
    """zipfile itself does not write such a name."""
    packed(file, good() | {"mel/aX.png": png(9)})
    file.write_bytes(file.read_bytes().replace(b"mel/aX.png", b"mel/a\0.png"))


def void(value: object) -> None:
    del value


def with_info(change: Callable[[zipfile.ZipInfo], None], content: bytes = b"x") -> Callable:
    def write(file: Path) -> None:
        packed(file, good())
        info = zipfile.ZipInfo("mel/odd.png")
        change(info)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(info, content)

    return write


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def pipe(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFIFO | 0o666) << 16


def bzip(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


def encrypted(file: Path) -> None:
    """The flag that says so, in both places."""
    packed(file, good())
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    file.write_bytes(content)


def lying(file: Path) -> None:
    """An entry that says it is short."""
    packed(file, good())
    content = bytearray(file.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 10)
    file.write_bytes(content)


def many_entries(file: Path) -> None:
    packed(file, {f"mel/{i}.png": b"" for i in range(30)})


def countless(file: Path) -> None:
    """A directory that would take gigabytes to read, by what its end says."""
    packed(file, good())
    content = bytearray(file.read_bytes())
    struct.pack_into("<L", content, content.rindex(b"PK\x05\x06") + 12, 2**31)
    file.write_bytes(content)


def bomb(file: Path) -> None:
    packed(file, good() | {"mel/bomb.png": bytes(1_900_000)})


def too_much(file: Path) -> None:
    packed(file, good() | {f"mel/{i}.jpg": bytes([i]) * 300_000 for i in range(8)})


def large_image(file: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((500, 500, 3), np.uint8)).save(buffer, format="PNG")
    packed(file, good() | {"mel/large.png": buffer.getvalue()})


def duplicate(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("mel/0.png", png())
            archive.writestr("mel/0.png", png(1))


def damaged(file: Path) -> None:
    packed(file, good())
    content = bytearray(file.read_bytes())
    start = content.index(b"IHDR") if b"IHDR" in content else 60
    content[start : start + 30] = b"\0" * 30
    file.write_bytes(content)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "climbs out": (renamed("../../evil.png"), "leads out"),
    "climbs out from within": (renamed("mel/../../evil.png"), "leads out"),
    "climbs out the Windows way": (renamed("..\\evil.png"), "path of a whole machine"),
    "absolute": (renamed("/tmp/evil.png"), "path of a whole machine"),
    "a drive": (renamed("C:/evil.png"), "path of a whole machine"),
    "a control character": (renamed("mel/a\x07.png"), "cannot be shown"),
    "a zero byte": (zero_byte, "cannot be shown"),
    "letters turned round": (renamed("mel/\u202egnp.exe.png"), "cannot be shown"),
    "a name of spaces": (renamed("mel/ /a.png"), "not plain"),
    "too long a name": (renamed("mel/" + 300 * "a" + ".png"), "too long"),
    "same name but for case": (renamed("MEL/0.PNG"), "two files called"),
    "a file where a folder is": (renamed("mel.png/../x.png"), "leads out"),
    "a file that is a folder too": (renamed("mel/0.png/x.png"), "for a file and for a folder"),
    "twice the same": (duplicate, "two files called"),
    "a link": (with_info(link, b"/etc/passwd"), "is a link"),
    "a pipe": (with_info(pipe), "no ordinary file"),
    "unusual compression": (with_info(bzip, png()), "unusual way"),
    "encrypted": (encrypted, "encrypted"),
    "an archive by name": (renamed("mel/more.zip"), "archive within"),
    "an archive by content": (
        lambda file: packed(file, good() | {"mel/a.png": b"PK\x03\x04" + bytes(40)}),
        "archive within",
    ),
    "too many": (many_entries, "30 files and folders"),
    "a directory without end": (countless, "files and folders"),
    "a bomb": (bomb, "times its size"),
    "too much in all": (too_much, "Unpacked"),
    "a picture too large": (large_image, "megapixels"),
    "a lie about its size": (lying, "damaged"),
    "damaged": (damaged, "damaged"),
    "no zip": (lambda file: file.write_bytes(png()), "no zip"),
    "nothing": (lambda file: file.write_bytes(b""), "no zip"),
    "no image": (lambda file: packed(file, {"a/readme.txt": b"x"}), "no image"),
    "too large": (lambda file: file.write_bytes(bytes(500_000)), "MB"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_is_refused_in_a_sentence_and_leaves_no_trace(
    tmp_path: Path, case: str
) -> None:
    write, words = HOSTILE[case]
    inside = tmp_path / "session"
    inside.mkdir()
    file = tmp_path / "upload.zip"
    write(file)
    with pytest.raises(DataError) as refusal:
        unpack(file, inside / "out", SMALL)
    text = str(refusal.value)
    assert words in text
    assert str(tmp_path) not in text
    assert all(letter.isprintable() for letter in text)
    assert not list(inside.iterdir())
    assert sorted(f.name for f in tmp_path.iterdir()) == ["session", "upload.zip"]


def test_the_default_limits_take_a_class_of_photographs(tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (450, 600, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, format="JPEG")
    entries = {f"{name}/{i}.jpg": buffer.getvalue() for name in "ab" for i in range(20)}
    file = packed(tmp_path / "a.zip", entries)
    assert unpack(file, tmp_path / "out", UploadLimits()).files == 40
