"""The README.md of an augmented data set, with the head that the Hugging Face Hub reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hqgan.data import Dataset
from hqgan.foreign import in_code, in_markdown
from hqgan.models import About
from hqgan.workflows.judge import Judge
from hqgan.workflows.synthesis import PERCENT, ClassReport, CopyFilter

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True)
class Facts:
    """What the card tells: `settings` are the job's."""

    about: About
    settings: dict[str, Any]
    real: Dataset
    reports: Sequence[ClassReport]
    copies: CopyFilter | None
    judge: Judge | None
    warnings: Sequence[str]


def dataset_card(facts: Facts) -> str:
    """The text of README.md."""
    about, settings, real = facts.about, facts.settings, facts.real
    total = len(real) + sum(one.kept for one in facts.reports)
    size = next((word for most, word in SIZES if total < most), "n>1M")
    rows = "\n".join(
        f"| {in_markdown(one.name)} | {count} | {one.kept} | {one.asked} | {one.made} "
        f"| {one.near_copies} | {one.unrecognised} |"
        for one, count in zip(facts.reports, real.counts, strict=True)
    )
    warnings = "".join(f"- {in_markdown(text)}\n" for text in facts.warnings) or "None.\n"
    origin = about.origin
    inherited = (
        f"\n- The packaged generator that it is, or was fine-tuned from: "
        f"{in_markdown(f'{origin.name}, which learned from {origin.data}.')}"
        if origin
        else ""
    )
    terms = in_markdown(origin.terms("the synthetic images")) if origin else ""
    return f"""---
pretty_name: Skin lesions, real and synthetic
license: other
license_name: that-of-the-training-data
task_categories: [image-classification]
tags: [hqgan, dermatology, synthetic]
size_categories: [{size}]
---
# A training set of real and synthetic skin lesions

{total:,} images of {real.images.shape[1]} pixels in a folder a class: `real-*.png` are the training
images of a data set, `synthetic-*.png` were made by a generator that learned from them.
**The synthetic images are for research, not for diagnosis.** `manifest.csv` says which image is
which. All are of the train split: val and test of the data set are not in here, and a classifier is
to be measured on them, not on a part of this folder.

| class | real | synthetic | asked for | made | near-copies | unrecognised |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

An image made may be both a near-copy and unrecognised; neither kind is in the folder while its
filter was on.

## Filters
{copy_filter(facts)}
{class_filter(facts)}

These filters find problems; they prove nothing. A smooth image is near to many, so that what was
rejected need not have been copied; and that no near-copy is in the folder does not show that nobody
in the training data can be recognised.

## Origin
- Generator: `{about.generator}`, preset {in_code(about.preset)}, {about.images_seen:,} images \
seen, training seed {about.seed}.
- Snapshot (sha256 of its weights): `{settings["snapshot"]}`
- Seed of the synthetic images: {settings["seed"]}
- Training data (sha256 of the train split): `{real.checksum}`
- The generator's own training data: {own_data(facts)}{inherited}

## Warnings
{warnings}
## Licence
The licence of the training data extends to the real images and to what was learned from them, the
synthetic ones included. It is not known here: look it up and name it before you share this folder.
{terms}

Made by [hqgan](https://arxiv.org/abs/2506.21015).
"""


def copy_filter(facts: Facts) -> str:
    """What was called a copy."""
    if facts.copies is None:
        return "- Near-copies: not looked for; `distance` in the manifest is all there is."
    limits = "; ".join(
        f"{in_markdown(name)} {threshold:.2f} ({lesions} lesions)"
        for name, threshold, lesions in zip(
            facts.real.classes, facts.copies.thresholds, facts.copies.lesions, strict=True
        )
    )
    return (
        "- Near-copies: an image whose nearest training image, turned and mirrored as need be, is "
        f"not farther than the {PERCENT:g}st percentile of val lesions. Distances are root mean "
        f"square grey levels of 255 at 16 x 16 pixels. Thresholds: {limits}."
    )


def class_filter(facts: Facts) -> str:
    """Who judged, and how well."""
    recipe = facts.settings["class_filter"]
    if recipe is None or facts.judge is None:
        return "- Recognition: not asked for."
    recall = ", ".join(
        f"{in_markdown(name)} {share:.2f}" for name, share in facts.judge.recall.items()
    )
    return (
        f"- Recognition: a {recipe['name']} trained on the real images alone ({recipe['steps']} "
        f"steps of {recipe['batch']}), balanced accuracy on val "
        f"{facts.judge.balanced_accuracy:.3f}, share of val images it recognises: {recall} (it "
        "was selected on val, so that this is a little too good). `confidence` in the manifest is "
        "its probability of the class."
    )


def own_data(facts: Facts) -> str:
    """Whether the generator saw the real images in the folder, or others."""
    if facts.about.data_checksum == facts.real.checksum:
        return "the same train split."
    return f"other images (sha256 {in_code(facts.about.data_checksum)}), see the warnings."
