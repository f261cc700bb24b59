"""Leaks between splits: what would make a score on val or test better than it is."""

import hashlib
from collections.abc import Collection, Iterator

import numpy as np

from hqgan.data.dataset import Dataset
from hqgan.errors import DataError

LISTED = 3  # offenders named in a message


def require_separate(train: Dataset, *others: Dataset) -> None:
    """Refuse splits that share a lesion or an image; cost about 0.2 ms an image of 64 pixels.

    Images are the same where their pixels are, turned or mirrored as need be.

    Raises DataError, which names the first offenders and what to do.
    """
    splits = (train, *others)
    for number, one in enumerate(splits):
        for other in splits[number + 1 :]:
            where = f"both {one.split} and {other.split}"
            shared = sorted(set(one.groups.tolist()) & set(other.groups.tolist()))
            if shared:
                raise DataError(
                    f"{_named(shared, 'lesion')} in {where}: what was learned from one image would "
                    "be asked of another of the same lesion. Give every lesion to one split; "
                    "`hqgan data inspect` lists them all."
                )
    homes: dict[bytes, tuple[str, str]] = {}
    pairs = []
    for dataset in splits:
        for key, name in zip(fingerprints(dataset.images), dataset.ids.tolist(), strict=True):
            split, first = homes.setdefault(key, (dataset.split, name))
            if split != dataset.split:
                pairs.append(f"{first} ({split}) = {name} ({dataset.split})")
    if pairs:
        raise DataError(
            f"{_named(pairs, 'image')} in two splits, pixel for pixel (turned and mirrored copies "
            "count). Remove one of each pair, or give both to one split; `hqgan data inspect` "
            "lists exact duplicates."
        )


def overlap(known: Collection[bytes], others: Dataset) -> list[str]:
    """Ids of the images in `others` whose fingerprint is `known`."""
    keys = fingerprints(others.images)
    return [name for key, name in zip(keys, others.ids.tolist(), strict=True) if key in known]


def missing_classes(*datasets: Dataset) -> list[str]:
    """A sentence for each split that lacks a class."""
    found = []
    for dataset in datasets:
        empty = np.flatnonzero(dataset.counts == 0)
        if len(empty):
            names = ", ".join(dataset.classes[k] for k in empty)
            found.append(f"{dataset.split} has no image of {names}: nothing is known of it there.")
    return found


def fingerprints(images: np.ndarray) -> Iterator[bytes]:
    """sha256 of each image of uint8 (N, S, S, 3), the same for its eight symmetries."""
    for image in images:
        turns = [np.rot90(image, k) for k in range(4)]
        views = (view.tobytes() for turn in turns for view in (turn, turn[:, ::-1]))
        yield hashlib.sha256(min(views)).digest()


def _named(offenders: list[str], noun: str) -> str:
    more = f" and {len(offenders) - LISTED} more" if len(offenders) > LISTED else ""
    plural = "s are" if len(offenders) > 1 else " is"
    return f"{len(offenders)} {noun}{plural} ({'; '.join(offenders[:LISTED])}{more})"
