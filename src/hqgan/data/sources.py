"""One door for data: whatever a user points at becomes a `Source`, an index of labelled images.

Understood are a folder per class, label tables (HAM10000, ISIC one-hot, Fitzpatrick17k, and the
manifest of a folder that hqgan wrote), MedMNIST npz archives, and the word "embedded" for the
synthetic lesions. Nothing is decoded here.
"""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from hqgan.data import lesions, tables
from hqgan.data.dataset import SPLITS, Record, Skipped, Source
from hqgan.data.decoding import damaged_npz
from hqgan.data.splits import (
    SPELLINGS,
    assign_splits,
    carve_validation,
    shipped_split,
)
from hqgan.errors import DataError, UsageError

EMBEDDED = "embedded"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
DERMAMNIST_CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

MADE_BY_LESION = "made here, 70/10/20 by lesion"
MADE_BY_IMAGE = "made here, 70/10/20 by image, because no lesion is known"


def open_source(path: str | Path | None, *, label: str | None = None) -> Source:
    """Index a data set without decoding it: which images, which class, which lesion, which split.

    Args:
        path: a folder of class folders (also below train, val and test folders), a label table or
            the folder that holds it, a MedMNIST npz, or `None` / "embedded".
        label: the column that is the class, for Fitzpatrick17k: label (default),
            nine_partition_label or three_partition_label.

    Splits are the source's own where it has them, else the one shipped for HAM10000, else 70/10/20
    by lesion. Where only val is missing, an eighth of train becomes it, but not of a manifest:
    `hqgan augment` writes nothing but training images. Class indices follow the sorted class names.

    Raises:
        DataError: nothing there, unknown columns, an empty class, labels without any image.
        UsageError: a `label` the source does not have.
    """
    if path is None or str(path) == EMBEDDED:
        return _embedded(label)
    with contextlib.suppress(RuntimeError):  # ~somebody who has no home here: no such path
        path = Path(path).expanduser()
    path = Path(path)
    if not path.is_file() and not path.is_dir():
        raise DataError(
            f"There is no {path}. Expected a folder with one sub-folder per class, a label csv or "
            f"its folder, a MedMNIST .npz, or the word {EMBEDDED!r}."
        )
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return _medmnist(path, label)
        if not tables.is_table(path):
            raise DataError(
                f"{path} is neither a label table ({', '.join(tables.TABLE_SUFFIXES)}) nor a "
                ".npz. For a folder of images, give the folder."
            )
        layout = tables.layout_of(tables.read_header(path))
        if layout is None:
            raise tables.unknown_columns({path: tables.read_header(path)})
        return _table(path, layout, label)
    return _directory(path, label)


def _directory(folder: Path, label: str | None) -> Source:
    headers = {
        entry: tables.read_header(entry)
        for entry in sorted(folder.iterdir())
        if entry.is_file() and tables.is_table(entry)
    }
    layouts = {entry: tables.layout_of(names) for entry, names in headers.items()}
    known = {entry: layout for entry, layout in layouts.items() if layout is not None}
    if len(known) > 1:
        raise DataError(
            f"{folder} holds several label tables ({', '.join(entry.name for entry in known)}); "
            "point --data at the one to use."
        )
    for entry, layout in known.items():
        return _table(entry, layout, label)
    if headers and len(list(_visible_folders(folder))) < 2:
        raise tables.unknown_columns(headers)
    if label is not None:
        raise UsageError(f"{folder} is labelled by its folders; leave the option {label!r} away.")
    return _folders(folder)


def _folders(folder: Path) -> Source:
    """PATH/<class>/** or PATH/<train|val|test>/<class>/**."""
    children = list(_visible_folders(folder))
    by_split = {child: SPELLINGS.get(child.name.lower()) for child in children}
    layered = "train" in by_split.values()
    roots = [child for child in children if by_split[child]] if layered else [folder]
    skipped = [
        Skipped(child.name, "neither a train, val nor test folder")
        for child in children
        if layered and child not in roots
    ]
    if layered and len(set(filter(None, by_split.values()))) < len(roots):
        raise DataError(
            f"{folder} has two folders for one split ({', '.join(root.name for root in roots)}); "
            "merge them."
        )
    class_folders = [(root, child) for root in roots for child in _visible_folders(root)]
    if not class_folders:
        raise DataError(
            f"{folder} has no class folders. Expected {folder}/<class>/<image files>, or a label "
            "csv beside the images, or a MedMNIST .npz."
        )
    classes = tuple(sorted({child.name for _, child in class_folders}))
    records = []
    for root, child in class_folders:
        for file in _files(child):
            name = file.relative_to(folder).as_posix()
            if file.suffix.lower() not in IMAGE_SUFFIXES:
                skipped.append(Skipped(name, "not an image by its suffix"))
                continue
            split = (by_split.get(root) or "") if layered else ""
            records.append(Record(name, classes.index(child.name), name, split, file))
    for root in roots:
        skipped += [
            Skipped(file.relative_to(folder).as_posix(), "lies outside the class folders")
            for file in _files(root, deep=False)
        ]
    present = {record.label for record in records}
    empty = [name for index, name in enumerate(classes) if index not in present]
    if empty:
        raise DataError(
            f"The class folder {', '.join(empty)} in {folder} holds no image "
            f"({', '.join(IMAGE_SUFFIXES)}). Add images to it or remove the folder."
        )
    origin = "train, val and test folders" if layered else ""
    return _finish(str(folder), "folder", classes, records, skipped, origin)


def _table(path: Path, layout: tables.Layout, label: str | None) -> Source:
    """A label table whose images lie anywhere below its folder."""
    table = tables.read_table(path)
    files, skipped = _images_below(path.parent, layout.by_path)
    first: dict[str, tables.Row] = {}
    for row in layout.rows(table, label):
        name = row.id
        if not layout.by_path and Path(name).suffix.lower() in IMAGE_SUFFIXES:
            name = name[: -len(Path(name).suffix)]
        if row.problem or not name:
            skipped.append(Skipped(name or "(no name)", row.problem or "the image is not named"))
        elif name not in first:
            first[name] = row
        elif first[name].label != row.label:
            raise DataError(
                f"{path} gives {name} two labels, {first[name].label!r} and {row.label!r}; "
                "remove one of the rows."
            )
        else:
            skipped.append(Skipped(name, f"a second row of the same image in {path.name}"))
    lost = [name for name in first if name not in files]
    if not first:
        raise DataError(f"{path} has no usable row{_because(skipped)}.")
    if len(lost) == len(first):
        raise DataError(
            f"None of the {len(first)} images of {path} was found. The first is {lost[0]}; looked "
            f"for {lost[0]}.jpg, .png and so on in {path.parent} and every folder below. Put the "
            "image folders beside the table."
        )
    skipped += [Skipped(name, f"no image file below {path.parent}") for name in lost]
    skipped += [
        Skipped(str(file.relative_to(path.parent)), f"no usable row in {path.name}")
        for name, file in files.items()
        if name not in first
    ]
    classes = tuple(sorted({row.label for name, row in first.items() if name in files}))
    index = {name: number for number, name in enumerate(classes)}
    records = [
        Record(
            id=name,
            label=index[row.label],
            group=row.group or name,
            split=row.split,
            file=files[name],
            metadata=row.metadata,
        )
        for name, row in first.items()
        if name in files
    ]
    origin = f"column split of {path.name}" if "split" in table.columns else ""
    if layout.kind == "ham10000" and not origin:
        records, left_out, origin = _apply_shipped_split(records)
        skipped += left_out
    return _finish(str(path), layout.kind, classes, records, skipped, origin)


def _apply_shipped_split(records: list[Record]) -> tuple[list[Record], list[Skipped], str]:
    """Use the packaged split where these are the images it was made for, judged by their ids."""
    shipped = shipped_split()
    listed = [record for record in records if record.id in shipped]
    if 2 * len(listed) < len(records):
        return records, [], ""
    rest = [
        Skipped(record.id, "not in the split that ships with hqgan")
        for record in records
        if record.id not in shipped
    ]
    origin = "the HAM10000 split that ships with hqgan, by lesion"
    return [replace(record, split=shipped[record.id]) for record in listed], rest, origin


def _medmnist(path: Path, label: str | None) -> Source:
    """An npz with train_images, train_labels, val_… and test_…: (N, S, S[, 3]) uint8, (N, 1)."""
    if label is not None:
        raise UsageError(f"{path} has one set of labels; leave the option {label!r} away.")
    needed = [f"{split}_{what}" for split in SPLITS for what in ("images", "labels")]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist()]
            absent = [name for name in needed if name not in members]
            if absent:
                raise DataError(
                    f"{path} lacks {', '.join(absent)}; it has {', '.join(members)}. "
                    "Expected the arrays of a MedMNIST archive."
                )
            images = {split: _npy_header(archive, f"{split}_images.npy") for split in SPLITS}
        with np.load(path, allow_pickle=False) as arrays:
            labels = {split: arrays[f"{split}_labels"] for split in SPLITS}
    except DataError:
        raise
    except Exception as problem:  # on damaged headers numpy and zipfile raise nearly anything
        raise damaged_npz(path, problem) from problem
    records: list[Record] = []
    for split in SPLITS:
        (shape, dtype), answers = images[split], labels[split]
        if dtype != np.uint8 or len(shape) not in (3, 4) or shape[3:] not in ((), (3,)):
            raise DataError(
                f"{path}: {split}_images is {dtype} {shape}; expected uint8 (N, S, S) or "
                "(N, S, S, 3). Volumes are not supported."
            )
        if answers.size != shape[0] or answers.dtype.kind not in "iu":
            raise DataError(
                f"{path}: {split}_labels is {answers.dtype} {answers.shape} for {shape[0]} images; "
                "expected one integer each. Multi-label data is not supported."
            )
        for row, answer in enumerate(answers.reshape(-1).tolist()):
            name = f"{split}/{row:06d}"
            records.append(Record(name, answer, name, split, path, row))
    values = sorted({record.label for record in records})
    derma = path.stem.startswith("dermamnist") and values == list(range(len(DERMAMNIST_CLASSES)))
    width = len(str(max(values, default=0)))
    classes = DERMAMNIST_CLASSES if derma else tuple(f"{value:0{width}d}" for value in values)
    records = [replace(record, label=values.index(record.label)) for record in records]
    note = (
        "DermaMNIST was split by image: the same lesion occurs in several of its splits, so "
        "scores on val and test are too good."
    )
    source = _finish(str(path), "medmnist", classes, records, [], "arrays of the archive")
    return replace(source, warnings=(*source.warnings, note)) if derma else source


