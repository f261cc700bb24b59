"""Complete recipes for judging a generator: every number says what it was computed from.

A recipe compares fakes with a reference split (`val` unless told otherwise) at the class mix of
that split, and prints a floor beside the value: the same recipe with real training images in the
place of the fakes, mean over 20 random class-mix-matched subsets. A generator at its floor is as
far from the split as real images are.

    fid2048  kid2048    with all of FID's Inception        kid per class as well
    fid768   kid768     with its layers up to Mixed_6e     kid per class as well
    fd_tiny             where no Inception weights are

    precision768  recall768  density768  coverage768       and the same four with 2048

    fid768_infinity     extrapolated to infinitely many fakes, where they are more than twice the
                        features; without a floor, which would take minutes

How different the images of a class are from each other is in `diversity`.

Precision, recall, density and coverage take as many real images as fakes: where one
side has more, a random subset of it, in the same class mix; their n is what was compared. Higher is
better there, and the floor is what real images reach.

Fakes arrive as uint8 arrays, the content of the PNG files that `sample` writes: PNG is lossless,
so the path through the file would change no bit, and real and fake take the same path from there
on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hqgan.evaluation.features import Extractor, Features, Images
from hqgan.evaluation.manifold import (
    Neighbourhoods,
    precision_recall_density_coverage,
)
from hqgan.evaluation.metrics import (
    Gaussian,
    Interval,
    TooFewImages,
    frechet_distance,
    frechet_infinity,
    kid,
    kid_interval,
)

if TYPE_CHECKING:
    from hqgan.data.dataset import Dataset

Labels = NDArray[np.integer]
Stage = Callable[[str, int, int], None]

FLOOR_DRAWS = 20
FRECHET_RECIPES = {"inception2048": "fid2048", "inception768": "fid768", "tiny": "fd_tiny"}
KID_RECIPES = {"inception2048": "kid2048", "inception768": "kid768"}
MANIFOLD_RECIPES = {  # by extractor, then by the field of `Manifold`
    f"inception{dim}": {
        measure: f"{measure}{dim}" for measure in ("precision", "recall", "density", "coverage")
    }
    for dim in (2048, 768)
}


@dataclass(frozen=True)
class RecipeResult:
    """One number with all that it depends on.

    `class_name` is None for all classes together. `value`, `interval` (95 %) and `floor` are None
    where they are not defined; `reason` then says why. A Fréchet distance has no interval:
    resampling biases it upwards; nor have precision, recall, density and coverage, which copies
    in a resample would distort. `extractor` is the extractor's `str`, `seed` that of the bootstrap,
    of the floor's draws and of the subsets.
    """

    recipe: str
    class_name: str | None
    value: float | None
    interval: Interval | None
    floor: float | None
    n_real: int
    n_fake: int
    split: str
    extractor: str
    seed: int
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The public form: these fields, `class_name` as `class` and the interval as a list."""
        return {
            "recipe": self.recipe,
            "class": self.class_name,
            "value": self.value,
            "interval": list(self.interval) if self.interval else None,
            "floor": self.floor,
            "n_real": self.n_real,
            "n_fake": self.n_fake,
            "split": self.split,
            "extractor": self.extractor,
            "seed": self.seed,
            "reason": self.reason,
        }


def reference_class_mix(labels: Labels, classes: int, n: int) -> NDArray[np.int64]:
    """How many of `n` fakes each class gets for the class mix of `labels`: (K,), sum n.

    Largest remainder; a tie goes to the class with the lower index.
    """
    if n < 0 or not len(labels):
        raise ValueError(
            f"n is {n} for {len(labels)} reference labels, expected n >= 0 and at least one label"
        )
    counts = np.bincount(labels, minlength=classes).astype(np.int64)
    if len(counts) != classes:
        raise ValueError(f"a label is {labels.max()}, expected labels below {classes}")
    share, remainder = np.divmod(counts * n, len(labels))
    share[np.argsort(-remainder, kind="stable")[: n - share.sum()]] += 1
    return share


