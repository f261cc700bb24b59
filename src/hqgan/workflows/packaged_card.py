"""The README.md of a packaged generator, with the head that the Hugging Face Hub reads."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from hqgan.foreign import in_markdown
from hqgan.models import About, Origin
from hqgan.pretrained import CRITIC, SEEN
from hqgan.schema import Config

WHOSE = {
    "HAM10000": "HAM10000 shows patients of two clinics, in Austria and in Australia, mostly with "
    "light skin. What lesions look like on dark skin cannot be learned from it: do not expect this "
    "generator, or a classifier trained on its images, to serve everybody equally.",
}


@dataclass(frozen=True)
class Packaged:
    """What the card tells.

    `changed` are the settings that differ from the preset; half precision was tried on `compared`
    images of each class; `metrics` is what metrics.json holds.
    """

    origin: Origin
    about: About
    config: Config
    changed: list[str]
    compared: int
    metrics: dict[str, Any]
    has_critic: bool


def packaged_card(told: Packaged) -> str:
    """README.md: the front matter that the Hub reads, and what a user should know."""
    about, metrics, title = told.about, told.metrics, told.origin.name
    data = metrics["training_data"]
    classes = "\n".join(
        f"| {in_markdown(name)} | {count:,} |"
        for name, count in zip(about.classes, about.class_counts, strict=True)
    )
    privacy = "\n".join(f"- On {one['split']}: {one['sentence']}" for one in metrics["privacy"])
    half = metrics["grey_levels_moved_by_half_precision"]
    flags = "".join(f" \\\n    --set {setting}" for setting in shapes(told))
    own = "; ".join(f"`{change}`" for change in told.changed) or "none"
    critic = (
        f"\n- `{CRITIC}`, the critic at the end of the training, is kept for fine-tuning. It makes "
        "it easier to\n  find out whether an image was among the training images."
        if told.has_critic
        else ""
    )
    return f"""---
library_name: hqgan
license: {data["licence"].lower().replace(" ", "-")}
pipeline_tag: unconditional-image-generation
tags: [hqgan, image-generation, quantum, dermatology, synthetic]
---
# {title}: synthetic skin-lesion images

A class-conditional generator of images of {told.config.size} x {told.config.size} pixels, made by
[hqgan](https://arxiv.org/abs/2506.21015). **Every image it makes is synthetic, for research, not
for diagnosis.**

| | |
| --- | --- |
| model | `{about.generator}`, preset `{about.preset}` |
| settings that differ from the preset | {own} |
| generator parameters | {metrics["generator_parameters"]:,} |
| training images seen | {about.images_seen:,} |
| seed | {about.seed} |
| training data | {data["name"]}, train split, sha256 `{about.data_checksum}` |

Weights are a moving average, stored in half precision, which moved a pixel by at most
{half} of 255 grey levels in {told.compared} images of each class.

## Use

```sh
hqgan sample --pretrained {title} --n 64 --out synthetic
hqgan augment --pretrained {title} --data PATH --out augmented
hqgan train --init {title} --preset {about.preset} --size {told.config.size} --data PATH{flags}
```

```python
from pathlib import Path
from hqgan.models import load_snapshot
generator, about = load_snapshot(Path("this folder"))
```

## Training data and licence

{data["name"]}, **{data["licence"]}**, which extends to these weights and to what they make; the
licence of hqgan's code does not apply to them.
{told.origin.source}
The images were reduced to the size above and learned from; none is in this folder.

| class | training images |
| --- | --- |
{classes}

## Measurements

Made by `hqgan evaluate` with the weights in full precision. Floor: what the same recipe gives for
real training images in the place of generated ones, where that was measured.

| split | recipe | class | value | 95 % interval | floor | real | generated | remark |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{table(metrics["recipes"])}

## Limits

- It is no substitute for real images. {variety(metrics["recipes"])}
- Of classes with few images little is known: see their intervals above.
- {WHOSE.get(data["name"], "It knows what its training data show, and nobody else.")}
- An image's class is what the generator was asked for; no physician has looked at it.

## Copies of training images

{privacy or "Not looked for; `hqgan evaluate RUN --privacy` does."}

Of an image that somebody has, it can be told whether it was a training image:

- `{SEEN}` holds a fingerprint of each training image, by which `hqgan augment` refuses
  held-out images that this generator has seen. It tells exactly whether a given image, reduced in
  the same way, was among the training images.{critic}
"""


def shapes(told: Packaged) -> list[str]:
    """What --set must say, for a shell, to get models that these weights fit."""
    settings = []
    for key in (change.partition(":")[0] for change in told.changed):
        if key.startswith(("generator.", "critic.")):
            value: Any = told.config.model_dump(mode="json")
            for part in key.split("."):
                value = value[part]
            settings.append(shlex.quote(f"{key}={json.dumps(value)}"))
    return settings


def table(records: list[dict[str, Any]]) -> str:
    """The measurements as rows, those over all classes first."""
    rows = []
    for one in sorted(records, key=lambda r: r["class"] is not None):
        interval = "{:.4g} to {:.4g}".format(*one["interval"]) if one["interval"] else ""
        value, floor = ("" if one[key] is None else f"{one[key]:.4g}" for key in ("value", "floor"))
        words = [one["split"], one["recipe"], one["class"] or "all", value, interval]
        words += [floor, one["n_real"], one["n_fake"], one["reason"] or ""]
        rows.append(f"| {' | '.join(in_markdown(str(word)) for word in words)} |")
    return "\n".join(rows)


def variety(records: list[dict[str, Any]]) -> str:
    """How much of what real images show it makes, in the words of the last measurement."""
    found = [
        r
        for r in records
        if r["recipe"].startswith("recall") and r["class"] is None and r["value"] is not None
    ]
    if not found:
        return "How much of the variety of real images it shows was not measured."
    floor = found[-1]["floor"]
    real = "was not measured" if floor is None else f"is {floor:.2g}"
    return (
        f"It shows a part of their variety: its recall is {found[-1]['value']:.2g}; that of real "
        f"images {real}."
    )
