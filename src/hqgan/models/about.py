"""What a snapshot knows of its origin: hqgan.json, beside the Hub's own files."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgan.errors import RunError, did_you_mean, raise_if_of_the_machine
from hqgan.reading import SMALL, read_json

ABOUT = "hqgan.json"
MOST = 2**53  # of anything that is counted; beyond it floats have holes
MOST_SAID = 500  # characters of why a file was refused
LONGEST = 200  # characters of a class's name, of a preset's and of a checksum


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
        fields = read_json(folder / ABOUT, SMALL)
        require_keys(fields, About)
        lists = {name: tuple(fields[name]) for name in ("classes", "class_counts")}
        origin = fields.get("origin")
        if origin is not None:
            require_keys(origin, Origin)
            origin = Origin(**origin)
        about = About(**(fields | lists | {"origin": origin}))
        check(about)
    except (OSError, ValueError, TypeError) as error:
        raise_if_of_the_machine(error, folder)
        raise damaged(folder, error) from error
    return about


def require_keys(found: Any, kind: type) -> None:
    """ValueError unless `found` has the keys that `kind` knows."""
    if not isinstance(found, dict):
        raise ValueError(f"{ABOUT} holds {type(found).__name__}, expected keys and values")
    known = {field.name: field for field in dataclasses.fields(kind)}
    needed = {name for name, field in known.items() if field.default is dataclasses.MISSING}
    unknown, missing = sorted(found.keys() - known.keys()), sorted(needed - found.keys())
    if missing:
        raise ValueError(f"{ABOUT} lacks the key {missing[0]!r}")
    if unknown:
        raise ValueError(
            f"{ABOUT} has the key {unknown[0]!r:.60}, which this version of hqgan does not "
            f"know.{did_you_mean(unknown[0][:LONGEST], list(known))} If a later version wrote it, "
            "update hqgan"
        )


def damaged(folder: Path, error: Exception) -> RunError:
    """The refusal of a snapshot."""
    why = " ".join(str(error).split())[:MOST_SAID]
    return RunError(
        f"the snapshot {folder} cannot be loaded ({why}); take another one or train again"
    )


def check(about: About) -> None:
    """Raise ValueError where the values of an edited or damaged file are of another kind."""
    counts = about.class_counts
    words = about.generator, about.preset, about.data_checksum
    if not all(isinstance(word, str) and len(word) <= LONGEST for word in words):
        raise ValueError(f"generator, preset and data_checksum are {words}, expected words")
    if not all(isinstance(name, str) and len(name) <= LONGEST for name in about.classes):
        raise ValueError(f"classes are {about.classes}, expected their names")
    if len(set(about.classes)) < len(about.classes):
        raise ValueError(f"classes are {about.classes}, expected each name once")
    if not all(is_count(count, 1) for count in counts):
        raise ValueError(f"class_counts are {counts}, expected numbers of images")
    if len(counts) != len(about.classes):
        raise ValueError(f"{len(counts)} class_counts for {len(about.classes)} classes")
    for name in ("images_seen", "seed"):
        if not is_count(getattr(about, name)):
            raise ValueError(f"{name} is {getattr(about, name)!r}, expected a whole number")
    if about.origin and not all(isinstance(text, str) for text in vars(about.origin).values()):
        raise ValueError(f"origin is {about.origin}, expected words")


def is_count(value: object, least: int = 0) -> bool:
    """Whether a value is a whole number from `least` on, and below `MOST`."""
    return type(value) is int and least <= value < MOST
