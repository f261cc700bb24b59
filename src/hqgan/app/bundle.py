"""Zips to take home: images with their manifest, and a run with the words to continue it."""

import csv
import io
import zipfile
from pathlib import Path

from hqgan.app.generating import Made
from hqgan.app.model import Model
from hqgan.data import class_folders
from hqgan.foreign import in_csv
from hqgan.models.walking import NO_TRUNCATION
from hqgan.report.pieces import png
from hqgan.workflows.sample import CARD, sample_card

COLUMNS = ("file", "class", "synthetic", "seed", "index", "truncation", "backend", "snapshot")
MANIFEST = "manifest.csv"
LATEST = (2020, 1, 1, 0, 0, 0)  # of every file, so that equal orders give equal zips


def zip_images(model: Model, made: Made) -> bytes:
    """CLASS/NUMBER.png, manifest.csv and README.md; the same order gives the same bytes.

    The names are those that `hqgan sample` gives.
    """
    order, about = made.order, model.about
    folders = class_folders(about.classes)
    truncation = "none" if order.truncation == NO_TRUNCATION else f"{order.truncation:g}"
    rows = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        source = f"{model.name}/{model.snapshot.name}"
        for image, y, number in zip(made.images, made.labels, made.numbers, strict=True):
            name = f"{folders[y]}/{number:05d}.png"
            _add(archive, name, png(image))
            told = (order.seed, number, truncation, order.backend, source)
            rows.append((name, about.classes[y], "true", *told))
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *(map(in_csv, map(str, row)) for row in rows)])
        _add(archive, MANIFEST, text.getvalue().encode("utf-8", "replace"))
        card = sample_card(about, len(made), model.generator.size, order.seed)
        card += (
            f"\nTruncation: {truncation}. Backend of the circuits: {order.backend}. "
            f"{MANIFEST} lists every image.\n"
        )
        _add(archive, CARD, card.encode("utf-8", "replace"))
    return buffer.getvalue()


def zip_run(run: Path, data: Path, into: Path, how_to: str) -> Path:
    """A run folder as a zip, without the machine's own path of its data; returns `into`.

    Args:
        run: the run folder.
        data: where the run found its images, a path that says nothing elsewhere.
        into: the zip to write.
        how_to: what README.md says.
    """
    with zipfile.ZipFile(into, "w") as archive:  # weights hardly get smaller
        archive.writestr("run/README.md", how_to)
        for file in sorted(run.rglob("*")):
            if not file.is_file() or file.name.startswith(".") or file.name.endswith(".part"):
                continue
            name = f"run/{file.relative_to(run).as_posix()}"
            if file == run / "config.yaml":
                text = file.read_text(encoding="utf-8").replace(str(data), "your-images")
                archive.writestr(name, text)
            else:
                archive.write(file, name)
    return into


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, LATEST), content, zipfile.ZIP_DEFLATED)
