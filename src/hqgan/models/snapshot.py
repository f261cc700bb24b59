"""A snapshot is what is shared: generator weights, config.json and a model card, the Hub's format.

Training writes it, sampling and evaluation read it; nothing in it can run code when loaded.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor

from hqgan.errors import RunError
from hqgan.models.generator import Generator
from hqgan.models.registry import GENERATORS

ABOUT = "hqgan.json"  # beside the Hub's own files


@dataclass(frozen=True)
class Origin:
    """A packaged generator whose training data live on in whatever comes of it.

    `name` is the generator's, `data` and `licence` are those of its training data, `source` says
    whom to cite for them.
    """

    name: str
    data: str
    licence: str
    source: str

    def credit(self) -> str:
        """What its images are, to stand beside every picture of it."""
        return f"synthetic images, learned from {self.data} ({self.licence})"

    def terms(self, covered: str) -> str:
        """Under which licence `covered` stands therefore, and whom to cite."""
        cited = f" Source of these data: {self.source}" if self.source else ""
        return (
            f"The packaged generator {self.name} learned from {self.data}, whose licence "
            f"({self.licence}) extends to {covered}.{cited}"
        )


@dataclass(frozen=True)
class About:
    """What a snapshot knows of its origin, besides the constructor arguments in config.json.

    `class_counts` are the training images of each class; `data_checksum` is the sha256 of the
    training data; `origin` is the packaged generator that this one is, or was fine-tuned from,
    itself or by way of others.
    """

    generator: str
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    images_seen: int
    seed: int
    preset: str
    data_checksum: str
    origin: Origin | None = None


def save_snapshot(generator: Generator, folder: Path, about: About) -> None:
    """Write weights, constructor arguments, origin and model card into a new folder.

    Written under a temporary name and renamed, so that a folder of this name is always whole.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    temporary.mkdir(parents=True, exist_ok=True)
    generator.save_pretrained(temporary)
    (temporary / ABOUT).write_text(json.dumps(asdict(about), indent=2) + "\n", encoding="utf-8")
    card = model_card(about).encode("utf-8", "replace")  # a class's folder may be named in bytes
    (temporary / "README.md").write_bytes(card)
    temporary.rename(folder)


def load_snapshot(path: Path) -> tuple[Generator, About]:
    """The generator in eval mode, and its origin, from a snapshot or the newest one of a run.

    Raises:
        RunError: where there is no snapshot, or it is damaged.
    """
    folder = find_snapshot(path)
    about = read_about(folder)
    try:
        arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        generator = GENERATORS[about.generator](**arguments)
        load_model(generator, folder / "model.safetensors")
        if generator.classes != len(about.classes):
            raise ValueError(f"{ABOUT} names {len(about.classes)} classes of {generator.classes}")
        broken = [name for name, w in generator.state_dict().items() if not w.isfinite().all()]
        if broken:
            raise ValueError(f"{broken[0]} is NaN or infinite")
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise damaged(folder, error) from error
    return generator.eval(), about


def read_about(folder: Path) -> About:
    """The origin of a snapshot; RunError where it is damaged."""
    try:
        fields = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        lists = {name: tuple(fields[name]) for name in ("classes", "class_counts")}
        origin = fields.get("origin")
        about = About(**(fields | lists | {"origin": origin and Origin(**origin)}))
        check(about)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(folder, error) from error
    return about


def damaged(folder: Path, error: Exception) -> RunError:
    """The refusal of a snapshot."""
    return RunError(
        f"the snapshot {folder} cannot be loaded ({error}); take another one or train again"
    )


def check(about: About) -> None:
    """Raise ValueError where the values of an edited or damaged file are of another kind."""
    counts = about.class_counts
    if not all(isinstance(name, str) for name in about.classes):
        raise ValueError(f"classes are {about.classes}, expected their names")
    if not all(isinstance(count, int) and count > 0 for count in counts):
        raise ValueError(f"class_counts are {counts}, expected numbers of images")
    if len(counts) != len(about.classes):
        raise ValueError(f"{len(counts)} class_counts for {len(about.classes)} classes")
    if not isinstance(about.images_seen, int):
        raise ValueError(f"images_seen is {about.images_seen!r}, expected a number")
    if about.origin and not all(isinstance(text, str) for text in vars(about.origin).values()):
        raise ValueError(f"origin is {about.origin}, expected words")


def find_snapshot(path: Path) -> Path:
    """`path` itself if it is a snapshot, else the snapshot in it that has seen most images."""
    if (path / ABOUT).is_file():
        return path
    found = snapshots(path)
    if not found:
        seen = "is no folder" if path.exists() else "does not exist"
        seen = "holds no snapshot" if path.is_dir() else seen
        raise RunError(f"{path} {seen}; expected a run folder or a snapshot made by `hqgan train`")
    return found[-1]


def snapshots(run: Path) -> list[Path]:
    """The snapshots of a run folder, by the images they have seen."""
    named = re.compile(r"snapshot-([\d.]+)")
    found = ((named.fullmatch(file.parent.name), file.parent) for file in run.glob(f"*/{ABOUT}"))
    return [folder for _, folder in sorted((float(m[1]), folder) for m, folder in found if m)]


def generate(
    generator: Generator, labels: Sequence[int], seed: int, batch: int = 64
) -> Iterator[Tensor]:
    """Yield images (b, 3, S, S) in [-1, 1] of the classes `labels`, in order, on G's device.

    The i-th image of a class depends on seed, class and i alone, not on what else is asked for.
    """
    device = next(generator.parameters()).device
    with torch.inference_mode():
        for z, y in latents(generator, labels, seed, batch):
            yield generator(z.to(device), y.to(device)).float()


def latents(
    generator: Generator, labels: Sequence[int], seed: int, batch: int = 64
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `generate` feeds to the generator: z (b, z_dim) and y (b,), on the CPU."""
    streams = {y: torch.Generator().manual_seed(seed * 1_000_003 + y) for y in set(labels)}
    for start in range(0, len(labels), batch):
        chunk = labels[start : start + batch]
        z = torch.cat([generator.sample_z(1, streams[y]) for y in chunk])
        yield z, torch.tensor(chunk)


def model_card(about: About) -> str:
    """The README.md of a snapshot."""
    rows = "\n".join(
        f"| {name} | {count} |"
        for name, count in zip(about.classes, about.class_counts, strict=True)
    )
    terms = about.origin.terms("these weights and what they make") if about.origin else ""
    return f"""---
library_name: hqgan
tags: [hqgan, image-generation, quantum, dermatology, synthetic]
---
# {about.generator}: synthetic skin-lesion images

Generator weights (moving average) after {about.images_seen:,} training images, preset
`{about.preset}`, seed {about.seed}, made by [hqgan](https://arxiv.org/abs/2506.21015).
Every image it makes is **synthetic, for research, not for diagnosis**.
The licence of the training data extends to what is learned from them: check it before you share.
{terms}

| class | training images |
| --- | --- |
{rows}

Training data sha256: `{about.data_checksum}`

```python
from pathlib import Path
from hqgan.models import load_snapshot
generator, about = load_snapshot(Path("this folder"))
```
"""
