"""Who is in train, val and test: by lesion, never by image, and the same on every machine."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from hqgan.errors import DataError

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def split_name(text: str, where: str) -> str:
    """Return train, val or test for any usual spelling; `DataError` naming `where` otherwise."""
    name = SPELLINGS.get(text.strip().lower())
    if name is None:
        raise DataError(
            f"{where} has the split {text!r}; expected train, val or test "
            f"(also understood: {', '.join(sorted(SPELLINGS))})."
        )
    return name


def assign_splits(labels: Mapping[str, int]) -> dict[str, str]:
    """Split groups 70/10/20 by a hash of their name, so that added images move no earlier one.

    Args:
        labels: group -> class. Classes with few groups are mended afterwards: a class of three or
            more groups is present in every split, a class of two in train and test, a class of
            one in train. Only there can an added group move another.
    """
    position = {group: _position(group) for group in labels}
    splits = {group: _threshold(position[group]) for group in labels}
    by_class: defaultdict[int, list[str]] = defaultdict(list)
    for group in sorted(labels, key=position.__getitem__):
        by_class[labels[group]].append(group)
    for groups in by_class.values():
        wanted = ("train", "test", "val")[: len(groups)]
        for name in wanted:
            present = Counter(splits[group] for group in groups)
            if not present[name]:
                donor = max(present, key=lambda split: (split not in wanted, present[split]))
                splits[next(group for group in groups if splits[group] == donor)] = name
    return splits


def carve_validation(groups: Iterable[str]) -> set[str]:
    """About 1 in 8 groups of a training split, to be val where a source came without one."""
    share = SHARES["val"] / (SHARES["train"] + SHARES["val"])
    groups = sorted(set(groups), key=_position)
    chosen = {group for group in groups if _position(group) < share}
    return chosen or set(groups[:1] if len(groups) > 1 else [])


@cache
def shipped_split() -> Mapping[str, str]:
    """The HAM10000 split that ships with the package: image id -> split, made by lesion."""
    text = (resources.files("hqgan.data") / "ham10000_split.csv").read_text()
    return {row["image_id"]: row["split"] for row in csv.DictReader(text.splitlines())}


def _position(group: str) -> float:
    """A number in [0, 1) that depends on nothing but the group's name."""
    digest = hashlib.sha256(b"hqgan split 1:" + group.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _threshold(position: float) -> str:
    if position < SHARES["train"]:
        return "train"
    return "val" if position < SHARES["train"] + SHARES["val"] else "test"