def _npy_header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in an npz, without reading (a gigabyte of) its values."""
    with archive.open(member) as stream:
        major, _ = np.lib.format.read_magic(stream)
        if major == 1:
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    return shape, dtype


def _embedded(label: str | None) -> Source:
    if label is not None:
        raise UsageError(f"The embedded lesions have one set of labels; leave {label!r} away.")
    records = [
        Record(name := f"{split}/{lesions.CLASSES[kind]}/{row:05d}", kind, name, split, None, row)
        for split in SPLITS
        for kind, amount in enumerate(lesions.COUNTS[split])
        for row in range(amount)
    ]
    origin = "drawn separately; every image is its own lesion"
    return Source(EMBEDDED, EMBEDDED, lesions.CLASSES, tuple(records), (), origin)


def _finish(
    path: str,
    kind: str,
    classes: tuple[str, ...],
    records: list[Record],
    skipped: list[Skipped],
    origin: str,
) -> Source:
    """Give every record a split, sort, and say what the user should know about the splits."""
    by_lesion = any(record.group != record.id for record in records)
    warnings: list[str] = []
    if not origin:
        splits = assign_splits({record.group: record.label for record in records})
        records = [replace(record, split=splits[record.group]) for record in records]
        origin = MADE_BY_LESION if by_lesion else MADE_BY_IMAGE
        if not by_lesion:
            warnings.append(
                "No lesion ids are known: if several images show one lesion, the splits leak. "
                "A csv beside the images can name them (image_id, dx, lesion_id)."
            )
    elif records and kind != "manifest" and not any(record.split == "val" for record in records):
        chosen = carve_validation(record.group for record in records if record.split == "train")
        records = [
            replace(record, split="val")
            if record.split == "train" and record.group in chosen
            else record
            for record in records
        ]
        origin += "; there was no val, so an eighth of train was set aside as val"
    spans = len({(record.group, record.split) for record in records})
    torn = spans - len({record.group for record in records})
    if torn:
        warnings.append(
            f"Lesions that stand in more than one split: {torn}. Scores on val and test will be "
            "too good; mend the splits (`hqgan data inspect` names the lesions)."
        )
    ordered = tuple(sorted(records, key=lambda record: (record.split, record.id)))
    return Source(path, kind, classes, ordered, tuple(skipped), origin, tuple(warnings))


def _images_below(folder: Path, by_path: bool) -> tuple[dict[str, Path], list[Skipped]]:
    """Image files by path or by stem, the first path winning, and the others with their reason."""
    files: dict[str, Path] = {}
    skipped = []
    for file in _files(folder):
        path = file.relative_to(folder).as_posix()
        name = path if by_path else file.stem
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            # A manifest says itself what belongs to it.
            if not (tables.is_table(file) or by_path):
                skipped.append(Skipped(path, "not an image by its suffix"))
        elif name in files:
            other = files[name].relative_to(folder)
            skipped.append(Skipped(path, f"same name as {other}"))
        else:
            files[name] = file
    return files, skipped


def _because(skipped: list[Skipped]) -> str:
    return f": {skipped[0].reason} ({skipped[0].id})" if skipped else " at all"


def _visible_folders(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith((".", "__")):
            yield entry


def _files(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """Visible files, sorted; links to folders are followed, but no folder is entered twice.

    Nor is one that holds `folder`: other classes lie there.
    """
    above = (parent.stat() for parent in folder.resolve().parents)
    entered = {(status.st_dev, status.st_ino) for status in above}
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")) and deep)
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def refuse(error: OSError) -> None:
    """A folder that cannot be listed is not an empty one."""
    raise error
