"""Damaged, hostile and merely odd image files: no crash, no hang, none dropped without a word."""

import io
import struct
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hqgan.data.dataset import Record, Source
from hqgan.data.decoding import Unreadable, reader, to_square
from hqgan.data.inspection import inspect
from hqgan.data.loading import load_dataset, parallel_map
from small_images import picture

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CASES = 2000
PATIENCE = 5.0  # seconds for one file
SIZE = 32


def encoded(format: str, mode: str = "RGB", **options: object) -> bytes:
    """A small picture in a file format."""
    image = Image.fromarray(picture(7, 48, 40)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def sixteen_bit(format: str) -> bytes:
    stream = io.BytesIO()
    values = np.arange(48 * 40, dtype=np.uint16).reshape(40, 48) * 34
    Image.fromarray(values).save(stream, format)
    return stream.getvalue()


def animated(format: str) -> bytes:
    frames = [Image.fromarray(picture(seed, 48, 40)) for seed in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, format, save_all=True, append_images=frames[1:], duration=10)
    return stream.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


HEALTHY = {
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True, optimize=True),
    "grey jpeg": encoded("JPEG", "L"),
    "cmyk jpeg": encoded("JPEG", "CMYK"),
    "rotated jpeg": rotated(),
    "png": encoded("PNG"),
    "png with alpha": encoded("PNG", "RGBA"),
    "palette png": encoded("PNG", "P"),
    "one bit png": encoded("PNG", "1"),
    "16-bit png": sixteen_bit("PNG"),
    "gif": encoded("GIF"),
    "animated gif": animated("GIF"),
    "animated webp": animated("WEBP"),
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "tiff": encoded("TIFF"),
    "lzw tiff": encoded("TIFF", compression="tiff_lzw"),
    "deflated tiff": encoded("TIFF", compression="tiff_adobe_deflate"),
    "16-bit tiff": sixteen_bit("TIFF"),
    "bmp": encoded("BMP"),
    "ppm": encoded("PPM"),
}
SUFFIXES = ("jpg", "png", "gif", "webp", "tif", "bmp", "ppm")


@st.composite
def damage(draw: st.DrawFn) -> bytes:
    """A healthy file after one to three accidents."""
    content = bytearray(HEALTHY[draw(st.sampled_from(sorted(HEALTHY)))])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(["cut", "flip", "zero", "insert", "repeat", "header", "chunk"])):
            case "cut":
                del content[at:]
            case "flip" if content:
                content[at] ^= draw(st.integers(1, 255))
            case "zero":
                content[at : at + length] = bytes(len(content[at : at + length]))
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=64))
            case "repeat":
                content[at:at] = content[at : at + length]
            case "header":  # sizes, depths and offsets are in the first bytes
                content[at % 32 : at % 32 + 4] = struct.pack(
                    ">I", draw(st.sampled_from([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
                )
            case "chunk":
                content[at : at + 4] = struct.pack(">I", draw(st.integers(0, 2**32 - 1)))
    return bytes(content)


def outcome(file: Path) -> str:
    """ "read", or the reason why not, of a file; AssertionError for a hang or a bad array."""
    record = Record(file.name, 0, file.name, "train", file)
    source = Source(str(file.parent), "folder", ("a",), (record,), (), "")
    started = time.perf_counter()

    def look(one: Record) -> str:
        try:
            image = reader(source, [one])(one, SIZE)
        except Unreadable as reason:
            return str(reason)
        square = to_square(image, SIZE)
        assert square.shape == (SIZE, SIZE, 3)
        assert square.dtype == np.uint8
        return "read"

    (found,) = parallel_map(look, [record])
    assert time.perf_counter() - started < PATIENCE
    assert found
    assert "\n" not in found
    return found


@pytest.fixture(scope="module")
def outcomes(figures: Counter[str]) -> Counter[str]:
    return figures


@settings(
    max_examples=CASES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(content=damage(), suffix=st.sampled_from(SUFFIXES))
def test_a_damaged_file_is_read_or_has_a_reason(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory, outcomes: Counter[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    file.write_bytes(content)
    found = outcome(file)
    outcomes["damaged image files: read all the same" if found == "read" else READ_NOT] += 1


READ_NOT = "damaged image files: left out, with the reason"


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_wrong_suffix_does_no_harm(name: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"file.{suffix}"
    file.write_bytes(HEALTHY[name])
    assert outcome(file) == "read"


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, and brings a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sealed = kind + content
        return struct.pack(">I", len(content)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_decompression_bombs_are_not_unpacked(width: int, height: int, tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png_header(width, height))
    assert outcome(file) != "read"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 20_000), (20_000, 1), (20_000, 40)])
def test_extreme_shapes_are_images(width: int, height: int, tmp_path: Path) -> None:
    file = tmp_path / "extreme.png"
    Image.new("RGB", (width, height), (200, 120, 110)).save(file)
    assert outcome(file) == "read"


def test_an_honest_image_of_20_000_pixels_is_left_out_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(file)
    assert "pixels" in outcome(file)


@settings(max_examples=10, derandomize=True, deadline=None, database=None)
@given(contents=st.lists(damage(), min_size=40, max_size=40), data=st.data())
def test_no_file_is_dropped_without_a_word(
    contents: list[bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was put there is what was counted, and what was left out with a reason."""
    folder = tmp_path_factory.mktemp("folder")
    places = [folder / split / y for split in ("train", "val", "test") for y in ("mel", "nv")]
    for number, place in enumerate(places):
        place.mkdir(parents=True)
        Image.fromarray(picture(number, 48, 40)).save(place / "healthy.png")
    for number, content in enumerate(contents):
        suffix = data.draw(st.sampled_from((*SUFFIXES, "txt", "csv.bak", "no suffix")))
        (places[number % len(places)] / f"damaged-{number}.{suffix}").write_bytes(content)
    there = sum(file.is_file() for file in folder.rglob("*"))
    found = inspect(folder)
    left_out = len(found.unreadable) + len(found.skipped)
    assert sum(found.sizes.values()) + left_out == there
    assert all(item.reason for item in (*found.unreadable, *found.skipped))
    splits = [load_dataset(folder, split, SIZE) for split in ("train", "val", "test")]
    loaded = sum(map(len, splits))
    assert loaded + left_out == there
    assert sum(len(one.skipped) for one in splits) == len(found.unreadable) + 3 * len(found.skipped)


AWKWARD = (
    "with space.png",
    "Läsion–日本語.png",
    "مريض.png",
    "line\nbreak.png",
    "tab\there.png",
    "bell\a and escape\x1b[31m.png",
    "'quote\" & <b>.png",
    "-rf.png",
    "%s{0}$(id).png",
    "a" * 240 + ".png",
    "CON.PNG",
    "trailing dot..png",
)


def test_awkward_names_are_images_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in ("mel\u202e", "n v"):
        for number, name in enumerate(AWKWARD):
            file = folder / label / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(number, 48, 40)).save(file, "PNG")
        undecodable = bytes(folder / label) + b"/\xff\xfe latin \xe9.png"
        Path(undecodable.decode(errors="surrogateescape")).write_bytes(HEALTHY["png"])
    found = inspect(folder)
    assert sum(found.sizes.values()) == 2 * (len(AWKWARD) + 1)
    assert not found.unreadable
    text = "\n".join(found.lines())
    text.encode("utf-8", "replace")


def test_links_in_circles_and_into_nothing_end(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in ("mel", "nv"):
        (folder / label).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(picture(number, 48, 40)).save(folder / label / f"{number}.png")
    (folder / "mel" / "up").symlink_to(folder)
    (folder / "mel" / "self").symlink_to(folder / "mel" / "self")
    (folder / "mel" / "self.png").symlink_to(folder / "mel" / "self.png")
    (folder / "nv" / "gone.png").symlink_to(tmp_path / "gone.png")
    started = time.perf_counter()
    found = inspect(folder)
    assert time.perf_counter() - started < PATIENCE
    assert {item.id for item in found.unreadable} == {"mel/self.png", "nv/gone.png"}
