"""The judge: a classifier of real images, which says whether a synthetic one is recognised."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sklearn.metrics import balanced_accuracy_score

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


def judge_recipe(train: Dataset, steps: int | None = None) -> ClassifierRecipe:
    """A small ResNet, standard augmentation, class weights; 20 epochs unless `steps` says more."""
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
) -> tuple[Classifier, float]:
    """The judge in `folder`, trained if it is not there, and its balanced accuracy on val.

    It sees real training images only and is selected on val, so that the accuracy, over the classes
    that val has, is a little too good.
    """
    settings: dict[str, Any] = {
        "recipe": asdict(recipe),
        "seed": seed,
        "train_checksum": train.checksum,
        "val_checksum": val.checksum,
    }
    record = folder.with_suffix(".json")  # beside the folder, which is replaced whole
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if {key: known[key] for key in settings} == settings:
            return load_classifier(folder).to(device), float(known["balanced_accuracy"])
    except (OSError, ValueError, KeyError, RunError):
        pass  # none, damaged, or of other settings: train it
    fitted = fit_classifier(
        recipe, train.images, train.labels, val, seed, progress=progress, device=device
    )
    answers = predict(fitted.classifier, val.images).argmax(axis=1)
    score = float(balanced_accuracy_score(val.labels, answers))
    save_classifier(fitted, folder)
    settings["balanced_accuracy"] = score
    write_atomically(record, (json.dumps(settings, indent=1) + "\n").encode())
    return fitted.classifier, score
