"""Training a classifier: repeatable, comparable between arms, chosen on val, and it learns."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from hqgan.data import Dataset, load_dataset
from hqgan.errors import DataError, RunError, TrainingStopped, UsageError
from hqgan.models.mobilenet import MobileNet
from hqgan.training.classification import (
    ClassifierRecipe,
    Fitted,
    batches,
    fit_classifier,
    generator,
    judge,
    load_classifier,
    predict,
    rate,
    save_classifier,
)

SIZE = 16
QUICK = ClassifierRecipe(steps=8, batch=16, evaluations=2)
LEARNING = ClassifierRecipe(steps=100, batch=32, evaluations=4, balance="oversampling")
ABOVE_CHANCE = 0.5  # balanced accuracy, where chance is 0.25


@pytest.fixture(scope="module")
def train() -> Dataset:
    return load_dataset("embedded", "train", SIZE)


@pytest.fixture(scope="module")
def val() -> Dataset:
    return load_dataset("embedded", "val", SIZE)


@pytest.fixture(scope="module")
def fitted(train: Dataset, val: Dataset) -> Fitted:
    return fit_classifier(LEARNING, train.images, train.labels, val, seed=0)


def fit(recipe: ClassifierRecipe, train: Dataset, val: Dataset, seed: int = 0) -> Fitted:
    return fit_classifier(recipe, train.images, train.labels, val, seed)


def state(fitted: Fitted) -> dict[str, Tensor]:
    return fitted.classifier.state_dict()


def equal(one: Fitted, other: Fitted) -> bool:
    mine, theirs = state(one), state(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_it_learns_to_tell_the_embedded_lesions_apart(fitted: Fitted, val: Dataset) -> None:
    guesses = predict(fitted.classifier, val.images).argmax(1)
    assert balanced_accuracy_score(val.labels, guesses) > ABOVE_CHANCE
    assert fitted.curve[-1]["train_loss"] < fitted.curve[0]["train_loss"]


def test_the_same_seed_gives_the_same_bits(train: Dataset, val: Dataset) -> None:
    recipe = replace(QUICK, augmentation="standard", balance="class-weights")
    first = fit(recipe, train, val)
    torch.rand(1)  # what happened before in this process is nobody's business
    again = fit(recipe, train, val)
    assert equal(first, again)
    assert first.curve == again.curve
    assert first.step == again.step
    assert not equal(first, fit(recipe, train, val, seed=1))


def test_arms_differ_where_their_recipes_do(train: Dataset, val: Dataset) -> None:
    plain = fit(QUICK, train, val)
    for change in (
        {"augmentation": "standard"},
        {"balance": "class-weights"},
        {"balance": "oversampling"},
    ):
        assert not equal(plain, fit(replace(QUICK, **change), train, val))


def test_torchs_own_generator_is_left_as_it_was(train: Dataset, val: Dataset) -> None:
    before = torch.random.get_rng_state()
    fit(QUICK, train, val)
    assert torch.equal(before, torch.random.get_rng_state())


def test_val_is_looked_at_evenly_and_progress_is_told(train: Dataset, val: Dataset) -> None:
    told: list[tuple[int, int]] = []
    recipe = replace(QUICK, steps=7, evaluations=3)
    fitted = fit_classifier(
        recipe, train.images, train.labels, val, 0, progress=lambda *n: told.append(n)
    )
    assert [look["step"] for look in fitted.curve] == [2, 5, 7]
    assert told == [(n, 7) for n in range(1, 8)]


def test_more_looks_than_steps_are_a_look_at_each_step(train: Dataset, val: Dataset) -> None:
    fitted = fit(replace(QUICK, steps=2, evaluations=10), train, val)
    assert [look["step"] for look in fitted.curve] == [1, 2]


def test_the_weights_kept_are_those_of_the_selected_step(fitted: Fitted, val: Dataset) -> None:
    best = max(fitted.curve, key=lambda look: (look["balanced_accuracy"], -look["log_loss"]))
    assert fitted.step == best["step"]
    accuracy, surprise = judge(predict(fitted.classifier, val.images), val.labels)
    assert accuracy == best["balanced_accuracy"]
    assert surprise == pytest.approx(best["log_loss"], rel=1e-5)
    assert not fitted.classifier.training


def test_the_last_look_is_not_the_one_that_is_kept_by_habit(train: Dataset, val: Dataset) -> None:
    """With val's labels turned round, training makes things worse, and an early step wins."""
    turned = replace(val, labels=(val.labels + 1) % len(val.classes))
    fitted = fit(replace(LEARNING, steps=60), train, turned)
    assert fitted.step < 60
    assert judge(predict(fitted.classifier, val.images), turned.labels)[0] == max(
        look["balanced_accuracy"] for look in fitted.curve
    )


