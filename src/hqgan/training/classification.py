"""Training a classifier: the one recipe that every arm of a study shares.

Arms differ in the images they are given, in augmentation and in balance; network, number of steps,
batch, optimiser and schedule are the same, and so are, for one seed, the first weights. AdamW
(Loshchilov & Hutter 2019, arXiv 1711.05101) with a linear warm-up and a cosine to zero.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from sklearn.metrics import log_loss, recall_score
from torch import Tensor

from hqgan.data import Dataset, to_float
from hqgan.data.standard_augmentation import standard_augmentation
from hqgan.errors import DataError, RunError, TrainingStopped
from hqgan.models.classifier import Classifier, build_classifier, empty_classifier
from hqgan.training.fabric import has_bf16

WARM_UP = 0.1  # share of the steps in which the learning rate rises
ABOUT, WEIGHTS = "classifier.json", "model.safetensors"
WEIGHT_STREAM, ORDER_STREAM, AUGMENTATION_STREAM = range(3)  # of one seed


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is trained; the arms of a study differ in augmentation and balance alone.

    Attributes:
        name: of the classifier, see `build_classifier`.
        steps: optimiser steps; 94 of 64 images are one epoch of HAM10000's training split.
        batch: images a step.
        learning_rate: the highest one, after the warm-up.
        weight_decay: AdamW's, of every parameter.
        augmentation: "none", or "standard" (`standard_augmentation`).
        balance: "none"; "class-weights" weighs the loss of an image by N / (K n_class);
            "oversampling" draws classes equally often, and the images of a class equally often.
        weights: the file to start from, see `build_classifier`.
        evaluations: times, evenly over the training, at which val is looked at.
    """

    name: str = "resnet-small"
    steps: int = 1880
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    augmentation: Literal["none", "standard"] = "none"
    balance: Literal["none", "class-weights", "oversampling"] = "none"
    weights: str | None = None
    evaluations: int = 10


@dataclass(frozen=True)
class Fitted:
    """A trained classifier and how it came about.

    Attributes:
        classifier: with the weights of the selected step, in evaluation mode.
        step: the selected one, from 1.
        curve: for each look at val its `step`, `balanced_accuracy`, `log_loss` (nats) and
            `train_loss`, the mean since the look before.
    """

    classifier: Classifier
    step: int
    curve: list[dict[str, float]]


def fit_classifier(
    recipe: ClassifierRecipe,
    images: np.ndarray,
    labels: np.ndarray,
    val: Dataset,
    seed: int,
    *,
    progress: Callable[[int, int], None] | None = None,
    device: str = "cpu",
) -> Fitted:
    """Train on `images` and keep the weights that do best on `val`.

    Best is the highest balanced accuracy (recall averaged over the classes that val has); of equal
    ones the lowest log loss, then the first. The same seed gives the same bits (CPU, fixed number
    of threads); torch's global generator is left as it was.

    Args:
        recipe: the training.
        images: uint8 (N, S, S, 3).
        labels: (N,) indices into `val.classes`.
        val: the split to choose by, images of the same size.
        seed: of the weights, the order and the augmentation.
        progress: called after each step with (steps done, steps in all).
        device: "cpu", "cuda" or "mps".

    Raises:
        DataError: no training image of a class, labels or sizes that do not fit, or an empty val.
        UsageError: as `build_classifier`.
        TrainingStopped: the loss is not a number any more.
    """
    classes, size = len(val.classes), images.shape[1]
    require_fitting(images, labels, val)
    looks = {round(x) for x in np.linspace(0, recipe.steps, recipe.evaluations + 1)[1:]}
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    order = batches(targets, classes, recipe, generator(seed, ORDER_STREAM))
    augmentation = generator(seed, AUGMENTATION_STREAM)
    importance = torch.ones(classes)
    if recipe.balance == "class-weights":
        importance = len(targets) / (classes * torch.bincount(targets, minlength=classes).float())
    curve: list[dict[str, float]] = []
    best: tuple[float, float] = (-1.0, 0.0)
    selected, weights = 0, dict[str, Tensor]()
    losses: list[float] = []
    with torch.random.fork_rng(
        range(torch.cuda.device_count())
    ):  # first weights and dropout draw from torch's own generator
        torch.manual_seed(stream_seed(seed, WEIGHT_STREAM))
        classifier = build_classifier(recipe.name, classes, size, recipe.weights).to(device)
        # Both are faster on CPUs (1.9x together for resnet-small, with AVX-512 BF16).
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        half = torch.autocast(device, torch.bfloat16, enabled=has_bf16(device))
        importance = importance.to(device)
        optimiser = torch.optim.AdamW(
            classifier.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: rate(n, recipe.steps))
        classifier.train()
        for step in range(1, recipe.steps + 1):
            chosen = next(order)
            x, y = to_float(images[chosen.numpy()]).to(device), targets[chosen].to(device)
            if recipe.augmentation == "standard":
                x = standard_augmentation(x, augmentation)
            with half:
                logits = classifier(x.contiguous(memory_format=torch.channels_last))
            loss = (F.cross_entropy(logits, y, reduction="none") * importance[y]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise TrainingStopped(
                    f"the loss of the classifier {recipe.name} is {losses[-1]} at step {step}; "
                    f"lower its learning rate (now {recipe.learning_rate})"
                )
            if step in looks:
                accuracy, surprise = judge(predict(classifier, val.images), val.labels)
                if (accuracy, -surprise) > best or not curve:
                    best, selected = (accuracy, -surprise), step
                    weights = {k: v.clone() for k, v in classifier.state_dict().items()}
                curve.append(
                    {
                        "step": step,
                        "balanced_accuracy": accuracy,
                        "log_loss": surprise,
                        "train_loss": float(np.mean(losses)),
                    }
                )
                losses.clear()
            if progress is not None:
                progress(step, recipe.steps)
    classifier.load_state_dict(weights)
    return Fitted(classifier.eval(), selected, curve)


def require_fitting(images: np.ndarray, labels: np.ndarray, val: Dataset) -> None:
    """Raise DataError unless these training images and this val make a task."""
    if not len(val):
        raise DataError("val has no images, and the classifier is chosen by it; add some to it")
    if len(images) != len(labels):
        raise DataError(f"{len(images)} images have {len(labels)} labels, expected one each")
    if images.shape[1:] != val.images.shape[1:]:
        raise DataError(
            f"training images are {images.shape[1:]} and those of val {val.images.shape[1:]}; "
            "load both at one size"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(val.classes):
        raise DataError(
            f"labels go from {labels.min()} to {labels.max()}, but the classes are "
            f"{len(val.classes)} ({', '.join(val.classes)}), counted from 0"
        )
    missing = set(range(len(val.classes))) - set(np.unique(labels).tolist())
    if missing:
        names = ", ".join(val.classes[k] for k in sorted(missing))
        raise DataError(
            f"No training image of class {names}: a class cannot be learned from nothing. "
            "Take a larger fraction of the data, or leave the class out of it."
        )


def batches(
    labels: Tensor, classes: int, recipe: ClassifierRecipe, rng: torch.Generator
) -> Iterator[Tensor]:
    """Indices (batch,) of images, without end: one shuffled epoch after the other, or balanced."""
    if recipe.balance == "oversampling":
        share = 1 / torch.bincount(labels, minlength=classes).double()[labels]
        while True:
            yield torch.multinomial(share, recipe.batch, replacement=True, generator=rng)
    ready = torch.empty(0, dtype=torch.int64)
    while True:
        while len(ready) < recipe.batch:
            ready = torch.cat([ready, torch.randperm(len(labels), generator=rng)])
        yield ready[: recipe.batch]
        ready = ready[recipe.batch :]


def rate(step: int, steps: int) -> float:
    """Share of the highest learning rate: linear over the warm-up, then half a cosine to zero."""
    warm_up = math.ceil(WARM_UP * steps)
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up + 1))) / 2


