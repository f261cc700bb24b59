"""Makes of a run a generator that comes with the package: src/hqgan/pretrained/NAME.

Usage: PYTHONPATH=src python studies/package_weights.py RUN --name ham10000-64 --critic \\
           --data-name HAM10000 --data-licence "CC BY-NC 4.0"

Weights are stored in half precision, and how far that moves an image is measured. RUN must have
been measured by `hqgan evaluate RUN`; what `hqgan evaluate RUN --privacy` said is quoted if it was
asked. The training data must be there: their fingerprints are kept, by which `hqgan augment` knows
them among held-out images.
"""

import argparse
import copy
import json
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hqgan.config import differences, load_config, read_config
from hqgan.data import load_dataset, to_uint8
from hqgan.data.leaks import fingerprints
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.evaluation.run import RECORDS
from hqgan.models import (
    About,
    Generator,
    find_snapshot,
    generate,
    load_snapshot,
    parameter_count,
    save_snapshot,
)
from hqgan.pretrained import CRITIC, FOLDER, LARGEST, METRICS, SEEN
from hqgan.schema import Config
from hqgan.training.runs import CONFIG, STATE, load_state

COMPARED = 16  # images of each class, stored in half precision and not
MOST_GREY_LEVELS = 2  # that half precision may move a pixel

CREDITS = {
    "HAM10000": "P. Tschandl, C. Rosendahl and H. Kittler, *The HAM10000 dataset, a large "
    "collection of multi-source dermatoscopic images of common pigmented skin lesions*, Scientific "
    "Data 5, 180161 (2018), doi:10.1038/sdata.2018.161. The images were reduced to small squares "
    "and learned from; none is in this folder.",
}
WHOSE = {
    "HAM10000": "HAM10000 shows patients of two clinics, in Austria and in Australia, mostly with "
    "light skin. What lesions look like on dark skin cannot be learned from it: do not expect this "
    "generator, or a classifier trained on its images, to serve everybody equally.",
}


@dataclass(frozen=True)
class Packaged:
    """What the card tells; `metrics` is what metrics.json holds."""

    name: str
    about: About
    config: Config
    changed: list[str]
    metrics: dict[str, Any]
    has_critic: bool