def test_judgement_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 200).astype(np.float32)
    labels = rng.integers(0, 4, 200)
    accuracy, surprise = judge(probabilities, labels)
    assert accuracy == pytest.approx(balanced_accuracy_score(labels, probabilities.argmax(1)))
    expected = -np.log(probabilities[np.arange(200), labels]).mean()
    assert surprise == pytest.approx(expected, rel=1e-5)


def test_a_class_that_val_does_not_have_counts_neither_way() -> None:
    """Its guesses are mistakes of the other classes; its own recall is not averaged in."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]], np.float32)
    assert judge(probabilities, np.array([0, 0, 1]))[0] == 0.75


def test_probabilities_are_softmaxed_logits_whatever_the_batch(
    fitted: Fitted, val: Dataset
) -> None:
    found = predict(fitted.classifier, val.images)
    assert found.shape == (len(val), 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found, predict(fitted.classifier, val.images, batch=7), atol=1e-5)
    assert predict(fitted.classifier, val.images[:0]).shape == (0, 4)


def test_predicting_leaves_the_mode_and_the_statistics(fitted: Fitted, val: Dataset) -> None:
    before = {name: entry.clone() for name, entry in state(fitted).items()}
    fitted.classifier.train()
    predict(fitted.classifier, val.images[:4])
    assert fitted.classifier.training
    fitted.classifier.eval()
    assert all(torch.equal(before[name], entry) for name, entry in state(fitted).items())


def seen(balance: str, labels: list[int], count: int) -> np.ndarray:
    """How often each image is drawn in `count` batches of 10."""
    recipe = replace(QUICK, batch=10, balance=balance)
    drawn = batches(torch.tensor(labels), 3, recipe, generator(0, 1))
    return np.bincount(torch.cat(list(islice(drawn, count))).numpy(), minlength=len(labels))


@pytest.mark.parametrize("balance", ["none", "class-weights"])
def test_each_epoch_shows_every_image_once(balance: str) -> None:
    labels = [0] * 20 + [1] * 4 + [2]  # 25 images: two epochs are five batches of 10
    assert (seen(balance, labels, 5) == 2).all()


def test_fewer_images_than_a_batch_are_shown_several_times() -> None:
    assert (seen("none", [0, 1, 2, 2], 2) == 5).all()


def test_oversampling_shows_classes_equally_often() -> None:
    labels = [0] * 20 + [1] * 4 + [2]
    counts = seen("oversampling", labels, 1000)
    shares = [counts[:20].sum(), counts[20:24].sum(), counts[24:].sum()]
    # Binomial of 10,000 draws with a third: standard deviation 47.
    assert all(abs(share - 10_000 / 3) < 4 * 47 for share in shares)


def test_class_weights_move_the_guesses_towards_the_rare_class(
    train: Dataset, val: Dataset
) -> None:
    rare = int(train.counts.argmin())
    recipe = replace(LEARNING, balance="none", steps=30, evaluations=1)
    plain, weighted = (
        predict(fit(r, train, val).classifier, val.images)[:, rare].mean()
        for r in (recipe, replace(recipe, balance="class-weights"))
    )
    assert weighted > plain + 0.05


def test_the_learning_rate_rises_falls_and_nearly_ends_at_zero() -> None:
    rates = [rate(step, 100) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[0] == pytest.approx(0.1)
    assert all(a > b > 0 for a, b in pairwise(rates[10:]))
    assert rates[99] < 0.002
    assert math.isfinite(rate(0, 1))


def test_a_learning_rate_that_is_far_too_high_stops_the_training(
    train: Dataset, val: Dataset
) -> None:
    with pytest.raises(TrainingStopped, match="lower its learning rate, now 1e"):
        fit(replace(QUICK, learning_rate=1e20), train, val)


def without(dataset: Dataset, label: int) -> Dataset:
    kept = dataset.labels != label
    return replace(dataset, images=dataset.images[kept], labels=dataset.labels[kept])


def test_synthetic_images_are_left_out_after_their_share_of_the_steps(
    train: Dataset, val: Dataset
) -> None:
    # Mislabelled extra images hurt while they are shown; refined on the real ones it recovers.
    wrong = (train.labels + 1) % len(train.classes)
    images = np.concatenate([train.images, train.images])
    labels = np.concatenate([train.labels, wrong])
    synthetic = np.arange(len(labels)) >= len(train)

    def learned(until: float) -> list[float]:
        recipe = replace(LEARNING, synthetic_until=until)
        return [
            look["train_loss"]
            for look in fit_classifier(recipe, images, labels, val, 0, synthetic=synthetic).curve
        ]

    always, half = learned(1.0), learned(0.5)
    assert half[:2] == always[:2]  # the first half is the same training
    assert half[-1] < always[-1]


def test_a_class_that_only_synthetic_images_show_cannot_be_refined(
    train: Dataset, val: Dataset
) -> None:
    synthetic = train.labels == 0
    with pytest.raises(DataError, match=train.classes[0]):
        fit_classifier(
            replace(QUICK, synthetic_until=0.5), train.images, train.labels, val, 0,
            synthetic=synthetic,
        )  # fmt: skip


def test_a_class_without_training_images_is_named(train: Dataset, val: Dataset) -> None:
    with pytest.raises(DataError, match="No training image of class melanoma-like"):
        fit(QUICK, without(train, 1), val)


def test_a_class_that_val_lacks_is_no_obstacle(train: Dataset, val: Dataset) -> None:
    fitted = fit(QUICK, train, without(val, 1))
    assert fitted.classifier.classes == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"labels": d.labels[:-1]}, "one each"),
        (lambda d: {"images": d.images[:, ::2, ::2]}, "one size"),
        (lambda d: {"labels": d.labels + 1}, "labels go from 1 to 4"),
    ],
)
def test_training_data_that_does_not_fit_is_refused(
    train: Dataset, val: Dataset, change: Callable[[Dataset], dict], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit(QUICK, replace(train, **change(train)), val)


def test_an_empty_val_is_refused(train: Dataset, val: Dataset) -> None:
    nothing = replace(val, images=val.images[:0], labels=val.labels[:0])
    with pytest.raises(DataError, match="val has no images"):
        fit(QUICK, train, nothing)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch": 1},
        {"evaluations": 0},
        {"balance": "both"},
        {"synthetic_until": 0.0},
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(change: dict) -> None:
    with pytest.raises(UsageError, match="expected"):
        replace(QUICK, **change)


def test_a_saved_classifier_predicts_the_same(fitted: Fitted, val: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "classifier"
    save_classifier(fitted, folder)
    save_classifier(fitted, folder)  # a cell is done again
    before = torch.random.get_rng_state()
    loaded = load_classifier(folder)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(predict(loaded, val.images), predict(fitted.classifier, val.images))
    assert not loaded.training
    assert [file.name for file in folder.parent.iterdir()] == ["classifier"]


def test_a_fine_tuned_mobilenet_is_loaded_without_its_first_weights(
    train: Dataset, val: Dataset, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(MobileNet(3).state_dict(), weights)
    few = [int(np.flatnonzero(train.labels == k)[0]) for k in range(4)]
    recipe = ClassifierRecipe("mobilenet-v2", steps=1, batch=4, weights=str(weights), evaluations=1)
    small = replace(val, images=val.images[:4], labels=val.labels[:4])
    fitted = fit_classifier(recipe, train.images[few], train.labels[few], small, 0)
    save_classifier(fitted, tmp_path / "saved")
    weights.unlink()
    loaded = load_classifier(tmp_path / "saved")
    assert np.array_equal(predict(loaded, small.images), predict(fitted.classifier, small.images))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500])


def not_a_number(folder: Path) -> None:
    entries = load_file(folder / "model.safetensors")
    entries["logits.bias"][0] = torch.nan
    save_file(entries, folder / "model.safetensors")


def another_classifier(folder: Path) -> None:
    about = (folder / "classifier.json").read_text()
    (folder / "classifier.json").write_text(about.replace("resnet-small", "resnet-99"))


def no_json(folder: Path) -> None:
    (folder / "classifier.json").write_text("[]")


def gone(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("damage", [cut, not_a_number, another_classifier, no_json, gone])
def test_a_damaged_classifier_is_a_run_error(
    fitted: Fitted, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    save_classifier(fitted, tmp_path / "classifier")
    damage(tmp_path / "classifier")
    with pytest.raises(RunError, match="delete it and train it again"):
        load_classifier(tmp_path / "classifier")
