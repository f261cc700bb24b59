"""What a generator makes: real images beside generated ones, and walks from one to another."""

from collections.abc import Sequence
from html import escape

import numpy as np
import torch

from hqgan.data import Dataset, to_uint8
from hqgan.models import About, Generator, generate, walk
from hqgan.report.pieces import heading, paragraph, photographs
from hqgan.report.sheet import COLUMNS, some_of

MOST_CLASSES = 24  # that are shown; a page of 300 could not be opened
WALKED = 4  # classes
STEPS = 9  # images of a walk


def shown_classes(about: About, most: int) -> list[int]:
    """The classes with most training images, in their own order."""
    order = np.argsort([-count for count in about.class_counts], kind="stable")[:most]
    return sorted(order.tolist())


def sheet(
    generator: Generator, about: About, reference: Dataset | None, why: str, seed: int
) -> list[str]:
    """A row a class, none of the images chosen; `why` says why there are no real ones.

    Cost: COLUMNS images of each class shown.
    """
    classes = shown_classes(about, MOST_CLASSES)
    parts = [paragraph(intro(about, reference, len(classes)))]
    if reference is None:
        parts.append(paragraph(f"Real images are not shown: {why}", "missing"))
    for y in classes:
        name, count = about.classes[y], about.class_counts[y]
        made = images_of(generator, [y] * COLUMNS, seed)
        pieces = [photograph(made, "generated", name)]
        if reference is not None:
            real = some_of(reference, y, seed)
            split = reference.split
            pieces.insert(
                0,
                photograph(padded(real), f"real ({split})", name, len(real))
                if len(real)
                else paragraph(f"{split} has no image of this class.", "missing"),
            )
        parts.append(heading(f"{name} ({count:,} training image{'s' * (count != 1)})"))
        parts.append('<div class="sheet">' + "\n".join(pieces) + "</div>")
    return parts


def intro(about: About, reference: Dataset | None, shown: int) -> str:
    """What the rows are."""
    hidden = len(about.classes) - shown
    few = (
        f" The {shown} classes with most training images are shown, {hidden} are not."
        if hidden
        else ""
    )
    sides = "Images that nobody chose" + (", real ones first" if reference is not None else "")
    return f"{sides}: {COLUMNS} of each class, by seed.{few}"


def photograph(images: np.ndarray, what: str, name: str, count: int | None = None) -> str:
    """A strip of images of one class and kind, with what they are below."""
    n = len(images) if count is None else count
    alt = f"{n} {what} image{'s' * (n != 1)} of the class {name}"
    return f"<figure>{photographs(images, alt)}<figcaption>{escape(what)}</figcaption></figure>"


def padded(images: np.ndarray) -> np.ndarray:
    """Filled up with white to COLUMNS images, so that all strips have one scale."""
    missing = np.full((COLUMNS - len(images), *images.shape[1:]), 255, np.uint8)
    return np.concatenate([images, missing])


def walks(generator: Generator, about: About, seed: int) -> list[str]:
    """From the first image of one seed to that of the next, a row for each of a few classes.

    Cost: STEPS images of each class shown.
    """
    classes = shown_classes(about, WALKED)
    parts = [
        paragraph(
            f"From the first image of seed {seed} to the first of seed {seed + 1} in {STEPS} steps "
            "through the latent space, the class held fixed. A generator that has learned rather "
            "than stored changes gradually, and every step is a plausible image."
        )
    ]
    for y in classes:
        z = walk(generator, y, (seed, seed + 1), STEPS)
        with torch.inference_mode():
            images = to_uint8(generator(z, torch.full((STEPS,), y)).float())
        alt = (
            f"A walk in {STEPS} steps between two generated images of the class {about.classes[y]}"
        )
        parts.append(
            f"<figure>{photographs(images, alt)}"
            f"<figcaption>{escape(about.classes[y])}</figcaption></figure>"
        )
    return parts


def images_of(generator: Generator, labels: Sequence[int], seed: int) -> np.ndarray:
    """Generated images, uint8 (n, S, S, 3)."""
    return np.concatenate([to_uint8(batch) for batch in generate(generator, labels, seed)])
