"""Scores are scikit-learn's, macro averages go over what is there, and nothing warns."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from torchmetrics.functional.classification import multiclass_calibration_error

from hqgan.evaluation.classification import (
    CALIBRATION_BINS,
    MEASURES,
    Predictions,
    expected_calibration_error,
    scores,
)

EXACT = 1e-12
SINGLE = 1e-5  # torchmetrics bins in single precision


def predictions(seed: int, n: int = 60, classes: int = 4, shift: float = 1.0) -> Predictions:
    """Every class present; the true one is favoured by `shift`."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    logits = rng.standard_normal((n, classes)) + shift * np.eye(classes)[labels]
    odds = np.exp(logits)
    return Predictions(odds / odds.sum(axis=1, keepdims=True), labels, [f"l{i}" for i in range(n)])


def certain(labels: list[int], predicted: list[int], classes: int = 3) -> Predictions:
    return Predictions(np.eye(classes)[predicted], np.array(labels), ["x"] * len(labels))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 80), st.integers(2, 5))
def test_overall_scores_are_scikit_learns(seed: int, n: int, classes: int) -> None:
    given = predictions(seed, max(n, classes), classes)
    labels, predicted = given.labels, given.probabilities.argmax(axis=1)
    areas = [sklearn.roc_auc_score(labels == k, given.probabilities[:, k]) for k in range(classes)]
    expected = {
        "accuracy": sklearn.accuracy_score(labels, predicted),
        "balanced_accuracy": sklearn.balanced_accuracy_score(labels, predicted),
        "precision": sklearn.precision_score(labels, predicted, average="macro", zero_division=0),
        "recall": sklearn.recall_score(labels, predicted, average="macro"),
        "f1": sklearn.f1_score(labels, predicted, average="macro"),
        "auroc": np.mean(areas),
        "brier": sklearn.brier_score_loss(
            labels, given.probabilities, labels=range(classes), scale_by_half=False
        ),
    }
    found = scores(given)
    assert set(found.overall) == set(MEASURES)
    for measure, value in expected.items():
        assert found.overall[measure] == pytest.approx(value, abs=EXACT), measure
    assert np.array_equal(
        found.confusion, sklearn.confusion_matrix(labels, predicted, labels=range(classes))
    )
    assert [row["auroc"] for row in found.per_class] == pytest.approx(areas, abs=EXACT)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_calibration_error_is_torchmetrics(seed: int) -> None:
    given = predictions(seed)
    expected = multiclass_calibration_error(
        torch.tensor(given.probabilities),
        torch.tensor(given.labels),
        num_classes=given.classes,
        n_bins=CALIBRATION_BINS,
        norm="l1",
    )
    assert expected_calibration_error(given) == pytest.approx(float(expected), abs=SINGLE)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    """0.6 = 9/15: right and wrong at 0.6 share a bin and average, at 0.61 they do not meet them."""
    half = Predictions([[0.6, 0.4], [0.6, 0.4]], np.array([0, 1]), ["a", "b"])
    assert expected_calibration_error(half) == pytest.approx(abs(0.5 - 0.6), abs=EXACT)
    apart = Predictions([[0.6, 0.4], [0.61, 0.39]], np.array([0, 1]), ["a", "b"])
    assert expected_calibration_error(apart) == pytest.approx((0.4 + 0.61) / 2, abs=EXACT)


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_the_worst() -> None:
    right, wrong = (scores(certain([0, 1, 2], p)).overall for p in ([0, 1, 2], [1, 2, 0]))
    assert {k: right[k] for k in MEASURES} == {k: float(k not in ("ece", "brier")) for k in right}
    assert (wrong["accuracy"], wrong["auroc"], wrong["ece"], wrong["brier"]) == (0, 0.25, 1, 2)


def test_ignorance_has_an_area_of_a_half() -> None:
    know_nothing = Predictions(np.full((6, 3), 1 / 3), np.arange(6) % 3, ["x"] * 6)
    assert scores(know_nothing).overall["auroc"] == 0.5


# ---- what is not there ----


def test_an_absent_class_is_left_out_of_the_averages_and_named() -> None:
    found = scores(certain([0, 0, 1, 1], [0, 2, 1, 1]))
    assert found.overall["recall"] == found.overall["balanced_accuracy"] == 0.75
    assert found.overall["precision"] == 1.0
    assert found.per_class[2]["n"] == 0
    assert all(math.isnan(found.per_class[2][key]) for key in ("precision", "recall", "f1"))
    assert found.confusion.tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert found.notes == ("no image of class 2: undefined, and not in the macro averages",)


def test_a_class_never_predicted_has_no_precision_and_costs_some() -> None:
    found = scores(certain([0, 1, 2], [0, 1, 1]))
    assert math.isnan(found.per_class[2]["precision"])
    assert found.per_class[2]["f1"] == found.per_class[2]["recall"] == 0.0
    assert found.overall["precision"] == pytest.approx((1 + 0.5 + 0) / 3, abs=EXACT)
    assert found.notes == ("never predicted: class 2; 0 in the macro precision",)


def test_one_class_alone_has_no_area_and_no_image_has_nothing() -> None:
    one = scores(certain([1, 1], [1, 0]))
    assert math.isnan(one.overall["auroc"])
    assert one.overall["accuracy"] == 0.5
    assert "all images are of one class, so AUROC is undefined" in one.notes
    none = scores(certain([1], [1]).subset(np.array([False])))
    assert all(math.isnan(value) for value in none.overall.values())
    assert none.confusion.tolist() == [[0] * 3] * 3
    assert [row["n"] for row in none.per_class] == [0, 0, 0]
    assert none.notes == ("there is no image, so nothing is defined",)


def test_a_subset_is_scored_as_if_it_were_all() -> None:
    whole = predictions(3)
    mask = np.arange(60) % 3 > 0
    alone = Predictions(whole.probabilities[mask], whole.labels[mask], ["x"] * mask.sum())
    assert scores(whole.subset(mask)).overall == scores(alone).overall
    assert whole.subset(mask).groups.tolist() == [f"l{i}" for i in range(60) if i % 3]


# ---- bad input ----


@pytest.mark.parametrize(
    ("probabilities", "labels", "groups", "message"),
    [
        ([0.5, 0.5], [0, 1], "ab", r"shape \(2,\), expected \(images, classes\)"),
        ([[0.5, 0.5]], [0, 1], "ab", "1 rows of probabilities, labels of shape"),
        ([[0.5, 0.5]], [0], "ab", "one label and one group for each row"),
        ([[0.5, float("nan")]], [0], "a", "the classifier has diverged"),
        ([[2.0, -1.0]], [0], "a", "the smallest entry is -1"),
        ([[1.0, 1.0]], [0], "a", "miss a sum of 1 by up to 1,"),
        ([[0.5, 0.5]], [0.5], "a", "of type float64, expected whole numbers"),
        ([[0.5, 0.5]], [2], "a", "labels run from 2 to 2, expected 0 to 1"),
    ],
)
def test_what_is_no_prediction_is_named(
    probabilities: list, labels: list, groups: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Predictions(np.array(probabilities), np.array(labels), list(groups))


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected booleans of shape"):
        predictions(0).subset(np.arange(60))
