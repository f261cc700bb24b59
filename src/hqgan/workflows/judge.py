"""The judge: a classifier of real images, which says whether a synthetic one is recognised."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hqgan.data import Dataset
from hqgan.errors import RunError
from hqgan.models.classifier import Classifier
from hqgan.training.classification import (
    ClassifierRecipe,
    fit_classifier,
    load_classifier,
    predict,
    save_classifier,
)
from hqgan.training.runs import write_atomically

EPOCHS = 20
LEAST_STEPS = 300  # for small data sets, whose epochs are short


@dataclass(frozen=True)
class Judge:
    """A classifier and what it is worth on val, by which it was selected: a little too good.

    `recall` is the share of each class's val images that it recognises, for classes that val has;
    `balanced_accuracy` is the mean of them.
    """

    classifier: Classifier
    recall: dict[str, float]
    balanced_accuracy: float


def judge_recipe(train: Dataset, steps: int | None = None) -> ClassifierRecipe:
    """A small ResNet, standard augmentation, class weights; 20 epochs, or `steps`."""
    enough = max(LEAST_STEPS, math.ceil(EPOCHS * len(train) / ClassifierRecipe.batch))
    return ClassifierRecipe(
        "resnet-small", steps or enough, augmentation="standard", balance="class-weights"
    )


def kept_judge(
    folder: Path,
    recipe: ClassifierRecipe,
    train: Dataset,
    val: Dataset,
    seed: int,
    *,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Judge:
    """The judge in `folder`, trained on the real images of `train` if it is not there."""
    settings: dict[str, Any] = {
        "recipe": asdict(recipe),
        "seed": seed,
        "checksums": [train.checksum, val.checksum],
    }
    record = folder.with_suffix(".json")  # beside the folder, which is replaced whole
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if {key: known[key] for key in settings} == settings:
            classifier = load_classifier(folder).to(device)
            return Judge(classifier, known["recall"], known["balanced_accuracy"])
    except (OSError, ValueError, KeyError, TypeError, RunError):
        pass  # none, damaged, or of other settings: train it
    fitted = fit_classifier(
        recipe, train.images, train.labels, val, seed, progress=progress, device=device
    )
    save_classifier(fitted, folder)
    classifier = fitted.classifier
    hits = predict(classifier, val.images).argmax(axis=1) == val.labels
    present = np.unique(val.labels)
    recall = {val.classes[y]: float(hits[val.labels == y].mean()) for y in present}
    judge = Judge(classifier, recall, float(np.mean(list(recall.values()))))
    settings |= {"recall": recall, "balanced_accuracy": judge.balanced_accuracy}
    write_atomically(record, (json.dumps(settings, indent=1) + "\n").encode())
    return judge


def doubtful(name: str, accuracy: float, chance: float) -> str | None:
    """A warning where a judge's balanced accuracy is below twice what chance gives."""
    if accuracy >= 2 * chance:
        return None
    return (
        f"{name} hardly tells the classes apart (balanced accuracy {accuracy:.3f}, by chance "
        f"{chance:.3f}): what it recognises means little."
    )
