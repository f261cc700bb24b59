"""How good are a classifier's predictions: the scores of one trained classifier on one split.

Scikit-learn computes all that it has; the expected calibration error is ours. Macro averages go
over the classes that have images in the split, so a class that is absent neither helps nor harms.
What is undefined is nan, and `Scores.notes` says why; nothing here warns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from hqgan.evaluation.metrics import Array

MEASURES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "auroc",
    "ece",
    "brier",
)
LOWER_IS_BETTER = frozenset({"ece", "brier"})
CALIBRATION_BINS = 15
ROUNDING = 1e-3  # how far a row of probabilities in low precision may be from a sum of 1


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one trained classifier says of the N images of one split, K classes.

    Attributes:
        probabilities: (N, K), each row sums to 1; kept in double precision.
        labels: (N,) true classes, 0 ... K - 1.
        groups: (N,) names of lesions; images of one lesion are not independent.
        names: (K,) of the classes, for notes; none are numbers.

    Raises ValueError for other shapes, labels out of range, or rows that are no probabilities.
    """

    probabilities: Array
    labels: NDArray[np.integer]
    groups: NDArray[np.str_] | Sequence[str]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        labels, groups = np.asarray(self.labels), np.asarray(self.groups, dtype=np.str_)
        if probabilities.ndim != 2:
            raise ValueError(
                f"probabilities have shape {probabilities.shape}, expected (images, classes)"
            )
        n, classes = probabilities.shape
        if labels.shape != (n,) or groups.shape != (n,):
            raise ValueError(
                f"{n} rows of probabilities, labels of shape {labels.shape} and groups of shape "
                f"{groups.shape}; expected one label and one group for each row"
            )
        if not np.isfinite(probabilities).all():
            raise ValueError("probabilities hold NaN or infinity; the classifier has diverged")
        off = np.abs(probabilities.sum(axis=1) - 1.0).max(initial=0.0)
        if off > ROUNDING or probabilities.min(initial=0.0) < 0.0:
            raise ValueError(
                f"rows of probabilities miss a sum of 1 by up to {off:.3g}, the smallest entry is "
                f"{probabilities.min(initial=0.0):.3g}; expected the output of a softmax"
            )
        if n and not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels are of type {labels.dtype}, expected whole numbers")
        if n and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
            )
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "groups", groups)

    @property
    def classes(self) -> int:
        """K, whether or not all have images."""
        return self.probabilities.shape[1]

    @property
    def predicted(self) -> NDArray[np.integer]:
        """(N,) most probable class, the first of equals."""
        return self.probabilities.argmax(axis=1)

    def subset(self, mask: NDArray[np.bool_]) -> "Predictions":
        """Of the images where mask (N,) is true, for instance those of one skin type."""
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != self.labels.shape:
            raise ValueError(
                f"mask is of type {mask.dtype} and shape {mask.shape}, "
                f"expected booleans of shape {self.labels.shape}"
            )
        groups = np.asarray(self.groups)[mask]
        return Predictions(self.probabilities[mask], self.labels[mask], groups, self.names)

    def name(self, label: int) -> str:
        """Of a class."""
        return self.names[label] if self.names else str(label)


@dataclass(frozen=True)
class Scores:
    """All scores of one `Predictions`.

    Attributes:
        overall: each of `MEASURES`, nan where undefined.
        per_class: for class 0 ... K - 1 its precision, recall, f1, auroc (nan where undefined)
            and n, its images.
        confusion: (K, K) images, rows true, columns predicted.
        notes: why something is undefined or left out of an average.
    """

    overall: dict[str, float]
    per_class: list[dict[str, float]]
    confusion: NDArray[np.integer]
    notes: tuple[str, ...] = ()


