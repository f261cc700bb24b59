"""Label tables, known by their columns: HAM10000, ISIC one-hot, Fitzpatrick17k, our manifests."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hqgan.data.splits import split_name
from hqgan.errors import DataError, UsageError
from hqgan.foreign import from_csv

TABLE_SUFFIXES = (".csv", ".tab", ".tsv")
TABLE_NAMES = ("HAM10000_metadata",)  # the name Kaggle and Dataverse give it, without a suffix

ONE_HOT = ("MEL", "NV", "BCC", "AK", "AKIEC", "BKL", "DF", "VASC", "SCC", "UNK")
PARTITIONS = ("label", "nine_partition_label", "three_partition_label")


@dataclass(frozen=True)
class Table:
    """A csv file in memory: header and rows, every cell a stripped string."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled image of a table. `label` is empty, with a `problem`, where no class follows."""

    id: str
    label: str
    group: str = ""
    split: str = ""
    problem: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Layout:
    """A known set of columns and how a row of it is read.

    `by_path`: an image is named by its path from the table's folder, not by its bare name.
    """

    kind: str
    expected: str
    matches: Callable[[tuple[str, ...]], bool]
    rows: Callable[[Table, str | None], Iterator[Row]]
    by_path: bool = False


def is_table(path: Path) -> bool:
    """Whether the name is that of a table we would try to read."""
    return path.suffix.lower() in TABLE_SUFFIXES or path.name in TABLE_NAMES


def read_header(path: Path) -> tuple[str, ...]:
    """Column names of a csv or tab-separated file, in order; empty where it has none.

    A byte-order mark and blanks around names are dropped. Raises `DataError` for a file that
    cannot be read, or is no text, or names a column twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            header = tuple(name.strip() for name in next(_cells(stream), []))
    except (OSError, csv.Error) as problem:
        raise DataError(f"Cannot read {path} as csv: {problem}.") from problem
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"{path} has the column {', '.join(twice)} more than once; remove or rename one."
        )
    return header


def read_table(path: Path) -> Table:
    """Read a whole table; short rows are filled with empty cells. Raises as `read_header`."""
    columns = read_header(path)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            cells = _cells(stream)
            next(cells, None)
            padding = [""] * len(columns)
            rows = tuple(
                dict(zip(columns, map(str.strip, row + padding), strict=False))
                for row in cells
                if any(row)
            )
    except (OSError, csv.Error) as problem:
        raise DataError(f"Cannot read {path} as csv: {problem}.") from problem
    return Table(path, columns, rows)


def layout_of(columns: tuple[str, ...]) -> Layout | None:
    """The known layout of these columns, or `None`."""
    return next((layout for layout in LAYOUTS if layout.matches(columns)), None)


def unknown_columns(seen: dict[Path, tuple[str, ...]]) -> DataError:
    """The error for tables none of which is known: what they have and what would be understood."""
    found = "; ".join(f"{path} has {', '.join(names) or 'none'}" for path, names in seen.items())
    known = "; ".join(f"{layout.kind}: {layout.expected}" for layout in LAYOUTS)
    return DataError(f"No known set of columns. {found}. Known sets are {known}.")


def read_lesions(folder: Path, labels: Path) -> dict[str, str]:
    """Image -> lesion from the companion tables of ISIC (`image`, `lesion_id`) beside `labels`."""
    lesions: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path == labels or not path.is_file() or not is_table(path):
            continue
        columns = read_header(path)
        if {"image", "lesion_id"} <= set(columns) and layout_of(columns) is None:
            lesions |= {row["image"]: row["lesion_id"] for row in read_table(path).rows}
    return lesions


def _ham10000_rows(table: Table, label: str | None) -> Iterator[Row]:
    _refuse_label(table, label)
    extra = [name for name in ("dx_type", "age", "sex", "localization") if name in table.columns]
    for number, row in enumerate(table.rows, start=2):
        problem = "" if row["dx"] else "the column dx is empty"
        split = row.get("split", "")
        if "split" in table.columns and not split:
            problem = problem or "the column split is empty"
        yield Row(
            id=row["image_id"],
            label=row["dx"],
            group=row.get("lesion_id", ""),
            split=split and split_name(split, f"{table.path}, line {number}"),
            problem=problem,
            metadata=tuple((name, row[name]) for name in extra),
        )


def _isic_rows(table: Table, label: str | None) -> Iterator[Row]:
    _refuse_label(table, label)
    classes = [name for name in table.columns if name in ONE_HOT]
    lesions = read_lesions(table.path.parent, table.path)
    for row in table.rows:
        chosen = [name for name in classes if _is_one(row[name])]
        problem = "" if len(chosen) == 1 else f"{len(chosen)} of the class columns are 1"
        yield Row(
            id=row["image"],
            label=chosen[0] if len(chosen) == 1 else "",
            group=row.get("lesion_id", "") or lesions.get(row["image"], ""),
            problem=problem,
        )


def _fitzpatrick_rows(table: Table, label: str | None) -> Iterator[Row]:
    column = label or PARTITIONS[0]
    if column not in PARTITIONS or column not in table.columns:
        offered = ", ".join(name for name in PARTITIONS if name in table.columns)
        raise UsageError(f"{table.path} has no label column {column!r}; expected one of {offered}.")
    for row in table.rows:
        skin_type = row["fitzpatrick_scale"].removesuffix(".0")
        yield Row(
            id=row["md5hash"],
            label=row[column],
            problem="" if row[column] else f"the column {column} is empty",
            # -1 is the file's word for "the annotators could not say"
            metadata=(("skin_type", "" if skin_type == "-1" else skin_type),),
        )


def _manifest_rows(table: Table, label: str | None) -> Iterator[Row]:
    _refuse_label(table, label)
    for number, row in enumerate(table.rows, start=2):
        yield Row(
            id=from_csv(row["file"]),
            label=from_csv(row["class"]),
            group=from_csv(row.get("lesion", "")),
            split=split_name(row["split"], f"{table.path}, line {number}"),
            problem="" if row["class"] else "the column class is empty",
            metadata=(("synthetic", row["synthetic"]),) if "synthetic" in table.columns else (),
        )


def _refuse_label(table: Table, label: str | None) -> None:
    if label is not None:
        raise UsageError(
            f"The label column {label!r} was asked for, but {table.path} has only one way to be "
            f"labelled; leave the option away (it chooses between {', '.join(PARTITIONS)} of "
            "Fitzpatrick17k)."
        )


def _is_one(cell: str) -> bool:
    try:
        return float(cell) == 1.0
    except ValueError:
        return False


def _cells(stream: Iterator[str]) -> Iterator[list[str]]:
    """Rows of cells; the separator is tab or semicolon where the header has no comma but those."""
    first = next(stream, "")
    separator = next((mark for mark in "\t;" if mark in first and "," not in first), ",")

    def lines() -> Iterator[str]:
        yield first
        yield from stream

    return csv.reader(lines(), delimiter=separator)


LAYOUTS = (
    Layout(
        "ham10000",
        "image_id, dx [, lesion_id, split, dx_type, age, sex, localization]",
        lambda columns: {"image_id", "dx"} <= set(columns),
        _ham10000_rows,
    ),
    Layout(
        "isic",
        f"image and at least two of {', '.join(ONE_HOT)} [, lesion_id]",
        lambda columns: "image" in columns and len(set(columns) & set(ONE_HOT)) >= 2,
        _isic_rows,
    ),
    Layout(
        "fitzpatrick17k",
        "md5hash, fitzpatrick_scale, label [, nine_partition_label, three_partition_label]",
        lambda columns: {"md5hash", "fitzpatrick_scale", "label"} <= set(columns),
        _fitzpatrick_rows,
    ),
    Layout(
        "manifest",
        "file, class, split [, lesion, synthetic], as `hqgan data prepare` and `augment` write",
        lambda columns: {"file", "class", "split"} <= set(columns),
        _manifest_rows,
        by_path=True,
    ),
)
