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
from errno import ENOSPC
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from sklearn.metrics import log_loss, recall_score
from torch import Tensor

from hqgan.data import Dataset, to_float
from hqgan.data.standard_augmentation import standard_augmentation
from hqgan.errors import DataError, RunError, TrainingStopped, UsageError
from hqgan.models.classifier import Classifier, build_classifier, empty_classifier
from hqgan.models.declared import read_declared, require_value
from hqgan.reading import SMALL, read_json
from hqgan.training.fabric import has_bf16

WARM_UP = 0.1  # share of the steps in which the learning rate rises
ABOUT, WEIGHTS = "classifier.json", "model.safetensors"
DAMAGE = (OSError, ValueError, TypeError, KeyError, RuntimeError, UsageError)
WEIGHT_STREAM, ORDER_STREAM, AUGMENTATION_STREAM = range(3)  # of one seed

Augmentation = Literal["none", "standard"]
Balance = Literal["none", "class-weights", "oversampling"]
AUGMENTATIONS, BALANCES = get_args(Augmentation), get_args(Balance)


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is trained; the arms of a study differ in augmentation and balance alone.

    Attributes:
        name: of the classifier, see `build_classifier`.
        steps: optimiser steps; 94 of 64 images are one epoch of HAM10000's training split.
        batch: images a step.
        learning_rate: the highest one, after the warm-up; None is the classifier's own.
        weight_decay: AdamW's, of every parameter.
        augmentation: "none", or "standard" (`standard_augmentation`).
        balance: "none"; "class-weights" weighs the loss of an image by N / (K n_class);
            "oversampling" draws classes equally often, and the images of a class equally often.
        weights: the file to start from, see `build_classifier`.
        evaluations: times, evenly over the training, at which val is looked at.
        synthetic_until: share of the steps, above 0 up to 1, after which synthetic images are
            left out: learn from many, then refine on the real ones.

    Raises:
        UsageError: for steps or evaluations below 1, a batch below 2, a share out of its range, or
            an augmentation or a balance that is not offered.
    """

    name: str = "resnet-small"
    steps: int = 1880
    batch: int = 64
    learning_rate: float | None = None
    weight_decay: float = 0.05
    augmentation: Augmentation = "none"
    balance: Balance = "none"
    weights: str | None = None
    evaluations: int = 10
    synthetic_until: float = 1.0

    def __post_init__(self) -> None:
        # Batch norm needs two images: one alone is its own mean where the map is a single point.
        for key, least in (("steps", 1), ("batch", 2), ("evaluations", 1)):
            if getattr(self, key) < least:
                seen = getattr(self, key)
                raise UsageError(f"{key} of a classifier is {seen}, expected {least} or more")
        for key, values in (("augmentation", AUGMENTATIONS), ("balance", BALANCES)):
            if getattr(self, key) not in values:
                seen = getattr(self, key)
                raise UsageError(f"{key} is {seen!r}, expected one of {', '.join(values)}")
        if not 0 < self.synthetic_until <= 1:
            raise UsageError(
                f"synthetic_until is {self.synthetic_until:g}, expected more than 0, at most 1"
            )


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
    synthetic: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
    device: str = "cpu",
) -> Fitted:
    """Train on `images` and keep the weights that do best on `val`.

    Best is the highest balanced accuracy (recall averaged over the classes that val has); of equal
    ones the lowest log loss, then the first. The same seed gives the same bits (CPU, fixed number
    of threads); torch's global generator is left as it was. On CPUs, several trainings side by
    side with one thread each are the fastest: such a one may compute in bfloat16.

    Args:
        recipe: the training.
        images: uint8 (N, S, S, 3).
        labels: (N,) indices into `val.classes`.
        val: the split to choose by, images of the same size.
        seed: of the weights, the order and the augmentation.
        synthetic: (N,) which images are left out after `recipe.synthetic_until`; None is none.
        progress: called after each step with (steps done, steps in all).
        device: "cpu", "cuda" or "mps".

    Raises:
        DataError: no training image of a class, or no real one where the synthetic ones are left
            out; labels or sizes that do not fit, or an empty val.
        UsageError: as `build_classifier`.
        TrainingStopped: the loss is not a number any more.
    """
    require_fitting(images, labels, val)
    classes, size = len(val.classes), images.shape[1]
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    rng = generator(seed, ORDER_STREAM)
    order = batches(targets, classes, recipe, rng)
    refine_after = recipe.steps
    if synthetic is not None and recipe.synthetic_until < 1:
        refine_after = max(1, round(recipe.synthetic_until * recipe.steps))
        require_fitting(images[~synthetic], labels[~synthetic], val)
    augmentation = generator(seed, AUGMENTATION_STREAM)
    importance = class_importance(targets, classes, recipe).to(device)
    looks = set(np.linspace(0, recipe.steps, recipe.evaluations + 1).round()[1:])
    best, selected, weights = (-1.0, -math.inf), 0, dict[str, Tensor]()
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # first weights and dropout
        torch.manual_seed(stream_seed(seed, WEIGHT_STREAM))
        classifier = build_classifier(recipe.name, classes, size, recipe.weights).to(device)
        # 1.3 times as fast on CPUs; torch's annotation of `to` forgets this argument.
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        half = trains_in_bf16(classifier, device)
        bf16 = torch.autocast(device, torch.bfloat16, enabled=half)
        highest = recipe.learning_rate or classifier.learning_rate
        optimiser = torch.optim.AdamW(
            classifier.parameters(), lr=highest, weight_decay=recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: rate(n, recipe.steps))
        classifier.train()
        for step in range(1, recipe.steps + 1):
            if step == refine_after + 1:
                assert synthetic is not None
                real = torch.from_numpy(np.flatnonzero(~synthetic))
                order = (real[rows] for rows in batches(targets[real], classes, recipe, rng))
                importance = class_importance(targets[real], classes, recipe).to(device)
            chosen = next(order)
            x, y = to_float(images[chosen.numpy()]), targets[chosen].to(device)
            if recipe.augmentation == "standard":
                x = standard_augmentation(x, augmentation)
            x = x.to(device).contiguous(memory_format=torch.channels_last)
            with bf16:
                logits = classifier(x)
            loss = (F.cross_entropy(logits, y, reduction="none") * importance[y]).mean()
            losses.append(loss.item())
            require_finite(losses[-1], recipe, step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step in looks:
                probabilities = predict(classifier, val.images)
                require_finite(float(probabilities.sum()), recipe, step)
                accuracy, surprise = judge(probabilities, val.labels)
                if (accuracy, -surprise) > best:
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


def trains_in_bf16(classifier: Classifier, device: str, threads: int | None = None) -> bool:
    """Whether `fit_classifier` computes in bfloat16 here, which other bits come of.

    `threads` is how many will compute it; None is as many as compute now.

    Threads that compute bfloat16 weight gradients wait for each other spinning: as soon as another
    process wants a core, two are 30 times as slow as one. float32 has no such trap.
    """
    alone = classifier.bf16_on_cpu and (threads or torch.get_num_threads()) == 1
    return has_bf16(device) and (device != "cpu" or alone)


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


def require_finite(value: float, recipe: ClassifierRecipe, step: int) -> None:
    """Raise TrainingStopped for a loss, or a sum of probabilities, that is not a number."""
    if not math.isfinite(value):
        raise TrainingStopped(
            f"the classifier {recipe.name} diverged at step {step} of {recipe.steps}; lower its "
            f"learning rate, now {recipe.learning_rate or 'its own'}"
        )


def class_importance(labels: Tensor, classes: int, recipe: ClassifierRecipe) -> Tensor:
    """Weight of an image of each class in the loss (K,)."""
    if recipe.balance != "class-weights":
        return torch.ones(classes)
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).float())


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
    shutil.rmtree(temporary, ignore_errors=True)  # a kill, or a full disk, may have left it
    temporary.mkdir(parents=True)
    classifier = fitted.classifier
    about: dict[str, Any] = {key: getattr(classifier, key) for key in ("name", "classes", "size")}
    about |= {"step": fitted.step, "curve": fitted.curve}
    (temporary / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    try:
        save_model(classifier, str(temporary / WEIGHTS))
    except SafetensorError as error:  # its word for a full disk
        raise OSError(ENOSPC, str(error), str(folder)) from error
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def is_classifier(folder: Path) -> bool:
    """Whether `save_classifier` wrote one here."""
    return (folder / ABOUT).is_file() and (folder / WEIGHTS).is_file()


def load_classifier(folder: Path) -> Classifier:
    """The classifier that `save_classifier` wrote, in evaluation mode.

    Raises RunError where there is none, or it is damaged.
    """
    try:
        about = read_json(folder / ABOUT, SMALL)
        for key in ("classes", "size"):
            require_value(key, about[key], int)
        read_declared(folder / WEIGHTS)
        with torch.random.fork_rng(devices=[]):  # the first weights, soon replaced, draw from it
            classifier = empty_classifier(about["name"], about["classes"], about["size"])
        load_model(classifier, folder / WEIGHTS)
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not all(entry.isfinite().all() for entry in classifier.state_dict().values()):
            raise ValueError("a weight is NaN or infinite")
    except (*DAMAGE, SafetensorError) as error:
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