def package(
    run: Path,
    name: str,
    *,
    data_name: str,
    data_licence: str,
    snapshot: Path | None = None,
    critic: bool = False,
    out: Path = FOLDER,
) -> Path:
    """Write OUT/NAME and return it.

    Args:
        run: a run folder.
        name: what users will say.
        data_name: of the training data.
        data_licence: theirs, which extends to the weights.
        snapshot: of the run; None takes the newest.
        critic: keep the run's critic too, as it was at the end of the run.
        out: where packaged generators lie.

    Raises:
        UsageError: a name that is taken, or a snapshot of another run.
        RunError: no run, not measured, fine-tuned, or too large.
        DataError: the training data are gone or others.
    """
    folder = out / name
    if not name or name != Path(name).name or folder.exists():
        raise UsageError(f"{folder} is there already or no folder's name; choose another --name")
    chosen = find_snapshot(snapshot or run)
    if chosen.resolve().parent != run.resolve():
        raise UsageError(f"{chosen} is no snapshot of the run {run}")
    generator, about = load_snapshot(chosen)
    config = read_config(run / CONFIG)
    if config.init is not None:
        raise RunError(
            f"{run} was fine-tuned from {config.init.run}, whose training images cannot be told "
            "from this run; package a generator that was trained from scratch"
        )
    seen = load_dataset(config.data.path, "train", generator.size, label=config.data.label)
    if seen.checksum != about.data_checksum:
        raise RunError(f"{config.data.path} holds other images than {run} was trained on")
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / name
        save_snapshot(copy.deepcopy(generator).half(), made, about)
        if critic:
            save_file(half_critic(run), made / CRITIC)
        (made / SEEN).write_bytes(b"".join(sorted(set(fingerprints(seen.images)))))
        metrics = {
            "name": name,
            "training_data": {"name": data_name, "licence": data_licence},
            "preset": about.preset,
            "images_seen": about.images_seen,
            "generator_parameters": parameter_count(generator),
            "grey_levels_moved_by_half_precision": moved(generator, load_snapshot(made)[0]),
            "recipes": measured(run, chosen),
            "privacy": copies(run, chosen),
        }
        (made / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        changed = differences(
            load_config(about.preset, overrides={"precision": config.precision}), config
        )
        told = Packaged(name, about, config, changed, metrics, critic)
        (made / "README.md").write_text(card(told), encoding="utf-8")
        size = sum(file.stat().st_size for file in made.iterdir())
        if size > LARGEST:
            raise RunError(
                f"{name} is {size / 1e6:.2f} MB, but at most {LARGEST / 1e6:g} MB go into the "
                "package; leave out --critic, or take a smaller generator"
            )
        for file in made.iterdir():
            file.chmod(0o644)
        shutil.copytree(made, folder)
    return folder


def half_critic(run: Path) -> dict[str, torch.Tensor]:
    """The critic in the run's state, in half precision."""
    state = load_state(run)
    if state is None or "critic" not in state["trainer"]:
        raise RunError(f"{run} has no {STATE} with a critic; leave out --critic")
    weights: dict[str, torch.Tensor] = state["trainer"]["critic"]
    return {
        name: (w.half() if w.is_floating_point() else w).contiguous() for name, w in weights.items()
    }


def moved(exact: Generator, stored: Generator) -> int:
    """Grey levels of 255 that storing it in half precision moves a pixel by, at most."""
    labels = [y for y in range(exact.classes) for _ in range(COMPARED)]
    one, other = (
        np.concatenate([to_uint8(batch) for batch in generate(model, labels, seed=0)]).astype(int)
        for model in (exact, stored)
    )
    most = int(np.abs(one - other).max())
    if most > MOST_GREY_LEVELS:
        raise RunError(
            f"half precision moves pixels by up to {most} grey levels, more than "
            f"{MOST_GREY_LEVELS}: the measured images would not be those that users get"
        )
    return most


def measured(run: Path, snapshot: Path) -> list[dict[str, Any]]:
    """The last full measurement of each number; points of curves, without a floor, are none."""
    file = run / RECORDS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    last: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in map(json.loads, lines):
        if record["snapshot"] == snapshot.name and record["floor"] is not None:
            key = (record["split"], record["extractor"], record["recipe"], record["class"] or "")
            last[key] = record
    if not last:
        raise RunError(f"{snapshot} was not measured; run `hqgan evaluate {run}` first")
    return list(last.values())


def copies(run: Path, snapshot: Path) -> list[dict[str, Any]]:
    """Verdicts of `hqgan evaluate --privacy` on this snapshot."""
    verdicts = []
    for file in sorted(run.glob("privacy/**/privacy.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["snapshot"] == snapshot.name:
            split = "test" if found["final"] else "val"
            verdicts.append({"split": split} | {k: found[k] for k in ("verdict", "sentence")})
    return verdicts


def card(told: Packaged) -> str:
    """README.md: the front matter that the Hub reads, and what a user should know."""
    about, metrics = told.about, told.metrics
    data = metrics["training_data"]
    classes = "\n".join(
        f"| {name} | {count:,} |"
        for name, count in zip(about.classes, about.class_counts, strict=True)
    )
    privacy = "\n".join(f"- On {one['split']}: {one['sentence']}" for one in metrics["privacy"])
    half = metrics["grey_levels_moved_by_half_precision"]
    flags = "".join(f" \\\n    --set {setting}" for setting in shapes(told))
    own = "; ".join(f"`{change}`" for change in told.changed) or "none"
    critic = (
        f"\n`{CRITIC}` is the critic at the end of the training, for fine-tuning. It makes it "
        "easier to find out whether an image was among the training images."
        if told.has_critic
        else ""
    )
    return f"""---
library_name: hqgan
license: {data["licence"].lower().replace(" ", "-")}
pipeline_tag: unconditional-image-generation
tags: [hqgan, image-generation, quantum, dermatology, synthetic]
---
# {told.name}: synthetic skin-lesion images

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
{half} of 255 grey levels in {COMPARED} images of each class.{critic}

## Use

```sh
hqgan sample --pretrained {told.name} --n 64 --out synthetic
hqgan augment --pretrained {told.name} --data PATH --out augmented
hqgan train --init {told.name} --preset {about.preset} --size {told.config.size} --data PATH{flags}
```

```python
from pathlib import Path
from hqgan.models import load_snapshot
generator, about = load_snapshot(Path("this folder"))
```

## Training data and licence

{data["name"]}, **{data["licence"]}**, which extends to these weights and to what they make; the
licence of hqgan's code does not apply to them.
{CREDITS.get(data["name"], "")}

| class | training images |
| --- | --- |
{classes}

## Measurements

Made by `hqgan evaluate` with the weights in full precision. Floor: what the same recipe gives for
real training images in the place of generated ones.

| split | recipe | class | value | 95 % interval | floor | real | generated |
| --- | --- | --- | --- | --- | --- | --- | --- |
{table(metrics["recipes"])}

## Limits

- It is no substitute for real images. {variety(metrics["recipes"])}
- Of classes with few images little is known: see their intervals above.
- {WHOSE.get(data["name"], "It knows what its training data show, and nobody else.")}
- An image's class is what the generator was asked for; no physician has looked at it.

## Copies of training images

{privacy or "Not looked for; `hqgan evaluate RUN --privacy` does."}
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
        rows.append(
            f"| {one['split']} | {one['recipe']} | {one['class'] or 'all'} | {one['value']:.4g} | "
            f"{interval} | {one['floor']:.4g} | {one['n_real']} | {one['n_fake']} |"
        )
    return "\n".join(rows)


def variety(records: list[dict[str, Any]]) -> str:
    """How much of what real images show it makes, in the words of the last measurement."""
    found = [r for r in records if r["recipe"].startswith("recall") and r["class"] is None]
    if not found:
        return "How much of the variety of real images it shows was not measured."
    return (
        f"It shows a part of their variety: its recall is {found[-1]['value']:.2g}, that of real "
        f"images {found[-1]['floor']:.2g}."
    )


def main() -> int:
    """Read the command line, write the folder, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--name", required=True, help="what users will say, e.g. ham10000-64")
    parser.add_argument("--data-name", required=True, help="of the training data, e.g. HAM10000")
    parser.add_argument("--data-licence", required=True, help='e.g. "CC BY-NC 4.0"')
    parser.add_argument("--snapshot", type=Path, help="of the run (default: the newest)")
    parser.add_argument("--critic", action="store_true", help="keep the critic, for fine-tuning")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    try:
        folder = package(**vars(parser.parse_args()))
    except HqganError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:10,}  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
