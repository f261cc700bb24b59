"""The cells of a study: what is trained, each in a folder of its own, so that none is done twice.

    generators/PRESET-f1.0-seed0      a run
    judges/f1.0-seed0                 the classifier of real images that filters synthetic ones
    pools/PRESET-f1.0-seed0-...       synthetic images, filtered; arms take the first they need
    classifiers/ARM-NAME-f1.0-seed0   what is compared

Seed i has a generator, a judge and classifiers of its own. At label fraction f all of them see the
same fraction of the lesions of train. val chooses a classifier's step and sets the thresholds of
filters; no cell reads test.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hqgan.config import load_config, own_settings
from hqgan.data import Dataset
from hqgan.errors import TrainingStopped
from hqgan.evaluation import Extractor, load_extractor
from hqgan.evaluation.detectability import detectability
from hqgan.models import load_snapshot, snapshots
from hqgan.protocol import Arm
from hqgan.schema import Config
from hqgan.training import Callbacks, train
from hqgan.training.classification import (
    ClassifierRecipe,
    fit_classifier,
    is_classifier,
    load_classifier,
    predict,
    save_classifier,
)
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import resolved
from hqgan.training.runs import write_atomically
from hqgan.workflows.cell import first_of_each
from hqgan.workflows.judge import judge_recipe
from hqgan.workflows.study.cell import Cell, Impossible
from hqgan.workflows.synthesis import CopyFilter, balanced_counts, synthesise

POOL = "pool.npz"
JUDGE = "resnet-small"


@dataclass(frozen=True)
class GeneratorCell(Cell):
    """A generator of the frozen recipe, trained on the real images of its seed and fraction."""

    preset: str

    @property
    def folder(self) -> Path:
        return self.study.out / "generators" / f"{self.preset}-{self.draw}"

    def is_there(self) -> bool:
        return bool(snapshots(self.folder / "run"))

    def config(self) -> Config:
        """Of its training, complete."""
        p = self.study.protocol
        overrides = {
            "data.path": p.data,
            "data.label": p.label,
            "size": p.size,
            "kimg": p.generators.kimg,
            "seed": self.seed,
            "device": p.device,
        }
        settings = own_settings(p.generators.set, self.preset)
        config = load_config(self.preset, None, overrides, settings)
        return resolved(config, make_fabric(config.device, config.precision))

    def work(self, tell: Callbacks) -> dict[str, Any]:
        real = self.train_split()
        run, stopped = self.folder / "run", None
        try:
            train(self.config(), run, real, tell)
        except TrainingStopped as error:  # a result too: its last snapshot is what there is
            stopped = str(error)
            tell.message(f"{self.name}: {stopped}")
        if not snapshots(run):
            raise TrainingStopped(f"stopped before its first snapshot: {stopped}")
        _, about = load_snapshot(run)
        return {"images_seen": about.images_seen, "real_images": len(real), "stopped": stopped}


@dataclass(frozen=True)
class JudgeCell(Cell):
    """The classifier that filters: of real images alone, augmented, classes weighted."""

    @property
    def folder(self) -> Path:
        return self.study.out / "judges" / self.draw

    def is_there(self) -> bool:
        return is_classifier(self.folder / "classifier")

    def recipe(self) -> ClassifierRecipe:
        """As many steps as the classifiers that are compared."""
        return judge_recipe(self.train_split(), self.study.protocol.classifier.steps)

    def work(self, tell: Callbacks) -> dict[str, Any]:
        real, val = self.train_split(), self.study.load("val")
        recipe = self.recipe()
        fitted = fit_classifier(
            recipe, real.images, real.labels, val, self.seed, device=self.device
        )
        save_classifier(fitted, self.folder / "classifier")
        accuracy = max(look["balanced_accuracy"] for look in fitted.curve)
        return {"step": fitted.step, "curve": fitted.curve, "balanced_accuracy": accuracy}


@dataclass(frozen=True)
class PoolCell(Cell):
    """The synthetic images of a generator that pass an arm's filters, as many as any arm needs."""

    generator: GeneratorCell
    judge: JudgeCell | None
    copy_filter: bool
    counts: tuple[int, ...]

    @property
    def folder(self) -> Path:
        filters = {"class": self.judge is not None, "copy": self.copy_filter}
        kind = "+".join(name for name, on in filters.items() if on) or "no"
        return self.study.out / "pools" / f"{self.generator.preset}-{self.draw}-{kind}-filter"

    @property
    def needs(self) -> tuple[Cell, ...]:
        return (self.generator, self.judge) if self.judge else (self.generator,)

    def work(self, tell: Callbacks) -> dict[str, Any]:
        real, val = self.train_split(), self.study.load("val")
        copies = CopyFilter.fit(real, val) if self.copy_filter else None
        judge = load_classifier(self.judge.folder / "classifier") if self.judge else None
        generator, _ = load_snapshot(self.generator.folder / "run")
        made = synthesise(
            generator.to(self.device),
            self.counts,
            real,
            seed=self.seed,
            copies=copies,
            judge=judge and judge.to(self.device),
        )
        buffer = io.BytesIO()
        np.savez(buffer, images=made.images, labels=made.labels)
        write_atomically(self.folder / POOL, buffer.getbuffer())
        extractor = load_extractor(self.study.weights, self.study.protocol.extractor)
        return {
            "per_class": [asdict(report) for report in made.per_class],
            "detectability": self.told_apart(made.images, made.labels, val, extractor),
            "extractor": str(extractor),
        }

    def is_there(self) -> bool:
        try:
            with np.load(self.folder / POOL, allow_pickle=False) as pool:
                return {"images", "labels"} <= set(pool.files)
        except BadZipFile:
            return False

    def told_apart(
        self, images: np.ndarray, labels: np.ndarray, val: Dataset, extractor: Extractor
    ) -> float | None:
        """Detectability, from as many images of each class on both sides as both have."""
        mine, theirs = (np.bincount(y, minlength=len(val.classes)) for y in (labels, val.labels))
        counts = np.minimum(mine, theirs)
        fakes = extractor(images[first_of_each(labels, counts)])
        rows = first_of_each(val.labels, counts)
        return detectability(extractor(val.images)[rows], fakes, val.groups[rows], self.seed)

    def take(self, counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """The first images of each class: uint8 (n, S, S, 3) and labels; fewer where too few."""
        with np.load(self.folder / POOL, allow_pickle=False) as pool:
            images, labels = pool["images"], pool["labels"]
        chosen = first_of_each(labels, counts)
        return images[chosen], labels[chosen]


@dataclass(frozen=True)
class ClassifierCell(Cell):
    """One arm's classifier: its training images, its training, and what it says of a split."""

    arm_name: str
    arm: Arm
    classifier: str
    pool: PoolCell | None

    @property
    def folder(self) -> Path:
        kind = self.classifier.replace("/", "_").replace(":", "_")
        return self.study.out / "classifiers" / f"{self.arm_name}-{kind}-{self.draw}"

    @property
    def needs(self) -> tuple[Cell, ...]:
        return (self.pool,) if self.pool else ()

    def is_there(self) -> bool:
        return is_classifier(self.folder / "classifier")

    def recipe(self) -> ClassifierRecipe:
        """Equal in all arms, but for augmentation and balance."""
        section = self.study.protocol.classifier
        return ClassifierRecipe(
            name=self.classifier,
            steps=section.steps,
            batch=section.batch,
            learning_rate=section.learning_rate.get(self.classifier),
            augmentation=self.arm.augmentation,
            balance=self.arm.balance,
            weights=section.weights.get(self.classifier),
            synthetic_until=self.arm.synthetic_until,
        )

    def images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The training set: uint8 (N, S, S, 3), labels (N,), and whether synthetic (N,)."""
        real = self.train_split()
        parts = [(real.images, real.labels)] if self.arm.real else []
        if self.pool is not None:
            parts.append(self.pool.take(synthetic_counts(self.arm, real.counts).tolist()))
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        missing = np.flatnonzero(np.bincount(labels, minlength=len(real.classes)) == 0)
        if len(missing):
            raise Impossible(
                f"the filters left no synthetic image of class {real.classes[missing[0]]}, and the "
                "arm has no real ones; another study, with a larger generators.kimg or with "
                "class_filter: false, would have some"
            )
        return images, labels, np.arange(len(labels)) >= len(real) * self.arm.real

    def work(self, tell: Callbacks) -> dict[str, Any]:
        images, labels, synthetic = self.images()
        val = self.study.load("val")
        recipe = self.recipe()
        fitted = fit_classifier(
            recipe, images, labels, val, self.seed, synthetic=synthetic, device=self.device
        )
        save_classifier(fitted, self.folder / "classifier")
        self.probabilities(val)
        kinds = {"real": labels[~synthetic], "synthetic": labels[synthetic]}
        counts = {k: np.bincount(y, minlength=len(val.classes)) for k, y in kinds.items()}
        return {
            "step": fitted.step,
            "curve": fitted.curve,
            **{kind: count.tolist() for kind, count in counts.items()},
        }

    def probabilities(self, split: Dataset) -> np.ndarray:
        """What the classifier says of a split, float32 (N, K); kept beside it."""
        file = self.folder / f"{split.split}.npy"
        try:
            found = np.load(file, allow_pickle=False)
            if found.shape == (len(split), len(split.classes)):
                return found
        except (OSError, ValueError, EOFError):
            pass  # not there yet, or cut short: computed again
        classifier = load_classifier(self.folder / "classifier").to(self.device)
        found = predict(classifier, split.images)
        buffer = io.BytesIO()
        np.save(buffer, found, allow_pickle=False)
        write_atomically(file, buffer.getbuffer())
        return found


def synthetic_counts(arm: Arm, real: np.ndarray) -> np.ndarray:
    """Synthetic images of each class (K,) that an arm adds to `real` ones (K,), or replaces by."""
    assert not isinstance(arm.ratio, list)
    added = balanced_counts(real, arm.ratio)
    # Without real images, as many in all as the arm would have with them.
    return added if arm.real or not isinstance(arm.ratio, str) else added + real
