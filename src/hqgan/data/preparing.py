"""Write a data set out as what every tool reads: PNG files in a folder per split and class."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hqgan.data.dataset import SPLITS
from hqgan.data.loading import load_dataset
from hqgan.data.pixels import save_png
from hqgan.data.sources import open_source
from hqgan.errors import DataError
from hqgan.foreign import in_csv

FEW = 3  # classes of one name that are told apart by underlines


@dataclass(frozen=True)
class Prepared:
    """What was written: images per split, and how many were left out (listed in skipped.csv)."""

    out: str
    images: dict[str, int]
    skipped: int


def prepare(
    path: str | Path | None,
    out: str | Path,
    size: int,
    *,
    label: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Write OUT/<split>/<class>/<number>.png as a model would see them, and two lists.

    OUT/manifest.csv (file, class, split, id, lesion) keeps which lesion an image shows, which
    folders cannot say; `open_source` reads it. OUT/skipped.csv (id, reason) holds every image that
    is not there.

    Args:
        path: what `open_source` takes.
        out: a folder that is absent or empty.
        size: side of the images, pixels; centre crop, box filter.
        label: the column used as class, for data with several.
        progress: called as progress(done, total) while a split is decoded.

    Raises:
        DataError: `out` holds something or cannot be written, or the data cannot be used.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not empty; nothing is overwritten, so choose another --out")
    present = [split for split in SPLITS if open_source(path, label=label).split(split)]
    images: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    skipped: dict[str, str] = {}
    try:
        for split in present:
            dataset = load_dataset(path, split, size, label=label, progress=progress)
            images[split] = len(dataset)
            skipped |= {item.id: item.reason for item in dataset.skipped}
            for number, (pixels, y) in enumerate(zip(dataset.images, dataset.labels, strict=True)):
                file = Path(split) / class_folders(dataset.classes)[y] / f"{number:06d}.png"
                save_png(pixels, out / file)
                ids = (dataset.ids[number], dataset.groups[number])
                rows.append((file.as_posix(), dataset.classes[y], split, *ids))
        _write(out / "manifest.csv", ("file", "class", "split", "id", "lesion"), rows)
        _write(out / "skipped.csv", ("id", "reason"), list(skipped.items()))
    except OSError as error:
        raise DataError(f"Cannot write to {out}: {error.strerror}; choose another --out") from error
    return Prepared(str(out), images, len(skipped))


@cache
def class_folders(classes: tuple[str, ...]) -> tuple[str, ...]:
    """A folder name for each class: all different, and none that leads elsewhere or is hidden."""
    names: dict[str, str] = {}  # by what some disks take them for, which do not tell a from A
    again: dict[str, int] = {}
    for name in classes:
        plain = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name)
        tried = plain = plain.strip(". ") or "unnamed"
        while tried.casefold() in names:
            number = again[plain] = again.get(plain, 0) + 1
            tried = plain + ("_" * number if number <= FEW else f"_{number}")
        names[tried.casefold()] = tried
    return tuple(names.values())


def _write(file: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    # File names that are no text keep their bytes.
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as handle:
        csv.writer(handle).writerows([header, *(map(in_csv, row) for row in rows)])
