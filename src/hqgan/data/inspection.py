"""What is in a data set, before anything is trained: counts, sizes, damage, duplicates, leaks."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hqgan.data.dataset import SPLITS, Record, Skipped, Source
from hqgan.data.decoding import Unreadable, reader
from hqgan.data.loading import Progress, parallel_map
from hqgan.data.sources import open_source

THUMBNAIL = (32, 24)  # width, height
NEAR = 3.5  # grey levels of 255, root mean square over a thumbnail
POOL = 4  # side of the blocks whose means bound the distance from below
BLOCK = 1024  # thumbnails compared with each other in one matrix product
EMBEDDED_SIZE = 64
LISTED = 5  # examples per finding in the text; the JSON has them all
FEW = 10  # images of a class to be measured on, below which its own numbers say next to nothing


@dataclass(frozen=True)
class Pair:
    """Two (nearly) equal images; `distance` is in grey levels of 255, and 0 is identical."""

    first: str
    second: str
    splits: tuple[str, str]
    classes: tuple[str, str]
    same_group: bool
    distance: float

    @property
    def leaks(self) -> bool:
        """Whether one of the two is in another split than the other."""
        return self.splits[0] != self.splits[1]


@dataclass(frozen=True)
class Inspection:
    """The findings of `inspect`.

    `counts` are images that can be read, per split and class, `groups` lesions per split;
    `lesions_known` says whether the data names lesions, or each image counts as one; `sizes` counts
    "width x height"; `group_leaks` maps each lesion that is in several splits to them.
    """

    path: str
    kind: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    groups: dict[str, int]
    lesions_known: bool
    split_origin: str
    sizes: dict[str, int]
    unreadable: tuple[Skipped, ...]
    skipped: tuple[Skipped, ...]
    exact_duplicates: tuple[Pair, ...]
    near_duplicates: tuple[Pair, ...]
    group_leaks: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...]

    @property
    def leaks(self) -> int:
        """Lesions, and pairs of (near) duplicates, that span two splits."""
        pairs = (*self.exact_duplicates, *self.near_duplicates)
        return len(self.group_leaks) + sum(pair.leaks for pair in pairs)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain lists, dicts, strings and numbers, for JSON."""
        return {**asdict(self), "leaks": self.leaks}

    def lines(self) -> list[str]:
        """The findings as lines of plain text, examples cut short."""
        width = max(map(len, (*self.classes, "class")))
        images = {split: sum(counts.values()) for split, counts in self.counts.items()}
        lines = [
            f"{self.path}: {self.kind}, {sum(images.values())} images",
            f"splits: {self.split_origin}",
            "",
            f"{'class':{width}} " + "".join(f"{split:>8}" for split in SPLITS),
        ]
        for name in self.classes:
            cells = "".join(f"{self.counts[split][name]:8d}" for split in SPLITS)
            lines.append(f"{name:{width}} {cells}")
        totals = "".join(f"{images[split]:8d}" for split in SPLITS)
        lines.append(f"{'images':{width}} {totals}")
        if self.lesions_known:
            lesions = "".join(f"{self.groups[split]:8d}" for split in SPLITS)
            lines.append(f"{'lesions':{width}} {lesions}")
        lines.append("")
        common = sorted(self.sizes.items(), key=lambda item: -item[1])
        lines.append("sizes: " + _listing([f"{size} ({count})" for size, count in common]))
        lines += _reasons("unreadable", self.unreadable)
        lines += _reasons("left out", self.skipped)
        lines += _pairs("exact duplicates", self.exact_duplicates)
        lines += _pairs("near duplicates", self.near_duplicates)
        spans = [f"{group} in {' and '.join(splits)}" for group, splits in self.group_leaks.items()]
        if self.lesions_known:
            found = f"{len(spans)}{': ' * bool(spans)}{_listing(spans)}"
            lines.append(f"lesions in two splits: {found}")
        return [*lines, *(f"warning: {text}" for text in (*self.warnings, *self._advice()))]

    def _advice(self) -> Iterator[str]:
        """What to do about duplicates and about classes too small to be measured."""
        pairs = (*self.exact_duplicates, *self.near_duplicates)
        if any(pair.leaks for pair in pairs):
            yield "An image in two splits is learned from and measured on: delete one of each pair."
        if any(pair.classes[0] != pair.classes[1] for pair in pairs):
            yield "An image under two labels teaches both: delete the wrong one of each pair."
        for split in SPLITS[1:]:
            few = [f"{name} {n}" for name, n in self.counts[split].items() if 0 < n < FEW]
            if few:
                yield (
                    f"Few {split} images ({_listing(few)}): what is measured of such a class alone "
                    "says next to nothing; look at all classes together, or add images."
                )


