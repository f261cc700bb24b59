"""The protocol of a study: what is compared, written down before anything is trained.

A protocol is a YAML file with the keys of `Protocol`. Its arms are ways to make a training set of
the same real images, and to train a classifier on it; everything else is equal in all arms.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from hqgan.config import did_you_mean, preset_names, read_yaml, to_yaml, validated
from hqgan.data import EMBEDDED
from hqgan.evaluation.classification import MEASURES
from hqgan.models.classifier import PRETRAINED
from hqgan.schema import Kimg, Positive, Section, absolute_path

# Keys that arms did not always have, and what their absence means: protocols written before them
# keep their checksum, so that their studies can be continued.
ADDED = {"synthetic_until": 1.0}
SYNTHETIC = (
    "ratio",
    "class_filter",
    "copy_filter",
    "real",
    "synthetic_until",
)  # keys of arms with a generator

Ratio = Literal["max", "median"] | Annotated[float, Field(gt=0, le=100)]
LabelFraction = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+._-]*$", max_length=60)]
Expanded = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+._@-]*$", max_length=80)]


def weights_path(path: str) -> str:
    """The file as it is found from any working folder; "pretrained" is none."""
    return path if path == PRETRAINED else absolute_path(path)


class Arm(Section):
    """One way to make a training set and to train on it."""

    augmentation: Literal["none", "standard"] = Field(
        "standard", description="see `hqgan.data.standard_augmentation`"
    )
    balance: Literal["none", "class-weights", "oversampling"] = "none"
    generator: str | None = Field(None, description="preset of the model that adds images")
    ratio: Ratio | list[Ratio] = Field(
        "max",
        description="synthetic images: max or median fills up to the largest or median class; "
        "a number adds that many times the real images of every class, so that rare does not "
        "mean synthetic; a list makes an arm of each",
    )
    class_filter: bool = Field(
        True, description="drop images that a classifier of real images takes for another class"
    )
    copy_filter: bool = Field(True, description="drop images that nearly are training images")
    real: bool = Field(True, description="false: train on synthetic images alone")
    synthetic_until: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of the steps after which only real images are shown"
    )

    @model_validator(mode="after")
    def only_generators_add_images(self) -> Self:
        fields = type(self).model_fields
        stray = [name for name in SYNTHETIC if getattr(self, name) != fields[name].default]
        if self.generator is None and stray:
            raise ValueError(
                f"{stray[0]} is about synthetic images, so name a generator, or leave it out"
            )
        if self.generator is not None and self.generator not in preset_names():
            raise ValueError(
                f"generator {self.generator!r} is no preset; known are "
                f"{', '.join(preset_names())}.{did_you_mean(self.generator, preset_names())}"
            )
        ratios = self.ratio if isinstance(self.ratio, list) else [self.ratio]
        if not ratios or len(set(ratios)) < len(ratios):
            raise ValueError(f"ratio is {ratios}, expected one or more that differ")
        if self.synthetic_until < 1 and not self.real:
            raise ValueError(
                f"synthetic_until is {self.synthetic_until:g}, but without real images there is "
                "nothing to show afterwards"
            )
        return self


class GeneratorsSection(Section):
    """The recipe of every generator, the same for all seeds and fractions."""

    kimg: Kimg = 250
    set: list[str] = Field(
        default_factory=list, description='further settings: "a.b=c", or "PRESET:a.b=c" for one'
    )


class ClassifierSection(Section):
    """How every classifier is trained, in all arms alike."""

    steps: Annotated[int, Field(ge=1, le=10_000_000)] = 2000
    batch: Annotated[int, Field(ge=2, le=100_000)] = 64
    learning_rate: dict[str, Positive] = Field(
        default_factory=dict, description="classifier: rate; else each has its own"
    )
    weights: dict[str, Annotated[str, AfterValidator(weights_path)]] = Field(
        default_factory=dict,
        description="classifier: safetensors file of mobilenet-v2 or of a timm model, "
        "or pretrained for what timm publishes",
    )


class Primary(Section):
    """The comparisons that may claim something: named beforehand, tested, corrected for number."""

    measure: Literal[MEASURES] = "balanced_accuracy"  # type: ignore[valid-type]
    comparisons: Annotated[list[tuple[Expanded, Expanded]], Field(min_length=1, max_length=3)] = (
        Field(description="pairs [arm, arm it is compared with], three at most")
    )


class Protocol(Section):
    """A study, complete; a study in a folder cannot change its protocol."""

    data: str
    label: str | None = None
    size: Literal[32, 64, 128] = 64
    seeds: Annotated[int, Field(ge=1, le=1000, strict=True)] = 8
    fractions: Annotated[list[LabelFraction], Field(min_length=1)] = Field(
        [1.0], description="shares of the training lesions that are used; primary is the first"
    )
    classifiers: Annotated[list[str], Field(min_length=1)] = Field(
        ["resnet-small"], description="primary is the first"
    )
    classifier: ClassifierSection = ClassifierSection()
    generators: GeneratorsSection = GeneratorsSection()
    arms: Annotated[dict[Name, Arm], Field(min_length=2)]
    baseline: str | None = Field(
        None, description="arm that all others are compared with; null takes the first"
    )
    primary: Primary
    groups: list[str] = Field(
        default_factory=list, description="columns, such as skin type, reported by their values"
    )
    extractor: Literal["tiny", "inception768", "inception2048"] | None = Field(
        None, description="features of the detectability test; null takes the widest at hand"
    )
    device: str = "auto"

    @field_validator("data")
    @classmethod
    def absolute(cls, path: str) -> str:
        """A cluster's workers are in other folders."""
        return path if path == EMBEDDED else absolute_path(path)

    @field_validator("fractions", "classifiers")
    @classmethod
    def each_once(cls, values: list[object]) -> list[object]:
        """A cell that is in the grid twice would be counted twice."""
        if len(set(values)) < len(values):
            raise ValueError("names a value twice")
        return values

    @model_validator(mode="after")
    def names_are_classifiers(self) -> Self:
        for key in ("learning_rate", "weights"):
            for name in getattr(self.classifier, key):
                if name not in self.classifiers:
                    raise ValueError(
                        f"classifier.{key} names {name!r}, which is no classifier of this study "
                        f"({', '.join(self.classifiers)})."
                        f"{did_you_mean(name, self.classifiers)}"
                    )
        return self

    @model_validator(mode="after")
    def names_are_arms(self) -> Self:
        if len({name.casefold() for name in self.arms}) < len(self.arms):
            raise ValueError("two arms differ in upper and lower case alone, and folders may not")
        known = list(self.expanded())
        wanted = [name for pair in self.primary.comparisons for name in pair]
        for name in [*wanted, *([self.baseline] if self.baseline else [])]:
            if name not in known:
                raise ValueError(
                    f"{name!r} is no arm; arms are {', '.join(known)}.{did_you_mean(name, known)}"
                )
        for arm, other in self.primary.comparisons:
            if arm == other:
                raise ValueError(f"primary compares {arm!r} with itself")
        if len({frozenset(pair) for pair in self.primary.comparisons}) < len(
            self.primary.comparisons
        ):
            raise ValueError("primary names a comparison twice")
        return self

    def expanded(self) -> dict[str, Arm]:
        """The arms, one for each ratio: those with a list of ratios are called NAME@RATIO."""
        arms: dict[str, Arm] = {}
        for name, arm in self.arms.items():
            if isinstance(arm.ratio, list):
                for ratio in arm.ratio:
                    arms[f"{name}@{ratio}"] = arm.model_copy(update={"ratio": ratio})
            else:
                arms[name] = arm
        return arms

    def checksum(self) -> str:
        """Hexadecimal sha256 of everything but where it is run: places of files, device."""
        names = {name: Path(file).name for name, file in self.classifier.weights.items()}
        classifier = self.classifier.model_copy(update={"weights": names})
        here = {"data": "", "device": "auto", "classifier": classifier}
        values = self.model_copy(update=here).model_dump(mode="json")
        for arm in values["arms"].values():
            for key, absent in ADDED.items():
                if arm[key] == absent:
                    del arm[key]
        text = to_yaml(values)
        return hashlib.sha256(text.encode()).hexdigest()


def read_protocol(file: Path, data: str | None = None) -> Protocol:
    """The protocol in a YAML file; `data`, else $HQGAN_DATA, where it names no data.

    Raises:
        UsageError: it cannot be read, or is none; the message names every wrong key.
    """
    values = read_yaml(file)
    if data is not None:
        values["data"] = data
    values.setdefault("data", os.environ.get("HQGAN_DATA") or EMBEDDED)
    return validated(Protocol, values, f"protocol {file}")
