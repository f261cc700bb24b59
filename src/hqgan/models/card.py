"""README.md of a snapshot: the model card, with the head that the Hugging Face Hub reads.

It says what the snapshot itself knows. What a run knows besides (measurements, copies, time) is
filled in by `hqgan.workflows.model_card`, which also makes anew what stands in a run's folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCard

from hqgan.foreign import in_code, in_markdown
from hqgan.models.about import About
from hqgan.reading import SMALL, read_bytes

CARD = "README.md"
OURS = "<!-- hqgan makes this page anew when it measures; without this line it stays as it is -->"
CLASSICAL = ("dcgan", "fastgan", "stylegan2", "ddpm")  # generators without circuits
NOT_NAMED = "not named here"
NOT_MEASURED = "Not measured yet; `hqgan evaluate RUN` does."
NOT_EXAMINED = "Not looked for yet; `hqgan evaluate RUN --privacy` does."
CITATION = """```bibtex
@misc{jiao2025hybridq,
  title  = {HybridQ: Hybrid Classical-Quantum Generative Adversarial Network for Skin Disease
            Image Generation},
  author = {Qingyue Jiao and Kangyu Zheng and Yiyu Shi and Zhiding Liang},
  year   = {2025},
  eprint = {2506.21015},
  archivePrefix = {arXiv}
}
```"""


@dataclass(frozen=True)
class RunFacts:
    """What a run adds, as Markdown; `data` and `licence` are None where nobody named them."""

    measurements: str = NOT_MEASURED
    copies: str = NOT_EXAMINED
    rows: tuple[tuple[str, str], ...] = ()  # of the table at the top
    variety: str = "How much of their variety it shows was not measured."
    data: str | None = None
    licence: str | None = None


def model_card(about: About, run: RunFacts | None = None) -> str:
    """The page as Markdown; `hqgan.models.about` says what is known without a run."""
    run = run or RunFacts()
    origin = about.origin
    data = run.data or (origin.data if origin else None)
    licence = run.licence or (origin.licence if origin else None)
    tags = ["hqgan", "image-generation", "dermatology", "synthetic"]
    tags[2:2] = [] if about.generator in CLASSICAL else ["quantum"]
    top = {
        "model": f"`{about.generator}`, preset {in_code(about.preset)}",
        "training images seen": f"{about.images_seen:,}",
        "seed": str(about.seed),
        "training data": f"{in_markdown(data or NOT_NAMED)}, {sum(about.class_counts):,} images, "
        f"train split, sha256 {in_code(about.data_checksum)}",
        "licence of these data": in_markdown(licence or NOT_NAMED),
    } | dict(run.rows)
    facts = "\n".join(f"| {name} | {value} |" for name, value in top.items())
    classes = "\n".join(
        f"| {in_markdown(name)} | {count:,} |"
        for name, count in zip(about.classes, about.class_counts, strict=True)
    )
    extends = (
        in_markdown(origin.terms("these weights and what they make"))
        if origin
        else "The licence of the training data extends to these weights and to what they make: "
        "check it before you share them."
    )
    limits = "\n".join(
        f"- {one}"
        for one in (
            f"It is no substitute for real images. {run.variety}",
            "An image's class is what the generator was asked for; no physician has looked at it.",
        )
    )
    return f"""---
library_name: hqgan
license: {slug(licence)}
pipeline_tag: unconditional-image-generation
tags: [{", ".join(tags)}]
---
{OURS}

# {about.generator}: synthetic skin-lesion images

Generator weights (a moving average) made by [hqgan](https://arxiv.org/abs/2506.21015).
Every image it makes is **synthetic, for research, not for diagnosis**.

| | |
| --- | --- |
{facts}

## Use

```python
import hqgan

generator = hqgan.load("this folder, or its name on the Hub")
print(generator.about.classes)
hqgan.sample("this folder, or its name on the Hub", "images", per_class=8)
```

## Training data

{extends}
None of them is in this folder.

| class | training images |
| --- | --- |
{classes}

## Measurements

{run.measurements}

## Copies of training images

{run.copies}

## Limits

{limits}

## Citation

{CITATION}
"""


def slug(licence: str | None) -> str:
    """A licence as the Hub names it: `cc-by-nc-4.0`; `unknown` where nobody said."""
    first = licence.split("(")[0].strip().lower().replace(" ", "-") if licence else ""
    return re.sub(r"[^a-z0-9.+-]", "", first) or "unknown"


def as_card(text: str, **facts: object) -> ModelCard:
    """The page for the Hub.

    `facts` go into its head; of them `data` and `license` are also said in the text, where it does
    not name them yet.
    """
    # A class's folder may be named in bytes that are no text.
    card = ModelCard(text.encode("utf-8", "replace").decode())
    data, licence = facts.pop("data", None), facts.get("license")
    for key, value in facts.items():
        setattr(card.data, key, slug(str(value)) if key == "license" else value)
    for row, value in (("training data", data), ("licence of these data", licence)):
        if value is not None:
            card.text = card.text.replace(f"| {row} | {NOT_NAMED}", f"| {row} | {value}")
    return card


def read_card(folder: Path) -> str | None:
    """The page that lies in a snapshot, or None."""
    file = folder / CARD
    return read_bytes(file, SMALL).decode("utf-8", "replace") if file.is_file() else None
