"""What `data inspect` found in an upload, in tables and sentences of the page."""

from collections import Counter

from hqgan.app.pictures import sentences, table
from hqgan.app.sentences import sentence
from hqgan.data import SPLITS, Inspection
from hqgan.data.inspection import Pair
from hqgan.errors import HqganError

EXAMPLES = 3
FEWEST_CLASSES = 2


def findings_html(found: Inspection, left_out: tuple[str, ...]) -> str:
    """Counts by class and split, then one sentence for each finding."""
    counts = [found.counts[split] for split in SPLITS]
    rows = [[name, *(f"{count[name]:,}" for count in counts)] for name in found.classes]
    rows.append(["all", *(f"{sum(count.values()):,}" for count in counts)])
    good, bad = statements(found, left_out)
    return (
        table(("Class", "Training", "Validation", "Test"), rows, "Images of each class")
        + (sentences(bad, "hq-warning") if bad else "")
        + sentences(good)
    )


def statements(found: Inspection, left_out: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What is as it should be, and what the visitor should know before training."""
    good = [f"Splits: {found.split_origin}."]
    common = Counter(found.sizes).most_common(EXAMPLES)
    shown = ", ".join(f"{size} ({count:,})" for size, count in common)
    more = f" and {len(found.sizes) - EXAMPLES} more" if len(found.sizes) > EXAMPLES else ""
    good.append(f"Sizes in pixels: {shown}{more}.")
    bad = []
    if len(found.classes) < FEWEST_CLASSES:
        bad.append(
            f"There is one class only ({found.classes[0]}); training needs at least two. Pack one "
            "folder for each class."
        )
    if left_out:
        bad.append(f"Left in the zip, for they are no images: {_some(left_out)}.")
    if found.unreadable:
        named = [f"{item.id} ({item.reason})" for item in found.unreadable]
        bad.append(f"Cannot be read: {_some(named)}.")
    if found.skipped:
        named = [f"{item.id} ({item.reason})" for item in found.skipped]
        bad.append(f"Left out: {_some(named)}.")
    for title, pairs in (
        ("equal in every pixel", found.exact_duplicates),
        ("nearly equal", found.near_duplicates),
    ):
        if pairs:
            bad.append(_pairs(title, pairs))
        else:
            good.append(f"No two images are {title}.")
    if found.group_leaks:
        bad.append(f"Lesions in two splits: {_some(list(found.group_leaks))}.")
    bad += [sentence(HqganError(text), {found.path: "your images"}) for text in found.warnings]
    return good, bad


def _pairs(title: str, pairs: tuple[Pair, ...]) -> str:
    count = f"{len(pairs):,} pairs of images are" if len(pairs) > 1 else "One pair of images is"
    text = f"{count} {title}: {_some([f'{p.first} and {p.second}' for p in pairs])}."
    leaks = sum(pair.leaks for pair in pairs)
    disputed = sum(pair.classes[0] != pair.classes[1] for pair in pairs)
    if leaks:
        text += f" Across splits: {leaks:,}; scores on val and test would be too good."
    if disputed:
        text += f" With two different classes: {disputed:,}; one of the labels must be wrong."
    return text


def _some(names: list[str] | tuple[str, ...]) -> str:
    """The first few, and how many more."""
    rest = f" and {len(names) - EXAMPLES:,} more" if len(names) > EXAMPLES else ""
    return "; ".join(names[:EXAMPLES]) + rest
