"""Label tables as people and programs write them: understood or refused; no row is lost quietly."""

import codecs
import csv
import io
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hqgan.data import load_dataset, open_source
from hqgan.errors import DataError, UsageError
from small_images import picture, write_npz

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CASES = 600
PATIENCE = 5.0  # seconds for a table, but for the one of a million rows
IMAGES = tuple(f"ISIC_{number:07d}" for number in range(12))
QUICK = settings(
    max_examples=CASES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)

odd_text = st.text(max_size=12) | st.sampled_from(["", " ", "nan", "1.0", "../../etc/passwd", "-1"])
columns = {
    "ham10000": ("lesion_id", "image_id", "dx", "age"),
    "isic": ("image", "MEL", "NV", "BCC"),
    "fitzpatrick": ("md5hash", "fitzpatrick_scale", "label"),
    "manifest": ("file", "class", "split", "lesion"),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for number, name in enumerate(IMAGES):
        Image.fromarray(picture(number, 24, 18)).save(folder / f"{name}.png")
    return folder


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, bytes, list[str]]:
    """A kind of table, its bytes, and the images that it names."""
    kind = draw(st.sampled_from(sorted(columns)))
    header = list(columns[kind])
    named = draw(st.lists(st.sampled_from(IMAGES) | odd_text, min_size=1, max_size=14, unique=True))
    rows = []
    for name in named:
        row = []
        for column in header:
            match column:
                case "image_id" | "image" | "md5hash":
                    row.append(name)
                case "file":
                    row.append(f"{name}.png" if name in IMAGES else name)
                case "dx" | "label" | "class":
                    row.append(draw(st.sampled_from(["mel", "nv"]) | odd_text))
                case "MEL" | "NV" | "BCC":
                    row.append(draw(st.sampled_from(["0.0", "1.0", "1"]) | odd_text))
                case "split":
                    row.append(draw(st.sampled_from(["train", "val", "test"])))
                case _:
                    row.append(draw(odd_text))
        rows.append(row)
    for accident in draw(st.lists(st.sampled_from(ACCIDENTS), max_size=2)) * draw(st.booleans()):
        accident(draw, header, rows)
    stream = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    ending = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    separator = draw(st.sampled_from(",;\t"))
    writer = csv.writer(stream, quoting=quoting, lineterminator=ending, delimiter=separator)
    writer.writerow(header)
    writer.writerows(rows)
    text = stream.getvalue().encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        text = codecs.BOM_UTF8 + text
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
        named = []
    return kind, text, named


def lost_column(draw: st.DrawFn, header: list[str], rows: list[list[str]]) -> None:
    at = draw(st.integers(0, len(header) - 1))
    del header[at]
    for row in rows:
        del row[at : at + 1]


def double_column(draw: st.DrawFn, header: list[str], rows: list[list[str]]) -> None:
    header.append(draw(st.sampled_from(header or ["a"])))
    for row in rows:
        row.append(draw(odd_text))


def ragged(draw: st.DrawFn, header: list[str], rows: list[list[str]]) -> None:
    for row in rows:
        if draw(st.booleans()):
            row[len(row) :] = draw(st.lists(odd_text, max_size=3))


def blanks_in_header(draw: st.DrawFn, header: list[str], rows: list[list[str]]) -> None:
    header[:] = [f" {name} " for name in header]


ACCIDENTS = (lost_column, double_column, ragged, blanks_in_header)


@QUICK
@given(table=tables())
def test_every_row_is_an_image_or_has_a_reason(
    table: tuple[str, bytes, list[str]], images: Path, figures: Counter[str]
) -> None:
    _, content, named = table
    file = images / "labels.csv"
    file.write_bytes(content)
    started = time.perf_counter()
    try:
        source = open_source(file)
    except (DataError, UsageError):
        figures["odd label tables: refused with a sentence"] += 1
        return
    finally:
        assert time.perf_counter() - started < PATIENCE
    figures["odd label tables: read, no row lost without a reason"] += 1
    told = {record.id for record in source.records} | {item.id for item in source.skipped}
    files = {record.file.name for record in source.records if record.file}
    files |= {Path(item.id).name for item in source.skipped}
    files |= {f"{item.id}.png" for item in source.skipped}
    assert {f"{name}.png" for name in IMAGES} <= files
    for name in named:
        if name in IMAGES:
            assert {name, f"{name}.png"} & told
    assert all(item.reason for item in source.skipped)
    assert all(record.file and images in record.file.parents for record in source.records)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "shift-jis"])
def test_other_encodings_are_read_or_refused(images: Path, encoding: str) -> None:
    text = "image_id,dx,note\n" + "".join(f"{name},mel,é\n" for name in IMAGES[:4])
    file = images / "labels.csv"
    file.write_bytes(text.encode(encoding, "replace"))
    if encoding == "utf-16":  # nothing in it can be a column's name
        with pytest.raises(DataError, match="columns"):
            open_source(file)
    else:
        assert len(open_source(file).records) == 4


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"\0" * 1000, b"image_id,dx"])
def test_tables_without_rows_are_refused(images: Path, content: bytes) -> None:
    file = images / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(DataError):
        open_source(file)


def test_a_cell_of_ten_megabytes_is_refused_in_words(images: Path) -> None:
    file = images / "labels.csv"
    file.write_text("image_id,dx\n" + f"{IMAGES[0]},mel\n" + "x" * 10_000_000 + ",nv\n")
    with pytest.raises(DataError, match="field larger than"):
        open_source(file)


def test_a_million_rows_are_read_in_their_time(images: Path, figures: Counter[str]) -> None:
    file = images / "labels.csv"
    with file.open("w") as stream:
        stream.write("lesion_id,image_id,dx\n")
        for number in range(1_000_000):
            stream.write(f"HAM_{number // 2:07d},X_{number:07d},{'mel' if number % 2 else 'nv'}\n")
        stream.writelines(f"L{name},{name},mel\n" for name in IMAGES)
    started = time.perf_counter()
    source = open_source(file)
    seconds = time.perf_counter() - started
    file.unlink()
    assert len(source.records) == len(IMAGES)
    assert len(source.skipped) == 1_000_000
    assert seconds < 60
    figures["  rows of one table, all but 12 without an image, each with its reason"] += 1_000_012


@QUICK
@given(data=st.data())
def test_a_damaged_npz_is_refused_or_read(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, figures: Counter[str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    healthy = folder / "healthy.npz"
    if not healthy.exists():
        write_npz(healthy)
    content = bytearray(healthy.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if data.draw(st.booleans()) and content:
            content[at] ^= data.draw(st.integers(1, 255))
        else:
            del content[at : at + data.draw(st.integers(1, 200))]
    file = folder / "damaged.npz"
    file.write_bytes(content)
    try:
        found = load_dataset(file, "train", 32)
    except DataError:
        figures["damaged npz archives: refused with a sentence"] += 1
    else:
        assert len(found) + len(found.skipped) >= 4
        figures["damaged npz archives: read all the same"] += 1


def test_an_npz_with_a_pickle_in_it_runs_nothing(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "evil.npz")
    arrays = dict(np.load(file))
    arrays["train_labels"] = np.array([Bomb(tmp_path / "owned")] * 6, dtype=object)
    np.savez(file, **arrays)
    with pytest.raises(DataError, match=r"allow_pickle|Object arrays"):
        load_dataset(file, "train", 32)
    assert not (tmp_path / "owned").exists()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_explode, (str(self.path),))


def _explode(path: str) -> None:
    Path(path).touch()


def test_an_npz_that_names_a_file_outside_is_harmless(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "set.npz")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../outside.npy", b"x")
    load_dataset(file, "train", 32)
    assert not (tmp_path.parent / "outside.npy").exists()