def inspect(
    path: str | Path | None, *, label: str | None = None, progress: Progress | None = None
) -> Inspection:
    """Open every image once and report what a user should know before training.

    Exact duplicates have equal pixels after decoding to RGB. Near duplicates have 32 x 24
    thumbnails whose root mean square difference is below 3.5 of 255; turned, mirrored or shifted
    copies are not found. Takes 10 kB of memory per image; time is that of decoding plus, for N
    images, about N² / 2 · 300 flop.

    Raises what `open_source` raises; unreadable images are findings, not errors.
    """
    source = open_source(path, label=label)
    read = reader(source, source.records)

    def look(record: Record) -> tuple[tuple[int, int], str, np.ndarray] | str:
        try:
            image = read(record, EMBEDDED_SIZE)
        except Unreadable as problem:
            return str(problem)
        thumbnail = np.array(image.resize(THUMBNAIL, Image.Resampling.BOX))
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes())
        return image.size, digest.hexdigest(), thumbnail

    unreadable: list[Skipped] = []
    records: list[Record] = []
    digests: list[str] = []
    thumbnails: list[np.ndarray] = []
    sizes: Counter[str] = Counter()
    readable: Counter[tuple[str, int]] = Counter()
    looks = parallel_map(look, source.records, progress)
    for record, seen in zip(source.records, looks, strict=True):
        if isinstance(seen, str):
            unreadable.append(Skipped(record.id, seen))
            continue
        (width, height), digest, thumbnail = seen
        sizes[f"{width} x {height}"] += 1
        readable[record.split, record.label] += 1
        records.append(record)
        digests.append(digest)
        thumbnails.append(thumbnail)
    exact = _equal(digests)
    pixels = np.stack(thumbnails) if thumbnails else np.empty((0, *THUMBNAIL[::-1], 3), np.uint8)
    near = [
        (first, second, distance)
        for first, second, distance in near_pairs(pixels, NEAR)
        if digests[first] != digests[second]
    ]
    return Inspection(
        path=source.path,
        kind=source.kind,
        classes=source.classes,
        counts={
            split: {name: readable[split, label] for label, name in enumerate(source.classes)}
            for split in SPLITS
        },
        groups={
            split: len({record.group for record in records if record.split == split})
            for split in SPLITS
        },
        lesions_known=any(record.group != record.id for record in source.records),
        split_origin=source.split_origin,
        sizes=dict(sizes),
        unreadable=tuple(unreadable),
        skipped=source.skipped,
        exact_duplicates=_describe(source, records, ((a, b, 0.0) for a, b in exact)),
        near_duplicates=_describe(source, records, near),
        group_leaks=_group_leaks(source),
        warnings=source.warnings,
    )


def near_pairs(thumbnails: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """Pairs (i < j) of uint8 (N, H, W, 3) images closer than `threshold` in root mean square.

    The means over 4 x 4 blocks are never farther apart than the images themselves (Jensen), so one
    blockwise matrix product of 16 times fewer numbers rejects nearly all pairs and loses none.
    """
    count, height, width, _ = thumbnails.shape
    if count == 0:
        return []
    blocks = thumbnails.reshape(count, height // POOL, POOL, width // POOL, POOL, 3)
    coarse = blocks.mean((2, 4), dtype=np.float32).reshape(count, -1)
    coarse = coarse - coarse.mean(0)  # smaller numbers, less cancellation below
    square = np.einsum("ij,ij->i", coarse, coarse)
    # the slack covers float32 rounding of the products; survivors are measured exactly
    limit = coarse.shape[1] * threshold**2 + 1e-5 * float(square.max(initial=0.0))
    pairs = []
    for top in range(0, count, BLOCK):
        for left in range(top, count, BLOCK):
            rows, columns = slice(top, top + BLOCK), slice(left, left + BLOCK)
            products = coarse[rows] @ coarse[columns].T
            squared = square[rows, None] + square[None, columns] - 2 * products
            for i, j in zip(*(squared < limit).nonzero(), strict=True):
                first, second = top + int(i), left + int(j)
                if first < second:
                    difference = thumbnails[first].astype(np.float64) - thumbnails[second]
                    distance = float(np.sqrt(np.mean(np.square(difference))))
                    if distance < threshold:
                        pairs.append((first, second, distance))
    return pairs


def _equal(digests: list[str]) -> list[tuple[int, int]]:
    """Pairs of equal digests: each member of a set of copies with the first of the set."""
    order = sorted(range(len(digests)), key=lambda index: (digests[index], index))
    pairs = []
    for _, copies in groupby(order, key=digests.__getitem__):
        first, *others = copies
        pairs += [(first, other) for other in others]
    return pairs


def _describe(
    source: Source, records: list[Record], pairs: Iterable[tuple[int, int, float]]
) -> tuple[Pair, ...]:
    described = []
    for i, j, distance in pairs:
        a, b = records[i], records[j]
        described.append(
            Pair(
                first=a.id,
                second=b.id,
                splits=(a.split, b.split),
                classes=(source.classes[a.label], source.classes[b.label]),
                same_group=a.group == b.group,
                distance=round(distance, 3),
            )
        )
    return tuple(sorted(described, key=lambda pair: (not pair.leaks, pair.first, pair.second)))


def _group_leaks(source: Source) -> dict[str, tuple[str, ...]]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for record in source.records:
        splits[record.group].add(record.split)
    return {group: tuple(sorted(names)) for group, names in splits.items() if len(names) > 1}


def _pairs(title: str, pairs: tuple[Pair, ...]) -> list[str]:
    leaks = sum(pair.leaks for pair in pairs)
    disputed = sum(pair.classes[0] != pair.classes[1] for pair in pairs)
    lines = [f"{title}: {len(pairs)} pairs, {leaks} across splits, {disputed} with two labels"]
    lines += [
        f"  {pair.first} ({pair.splits[0]}, {pair.classes[0]}) = {pair.second} "
        f"({pair.splits[1]}, {pair.classes[1]}), distance {pair.distance}"
        for pair in pairs[:LISTED]
    ]
    return lines + ["  …"] * (len(pairs) > LISTED)


def _reasons(title: str, skipped: tuple[Skipped, ...]) -> list[str]:
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for item in skipped:
        reasons[item.reason].append(item.id)
    lines = [f"{title}: {len(skipped)}"]
    return lines + [f"  {reason}: {_listing(names)}" for reason, names in reasons.items()]


def _listing(names: list[str]) -> str:
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest
