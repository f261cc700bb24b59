"""What `hqgan evaluate --privacy` left: the verdict, and the pairs that a person should look at."""

from pathlib import Path
from typing import Any

import numpy as np

from hqgan.report.pieces import details, listed, missing, paragraph, photographs, table
from hqgan.report.stored import read_object, readable
from hqgan.workflows.privacy import MARGIN

COLUMNS = 5  # of worst.png


def memorisation(run: Path, again: str) -> list[str]:
    """A part for each privacy folder of a run, or the command that makes one.

    Raises:
        RunError: damaged files.
    """
    found = sorted(run.glob("privacy/*/privacy.json"))
    if not found:
        return [missing("Copies of training images were not looked for yet.", again)]
    return [part for file in reversed(found) for part in one(file)]


def one(file: Path) -> list[str]:
    """The verdict on one snapshot."""
    plain = read_object(file)
    with readable(file):
        attacks = [
            [
                a["attack"],
                f"{a['auc']:.3f}"
                + ("" if not a["interval"] else " [{:.3f}, {:.3f}]".format(*a["interval"])),
                "0.5 is chance",
            ]
            for a in plain["membership"]
        ]
        remarks = [*plain["warnings"], *plain["notes"]]
        where = f"{plain['snapshot']} on {plain['split']}"
        return [
            paragraph(f"{where}: {plain['sentence']}", "result"),
            paragraph(
                f"{plain['n_fake']:,} generated images against training and held-out ones "
                f"({plain['split']}), {plain['extractor']}, seed {plain['seed']}."
            ),
            listed(remarks) if remarks else "",
            table(f"Membership attacks, {where}", ["attack", "AUC [95 %]", ""], attacks)
            if attacks
            else "",
            details("Nearest pairs: generated left, training image right", pairs(file, plain)),
        ]


def pairs(file: Path, plain: dict[str, Any]) -> str:
    """Each pair with its distance."""
    sheet = file.parent / "worst.png"
    worst = plain["worst"]
    if not sheet.is_file():
        return paragraph("worst.png is not there any more.", "missing")
    images = read_pairs(sheet, len(worst))
    items = "\n".join(
        f"<li>{photographs(image[None], pair_in_words(pair))}"
        + paragraph(f"{pair['class_name']}, {pair['relative']:.2f} of the usual distance")
        + "</li>"
        for pair, image in zip(worst, images, strict=True)
    )
    said = paragraph(
        "The generated images nearest to a training image, each turned as that lies, beside it. "
        "1 is the distance that held-out images of the class usually have."
    )
    return f'{said}\n<ul class="pairs">{items}</ul>'


def pair_in_words(pair: dict[str, Any]) -> str:
    """What a pair shows."""
    return (
        f"A generated image of the class {pair['class_name']} and the training image "
        f"{pair['train_id']}, {pair['distance']:.1f} grey levels apart"
    )


def read_pairs(sheet: Path, count: int) -> list[np.ndarray]:
    """The pairs of worst.png, uint8 (S, 2 S, 3), without their margins."""
    from PIL import Image

    with Image.open(sheet) as picture:
        whole = np.array(picture.convert("RGB"))
    rows, columns = -(-count // COLUMNS), min(count, COLUMNS)
    high, wide = (whole.shape[0] + 2) // rows, (whole.shape[1] + 2) // columns
    found = []
    for index in range(count):
        top, left = index // COLUMNS * high + MARGIN, index % COLUMNS * wide + MARGIN
        found.append(whole[top : top + high - 2 - 2 * MARGIN, left : left + wide - 2 - 2 * MARGIN])
    return found
