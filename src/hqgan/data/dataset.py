"""The nouns of this room: `Record` names an image, `Source` lists them, `Dataset` holds them."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from hqgan.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Skipped:
    """One file or row that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image that has not been opened yet.

    `file` is an image file, or the npz archive that holds the image in row `row` of the split
    that `id` begins with, or `None` for an embedded lesion, which is drawn from `row`.
    `group` is the lesion, or `id` where no lesion is known.
    """

    id: str
    label: int
    group: str
    split: str
    file: Path | None
    row: int = 0
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """The index of a data set: what is in it and how it was split; no image has been opened.

    `kind` is one of folder, ham10000, isic, fitzpatrick17k, manifest, medmnist, embedded.
    `split_origin` says in words who decided the splits. `warnings` are sentences for the user.
    """

    path: str
    kind: str
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]
    split_origin: str
    warnings: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Record, ...]:
        """Records of one split, in the order of their ids."""
        return tuple(record for record in self.records if record.split == name)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and class, zeros included."""
        seen = Counter((record.split, record.label) for record in self.records)
        return {
            split: {name: seen[split, label] for label, name in enumerate(self.classes)}
            for split in SPLITS
        }


@dataclass(frozen=True, eq=False)
class Dataset:
    """The decoded images of one split, with what is known about each.

    `images` is uint8 (N, S, S, 3), RGB; `labels` int64 (N,), indices into `classes`; `groups` and
    `ids` str (N,), where the group is the lesion or, where none is known, the id itself;
    `metadata` maps a column to str (N,), empty where unknown; `skipped` names every image of the
    source that is not here because it could not be used.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray
    ids: np.ndarray
    split: str
    metadata: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> np.ndarray:
        """Images per class, int64 (K,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @cached_property
    def checksum(self) -> str:
        """Hexadecimal sha256 over split, classes, ids, labels and pixels."""
        digest = hashlib.sha256(repr((self.split, self.classes, self.images.shape)).encode())
        digest.update("\0".join(self.ids.tolist()).encode("utf-8", "surrogateescape"))
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()


def require_trainable(dataset: Dataset, batch: int) -> None:
    """Refuse data that a class-conditional model cannot learn from.

    Raises `DataError` for a single class, a class without an image, or fewer images than `batch`.
    """
    if len(dataset.classes) < 2:
        raise DataError(
            f"The data has one class only ({', '.join(dataset.classes)}); a class-conditional "
            "model needs at least two. Add a folder or label for a second class; if your classes "
            "lie one level deeper, point --data at the folder that holds them."
        )
    empty = [name for name, count in zip(dataset.classes, dataset.counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"No {dataset.split} image of class {', '.join(empty)}: a class cannot be learned from "
            "nothing. Add images of it to that split, or remove the class from the labels."
        )
    if len(dataset) < batch:
        raise DataError(
            f"The {dataset.split} split has {len(dataset)} images, fewer than one batch of "
            f"{batch}. Add images or lower the batch size to at most {len(dataset)}."
        )