def scores(predictions: Predictions) -> Scores:
    """Every measure of one classifier on one split.

    Accuracy and balanced accuracy, macro precision, recall, F1 and AUROC (one class against the
    rest) lie in [0, 1], higher is better; ECE in [0, 1] and Brier score in [0, 2], lower is better.
    Macro recall is balanced accuracy under its other name. A class that has images but is never
    predicted has no precision; it counts as 0 in the macro precision, for leaving it out would
    reward a classifier for giving up on rare classes.
    """
    labels, predicted, classes = predictions.labels, predictions.predicted, predictions.classes
    if not len(labels):
        nan = float("nan")
        row: dict[str, float] = dict.fromkeys(("precision", "recall", "f1", "auroc"), nan)
        return Scores(
            dict.fromkeys(MEASURES, nan),
            [row | {"n": 0} for _ in range(classes)],
            np.zeros((classes, classes), dtype=np.int64),
            ("there is no image, so nothing is defined",),
        )
    names = np.arange(classes)
    precision, recall, f1, n = precision_recall_fscore_support(
        labels, predicted, labels=names, average=None, zero_division=np.nan
    )
    present = n > 0
    for each in (precision, recall, f1):
        each[~present] = np.nan
    auroc = np.full(classes, np.nan)
    if present.sum() > 1:
        for k in names[present]:
            auroc[k] = roc_auc_score(labels == k, predictions.probabilities[:, k])
    overall = {
        "accuracy": accuracy_score(labels, predicted),
        "balanced_accuracy": recall[present].mean(),
        "precision": np.nan_to_num(precision[present]).mean(),
        "recall": recall[present].mean(),
        "f1": f1[present].mean(),
        "auroc": auroc[present].mean(),
        "ece": expected_calibration_error(predictions),
        "brier": squared_distances(predictions).mean(),
    }
    columns = {"precision": precision, "recall": recall, "f1": f1, "auroc": auroc}
    return Scores(
        {key: float(value) for key, value in overall.items()},
        [
            {key: float(column[k]) for key, column in columns.items()} | {"n": int(n[k])}
            for k in names
        ],
        confusion_matrix(labels, predicted, labels=names),
        _notes(predictions, present, np.isnan(precision) & present),
    )


def expected_calibration_error(predictions: Predictions) -> float:
    """Mean distance between confidence and accuracy, in [0, 1]; nan without images.

    Images are binned by the probability of their predicted class into `CALIBRATION_BINS` bins of
    equal width, closed on the right; bins count by their images. Biased upwards on few images.
    Source: Guo et al., "On calibration of modern neural networks", arXiv 1706.04599, eq. 3.
    """
    if not len(predictions.labels):
        return float("nan")
    bins, gaps = calibration_gaps(predictions)
    return float(np.abs(np.bincount(bins, weights=gaps)).sum() / len(gaps))


def calibration_gaps(predictions: Predictions) -> tuple[NDArray[np.integer], Array]:
    """For each image its confidence bin (N,) and correct (0 or 1) minus confidence (N,)."""
    top = predictions.probabilities.max(axis=1)
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)[1:-1]
    correct = predictions.predicted == predictions.labels
    return np.searchsorted(edges, top, side="left"), correct - top


def squared_distances(predictions: Predictions) -> Array:
    """(N,) squared distance of the probabilities to the one-hot label, in [0, 2].

    Their mean is the Brier score of several classes (Brier 1950, Mon. Weather Rev. 78, 1), twice
    the usual score of two classes.
    """
    return ((predictions.probabilities - np.eye(predictions.classes)[predictions.labels]) ** 2).sum(
        axis=1
    )


def _notes(
    predictions: Predictions, present: NDArray[np.bool_], unpredicted: NDArray[np.bool_]
) -> tuple[str, ...]:
    def listed(which: NDArray[np.bool_]) -> str:
        names = [predictions.name(int(k)) for k in np.flatnonzero(which)]
        return f"class{'es' * (len(names) > 1)} {', '.join(names)}"

    notes = []
    if not present.all():
        notes.append(f"no image of {listed(~present)}: undefined, and not in the macro averages")
    if unpredicted.any():
        notes.append(f"never predicted: {listed(unpredicted)}; 0 in the macro precision")
    if present.sum() == 1:
        notes.append("all images are of one class, so AUROC is undefined")
    return tuple(notes)
