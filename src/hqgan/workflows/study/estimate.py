"""What a study would cost, from a few small steps of each kind: `hqgan study --dry-run`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hqgan.evaluation import load_extractor
from hqgan.training.classification import ClassifierRecipe, fit_classifier, predict
from hqgan.workflows.estimate import timing
from hqgan.workflows.study.cell import Cell, Study
from hqgan.workflows.study.cells import (
    ClassifierCell,
    GeneratorCell,
    JudgeCell,
    PoolCell,
)
from hqgan.workflows.study.plan import Plan

TIMED_STEPS = 4
FEW = 16  # images whose features are timed


@dataclass(frozen=True)
class Estimate:
    """One cell; `state` is "done" or "new"."""

    cell: str
    state: str
    hours: float


def estimates(chosen: Plan) -> Iterator[Estimate]:
    """Yield an estimate for every cell; each kind is timed once.

    A pool is counted as if its filters kept every image, and a cell that was interrupted as new.
    """
    clock = Clock(chosen)
    for cell in chosen.cells:
        done = cell.done() is not None
        hours = 0.0 if done else clock.seconds(cell) / 3600
        yield Estimate(cell.name, "done" if done else "new", hours)


class Clock:
    """Seconds of each kind of cell on this machine, each kind timed once."""

    def __init__(self, chosen: Plan):
        self.val = chosen.val
        self.train = chosen.study.load("train")
        self.features: float | None = None
        self.generators: dict[str, tuple[float, float]] = {}
        self.classifiers: dict[ClassifierRecipe, tuple[float, float]] = {}

    def seconds(self, cell: Cell) -> float:
        """Of one cell, from its beginning."""
        if isinstance(cell, GeneratorCell):
            return 1000 * cell.config().kimg * self.of_generator(cell)[0]
        if isinstance(cell, PoolCell):
            compared = np.minimum(cell.counts, self.val.counts).sum()
            made = sum(cell.counts) * self.of_generator(cell.generator)[1]
            return made + float(compared) * self.of_features(cell.study)
        assert isinstance(cell, JudgeCell | ClassifierCell)
        recipe = cell.recipe()
        step, look = self.of_classifier(recipe)
        return recipe.steps * step + recipe.evaluations * look

    def of_features(self, study: Study) -> float:
        """Seconds of features for an image."""
        if self.features is None:
            extractor = load_extractor(study.weights, study.protocol.extractor, cache=False)
            started = time.perf_counter()
            few = self.val.images[:FEW]
            extractor(few)
            self.features = (time.perf_counter() - started) / len(few)
        return self.features

    def of_generator(self, cell: GeneratorCell) -> tuple[float, float]:
        """Seconds of training for a real image, and of sampling for a fake."""
        if cell.preset not in self.generators:
            self.generators[cell.preset] = timing(cell.config(), self.train)
        return self.generators[cell.preset]

    def of_classifier(self, recipe: ClassifierRecipe) -> tuple[float, float]:
        """Seconds of a training step, and of a look at val."""
        short = replace(recipe, balance="none", steps=TIMED_STEPS, evaluations=1)
        if short not in self.classifiers:
            images, labels = self.train.images, self.train.labels
            fitted = fit_classifier(short, images, labels, self.val, 0)  # and warms up
            started = time.perf_counter()
            predict(fitted.classifier, self.val.images)
            look = time.perf_counter() - started
            started = time.perf_counter()
            fit_classifier(short, images, labels, self.val, 0)
            whole = time.perf_counter() - started
            self.classifiers[short] = max(whole - look, 0.0) / TIMED_STEPS, look
        return self.classifiers[short]