def evaluate_images(
    fake_images: Images,
    fake_labels: Labels,
    reference: Dataset,
    train: Dataset | None,
    extractor: Extractor,
    seed: int = 0,
    *,
    per_class: bool = True,
    repeats: int = 1000,
    progress: Stage | None = None,
) -> list[RecipeResult]:
    """Every recipe of this extractor: fakes against `reference`, with floors from `train`.

    Args:
        fake_images: uint8 (N, S, S, 3), the size of the reference images.
        fake_labels: (N,) indices into `reference.classes`, in the mix of `reference_class_mix`.
        train: where floors are drawn from; `None` leaves them out (and saves its features).
        per_class: also the kernel distance of each class by itself.
        repeats: bootstrap resamples.
        progress: called as progress(stage, images done, images in all) while features are computed.

    Raises ValueError for another size, another class mix, or classes that differ between
    reference and train. Cost: features first (seconds per thousand images on a GPU, about a
    minute on two cores; cached), then 20 eigenvalue problems of the feature dimension, and 20
    times two matrices of distances (a second or two for 800 images).
    """
    _check(fake_images, fake_labels, reference, train)
    classes = len(reference.classes)

    def features_of(stage: str, images: Images) -> Features:
        return extractor(images, partial(progress, stage) if progress else None)

    real = _Labelled(features_of("real", reference.images), reference.labels)
    fake = _Labelled(features_of("fake", fake_images), fake_labels)
    floor = None
    if train is not None:
        pool = _Labelled(features_of("train", train.images), train.labels)
        floor = _Floor(pool, fake.counts(classes), seed)

    stamp = {"split": reference.split, "extractor": str(extractor), "seed": seed}
    results = []
    if extractor.name in FRECHET_RECIPES:
        results.append(_frechet(FRECHET_RECIPES[extractor.name], real, fake, floor, stamp))
    if extractor.name in KID_RECIPES:
        if len(fake.labels) > 2 * extractor.dim and len(real.labels) > extractor.dim:
            results.append(_infinity(FRECHET_RECIPES[extractor.name], real, fake, stamp))
        for label in [None, *range(classes)] if per_class else [None]:
            name = None if label is None else reference.classes[label]
            groups = reference.groups if label is None else reference.groups[real.labels == label]
            scope = {"recipe": KID_RECIPES[extractor.name], "class_name": name, **stamp}
            results.append(
                _kid(real.of(label), fake.of(label), groups, floor, label, repeats, scope)
            )
    if extractor.name in MANIFOLD_RECIPES:
        counts = np.minimum(real.counts(classes), fake.counts(classes))
        names = MANIFOLD_RECIPES[extractor.name]
        results += _manifold(names, real, fake, counts, floor, stamp)
    return results


@dataclass(frozen=True)
class _Labelled:
    """Features (N, d) and labels (N,) of one set of images."""

    features: Features
    labels: Labels

    def of(self, label: int | None) -> Features:
        """The features of one class; of all for None."""
        return self.features if label is None else self.features[self.labels == label]

    def counts(self, classes: int) -> NDArray[np.int64]:
        """How many there are of each class."""
        return np.bincount(self.labels, minlength=classes)

    def subset(self, counts: NDArray[np.integer], rng: np.random.Generator) -> Features:
        """This many of each class, at random."""
        rows = [
            rng.permutation(np.flatnonzero(self.labels == label))[:count]
            for label, count in enumerate(counts)
        ]
        return self.features[np.concatenate(rows)]


class _Floor:
    """Real training images in the place of the fakes: random subsets of the same class counts."""

    def __init__(self, pool: _Labelled, counts: NDArray[np.integer], seed: int) -> None:
        rng = np.random.default_rng([seed, 2])  # the bootstrap uses streams 0 and 1, subsets 3
        members = [np.flatnonzero(pool.labels == label) for label in range(len(counts))]
        self._pool, self._seed = pool, seed
        self._short = {label for label, rows in enumerate(members) if len(rows) < counts[label]}
        self._draws = [
            [rng.permutation(rows)[:count] for rows, count in zip(members, counts, strict=True)]
            for _ in range(FLOOR_DRAWS)
        ]

    def smaller(self, counts: NDArray[np.integer]) -> _Floor:
        """The same draws, of each class only the first images."""
        return _Floor(self._pool, counts, self._seed)

    def draws(self, label: int | None) -> Iterator[Features]:
        """The features of each draw; TooFewImages where the training images run out."""
        if label in self._short or (label is None and self._short):
            raise TooFewImages("no floor: a class has fewer training images than fakes")
        for draw in self._draws:
            yield self._pool.features[np.concatenate(draw) if label is None else draw[label]]

    def mean(self, distance: Callable[[Features], float], label: int | None) -> float:
        """Mean distance over the draws."""
        return float(np.mean([distance(features) for features in self.draws(label)]))