def judge(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Balanced accuracy over the classes that `labels` has, and log loss in nats."""
    present = np.unique(labels)
    recall = recall_score(
        labels, probabilities.argmax(1), labels=present, average="macro", zero_division=0
    )
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    return float(recall), float(log_loss(labels, exact, labels=range(exact.shape[1])))


def predict(classifier: Classifier, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Class probabilities, float32 (N, K), of uint8 (N, S, S, 3) images, in full precision.

    On the device of the classifier, in evaluation mode; its mode is as it was afterwards.
    """
    device, mode = next(classifier.parameters()).device, classifier.training
    classifier.eval()
    with torch.inference_mode():
        found = [
            classifier(to_float(images[start : start + batch]).to(device)).softmax(1).cpu()
            for start in range(0, len(images), batch)
        ]
    classifier.train(mode)
    return torch.cat(found).numpy() if found else np.empty((0, classifier.classes), np.float32)


def save_classifier(fitted: Fitted, folder: Path) -> None:
    """Write a trained classifier and its curve to `folder`, in place of one that is there.

    Written under a temporary name and renamed, so that a folder of this name is always whole.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    classifier = fitted.classifier
    about: dict[str, Any] = {key: getattr(classifier, key) for key in ("name", "classes", "size")}
    about |= {"step": fitted.step, "curve": fitted.curve}
    (temporary / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    save_model(classifier, str(temporary / WEIGHTS))
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def load_classifier(folder: Path) -> Classifier:
    """The classifier that `save_classifier` wrote, in evaluation mode.

    Raises RunError where there is none, or it is damaged.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        with torch.random.fork_rng(
            devices=[]
        ):  # the first weights, which are replaced, would draw from it
            classifier = empty_classifier(about["name"], about["classes"], about["size"])
        load_model(classifier, folder / WEIGHTS)
        if not all(entry.isfinite().all() for entry in classifier.state_dict().values()):
            raise ValueError("a weight is NaN or infinite")
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise RunError(
            f"the classifier {folder} cannot be loaded ({error}); delete it and train it again"
        ) from error
    return classifier.eval()


def stream_seed(seed: int, stream: int) -> int:
    """A seed of its own for each use of randomness in one training."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, stream: int) -> torch.Generator:
    """The CPU generator of one use of randomness."""
    return torch.Generator().manual_seed(stream_seed(seed, stream))
