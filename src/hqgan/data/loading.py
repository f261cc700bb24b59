"""Decode one split in parallel, once: the next start reads it from the cache."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from hqgan.data.dataset import SPLITS, Dataset, Record, Skipped, Source
from hqgan.data.decoding import PIPELINE_VERSION, Unreadable, reader, to_square
from hqgan.data.sources import open_source
from hqgan.errors import DataError, UsageError

SIZES = (8, 1024)

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


def load_dataset(
    path: str | Path | None,
    split: str,
    size: int,
    *,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    label: str | None = None,
) -> Dataset:
    """Decode the images of one split to uint8 (N, size, size, 3), or read them from the cache.

    Costs about 1 ms per 128-pixel JPEG and core the first time; the result takes 3 size² bytes
    per image in memory and on disk.

    Args:
        path: what `open_source` takes; `None` or "embedded" are the synthetic lesions.
        split: train, val or test.
        size: side of the square images in pixels.
        cache_dir: where decoded images are kept; `None` is $HQGAN_CACHE, else ~/.cache/hqgan.
            A folder that cannot be written costs speed and nothing else.
        progress: called as progress(done, total) while decoding; not called on a cache hit.
        label: the column used as class, for data with several (see `open_source`).

    Raises:
        UsageError: an unknown split or an impossible size.
        DataError: the split is empty or not one image of a class could be read; single
            unreadable images are left out and listed in `skipped`.
    """
    if split not in SPLITS:
        raise UsageError(f"Unknown split {split!r}; expected one of {', '.join(SPLITS)}.")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"Size {size} is not between {SIZES[0]} and {SIZES[1]} pixels.")
    source = open_source(path, label=label)
    records = source.split(split)
    if not records:
        raise DataError(
            f"{source.path} has no {split} image (splits: {source.split_origin}). "
            f"Choose another split or add images to this one."
        )
    entry = cache_folder(cache_dir) / _fingerprint(source, records, split, size)
    cached = _read_cache(entry, len(records), size)
    if cached is None or _any_mended(source, records, cached[1]["failed"], size):
        images, notes = _decode(source, records, size, progress)
        _refuse_lost_classes(source, records, notes["failed"])
        _write_cache(entry, images, notes)
    else:
        images, notes = cached
    return _assemble(source, records, split, images, notes)


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """What can be made again is kept in `cache_dir`, else $HQGAN_CACHE, else ~/.cache/hqgan.

    Raises `UsageError` where ~ is nobody's home, as in a container that runs as an unknown user.
    """
    folder = Path(cache_dir or os.environ.get("HQGAN_CACHE") or "~/.cache/hqgan")
    try:
        return folder.expanduser()
    except RuntimeError as problem:
        raise UsageError(
            f"The cache would be {folder}, but there is no such home. Name a folder: "
            "export HQGAN_CACHE=FOLDER."
        ) from problem


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], progress: Progress | None = None
) -> Iterator[Result]:
    """Yield function(item) in order, computed by threads; Pillow decodes outside the GIL.

    Pillow's warning about images of 89 to 179 million pixels is an error meanwhile, so that a
    decompression bomb is reported like any other unusable file.
    """
    items = list(items)
    with warnings.catch_warnings(), ThreadPoolExecutor(usable_cores()) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for done, result in enumerate(pool.map(function, items), start=1):
                yield result
                if progress is not None:
                    progress(done, len(items))
        except BaseException:  # Ctrl-C included: drop the queue instead of finishing it
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _decode(
    source: Source, records: tuple[Record, ...], size: int, progress: Progress | None
) -> tuple[np.ndarray, dict]:
    """Images without the failed ones, and notes: failed {index: reason}, enlarged (a count)."""
    images = np.empty((len(records), size, size, 3), np.uint8)
    read = reader(source, records)

    def decode(index: int) -> tuple[str | None, bool]:
        try:
            image = read(records[index], size)
        except Unreadable as problem:
            return str(problem), False
        images[index] = to_square(image, size)
        return None, min(image.size) < size

    outcomes = list(parallel_map(decode, range(len(records)), progress))
    failed = {index: reason for index, (reason, _) in enumerate(outcomes) if reason is not None}
    enlarged = sum(small for _, small in outcomes)
    if failed:
        images = np.delete(images, list(failed), axis=0)
    return images, {"failed": failed, "enlarged": enlarged}


def _any_mended(
    source: Source, records: tuple[Record, ...], failed: dict[int, str], size: int
) -> bool:
    """Whether an image that failed before can be read now: permissions and networks recover."""
    suspects = [records[index] for index in failed]
    read = reader(source, suspects)

    def readable(record: Record) -> bool:
        try:
            read(record, size)
        except Unreadable:
            return False
        return True

    return any(list(parallel_map(readable, suspects)))


def _assemble(
    source: Source, records: tuple[Record, ...], split: str, images: np.ndarray, notes: dict
) -> Dataset:
    failed: dict[int, str] = notes["failed"]
    kept = [record for index, record in enumerate(records) if index not in failed]
    unreadable = tuple(Skipped(records[index].id, reason) for index, reason in failed.items())
    remarks = list(source.warnings)
    if notes["enlarged"]:
        remarks.append(
            f"{notes['enlarged']} of {len(records)} {split} images are smaller than "
            f"{images.shape[1]} pixels and were enlarged; a smaller --size would be honest."
        )
    columns = dict.fromkeys(key for record in kept for key, _ in record.metadata)
    known = [dict(record.metadata) for record in kept]
    return Dataset(
        images=images,
        labels=np.array([record.label for record in kept], np.int64),
        classes=source.classes,
        groups=np.array([record.group for record in kept], str),
        ids=np.array([record.id for record in kept], str),
        split=split,
        metadata={key: np.array([row.get(key, "") for row in known], str) for key in columns},
        skipped=unreadable + source.skipped,  # damage before what was never an image
        warnings=tuple(remarks),
    )


def _refuse_lost_classes(
    source: Source, records: tuple[Record, ...], failed: dict[int, str]
) -> None:
    present = {record.label for record in records}
    survivors = {record.label for index, record in enumerate(records) if index not in failed}
    for label in sorted(present - survivors):
        index = next(index for index in failed if records[index].label == label)
        raise DataError(
            f"Not one {records[index].split} image of class {source.classes[label]!r} in "
            f"{source.path} could be read; the first is {records[index].id}: {failed[index]}. "
            "Replace the damaged files or remove the class."
        )


def _fingerprint(source: Source, records: tuple[Record, ...], split: str, size: int) -> str:
    """Hexadecimal key that changes with any file's name, size or date, any label, the pipeline."""
    head = (PIPELINE_VERSION, source.kind, source.classes, split, size)
    digest = hashlib.sha256(repr(head).encode())
    stamps: dict[Path, tuple[int, int]] = {}
    for record in records:
        if record.file is not None and record.file not in stamps:
            try:
                status = record.file.stat()
                stamps[record.file] = (status.st_size, status.st_mtime_ns)
            except OSError:
                stamps[record.file] = (-1, -1)
        stamp = None if record.file is None else stamps[record.file]
        line = (record.id, record.label, str(record.file), record.row, stamp)
        digest.update(repr(line).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read_cache(entry: Path, count: int, size: int) -> tuple[np.ndarray, dict] | None:
    """The cached images and notes, or `None` where there is nothing whole to read."""
    try:
        notes = json.loads(entry.with_suffix(".json").read_text())
        notes["failed"] = {int(index): reason for index, reason in notes["failed"].items()}
        images = np.load(entry.with_suffix(".npy"), allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError):
        return None
    whole = (count - len(notes["failed"]), size, size, 3)
    return (images, notes) if images.shape == whole and images.dtype == np.uint8 else None


def _write_cache(entry: Path, images: np.ndarray, notes: dict) -> None:
    """Write both files under a private name first, so that no reader ever meets half a file."""
    partial = entry.with_suffix(f".{os.getpid()}.part")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(notes))
        partial.replace(entry.with_suffix(".json"))
        with partial.open("wb") as stream:
            np.save(stream, images)
        partial.replace(entry.with_suffix(".npy"))
    except OSError:  # read-only or full: the next start decodes again
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            return


def usable_cores() -> int:
    """Cores that this process may use, of those that the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1