def _frechet(
    recipe: str, real: _Labelled, fake: _Labelled, floor: _Floor | None, stamp: dict[str, Any]
) -> RecipeResult:
    value = floor_value = None
    reasons: list[str] = []
    with _noted(reasons):
        target = Gaussian.fit(real.features)
        value = frechet_distance(target, fake.features)
        if floor is not None:
            floor_value = floor.mean(lambda features: frechet_distance(target, features), None)
    return RecipeResult(
        recipe=recipe,
        class_name=None,
        value=value,
        interval=None,
        floor=floor_value,
        n_real=len(real.labels),
        n_fake=len(fake.labels),
        reason="; ".join(reasons) or None,
        **stamp,
    )


def _kid(
    real: Features,
    fake: Features,
    groups: NDArray[Any],
    floor: _Floor | None,
    label: int | None,
    repeats: int,
    scope: dict[str, Any],
) -> RecipeResult:
    value = interval = floor_value = None
    reasons: list[str] = []
    with _noted(reasons):
        value = kid(real, fake)
        with _noted(reasons):
            interval = kid_interval(real, fake, groups, scope["seed"], repeats)
        if floor is not None:
            floor_value = floor.mean(lambda features: kid(real, features), label)
    return RecipeResult(
        value=value,
        interval=interval,
        floor=floor_value,
        n_real=len(real),
        n_fake=len(fake),
        reason="; ".join(reasons) or None,
        **scope,
    )


def _manifold(
    names: dict[str, str],
    real: _Labelled,
    fake: _Labelled,
    counts: NDArray[np.integer],
    floor: _Floor | None,
    stamp: dict[str, Any],
) -> list[RecipeResult]:
    """Both sides cut to `counts` images of each class; a refusal holds for all four."""
    rng = np.random.default_rng([stamp["seed"], 3])
    values: dict[str, float] = {}
    floors: dict[str, float] = {}
    reasons: list[str] = []
    with _noted(reasons):
        target = Neighbourhoods.fit(real.subset(counts, rng))
        values = asdict(precision_recall_density_coverage(target, fake.subset(counts, rng)))
        if floor is not None:
            found = [
                asdict(precision_recall_density_coverage(target, features))
                for features in floor.smaller(counts).draws(None)
            ]
            floors = {name: float(np.mean([one[name] for one in found])) for name in names}
    return [
        RecipeResult(
            recipe=recipe,
            class_name=None,
            value=values.get(name),
            interval=None,
            floor=floors.get(name),
            n_real=int(counts.sum()),
            n_fake=int(counts.sum()),
            reason="; ".join(reasons) or None,
            **stamp,
        )
        for name, recipe in names.items()
    ]


def _infinity(recipe: str, real: _Labelled, fake: _Labelled, stamp: dict[str, Any]) -> RecipeResult:
    return RecipeResult(
        recipe=f"{recipe}_infinity",
        class_name=None,
        value=frechet_infinity(real.features, fake.features, stamp["seed"]),
        interval=None,
        floor=None,
        n_real=len(real.labels),
        n_fake=len(fake.labels),
        **stamp,
    )


@contextmanager
def _noted(reasons: list[str]) -> Iterator[None]:
    """A refusal ends the block and is noted; what was computed before it stands."""
    try:
        yield
    except TooFewImages as refusal:
        reasons.append(str(refusal))


def _check(
    fake_images: Images, fake_labels: Labels, reference: Dataset, train: Dataset | None
) -> None:
    if fake_images.shape[1:] != reference.images.shape[1:]:
        raise ValueError(
            f"fakes are {fake_images.shape[1:]}, expected {reference.images.shape[1:]}"
        )
    if train is not None and train.classes != reference.classes:
        raise ValueError(f"train has classes {train.classes}, expected {reference.classes}")
    if len(fake_labels) != len(fake_images):
        raise ValueError(f"{len(fake_labels)} labels for {len(fake_images)} fakes")
    classes = len(reference.classes)
    expected = reference_class_mix(reference.labels, classes, len(fake_labels))
    found = np.bincount(fake_labels, minlength=classes)
    if not np.array_equal(found, expected):
        raise ValueError(f"fakes per class are {found.tolist()}, expected {expected.tolist()}")
