"""What a snapshot knows of its origin: hqgan.json, beside the Hub's own files."""

import json
from dataclasses import dataclass
from pathlib import Path

from hqgan.errors import RunError, raise_if_of_the_machine

ABOUT = "hqgan.json"
MOST = 2**53  # of anything that is counted; beyond it floats have holes


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


def read_about(folder: Path) -> About:
    """The origin of a snapshot; RunError where it is damaged."""
    try:
        fields = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        lists = {name: tuple(fields[name]) for name in ("classes", "class_counts")}
        origin = fields.get("origin")
        about = About(**(fields | lists | {"origin": origin and Origin(**origin)}))
        check(about)
    except (
        *(OSError, ValueError, TypeError, KeyError, AttributeError),
        RecursionError,  # brackets within brackets within ...
    ) as error:
        raise_if_of_the_machine(error, folder)
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
    words = about.generator, about.preset, about.data_checksum
    if not all(isinstance(word, str) for word in words):
        raise ValueError(f"generator, preset and data_checksum are {words}, expected words")
    if not all(isinstance(name, str) for name in about.classes):
        raise ValueError(f"classes are {about.classes}, expected their names")
    if not all(isinstance(count, int) and 0 < count < MOST for count in counts):
        raise ValueError(f"class_counts are {counts}, expected numbers of images")
    if len(counts) != len(about.classes):
        raise ValueError(f"{len(counts)} class_counts for {len(about.classes)} classes")
    if not (isinstance(about.images_seen, int) and 0 <= about.images_seen < MOST):
        raise ValueError(f"images_seen is {about.images_seen!r}, expected a number")
    if about.origin and not all(isinstance(text, str) for text in vars(about.origin).values()):
        raise ValueError(f"origin is {about.origin}, expected words")
