"""Generator and filters to synthetic images worth adding: neither copies nor unrecognisable.

Image i of a class depends on the seed and i alone. Those that pass are kept in order from number 0
on, until there are enough or too many were made in vain.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hqgan.data import Dataset, to_uint8
from hqgan.errors import UsageError
from hqgan.evaluation.features import Images
from hqgan.evaluation.nearest import nearest_pixels, thumbnails
from hqgan.models import Generator, generate
from hqgan.models.classifier import Classifier
from hqgan.training.classification import predict

# Images made at once; always whole rounds, so that not even the last bit of an image depends on
# how many are asked for.
ROUND = 64
ATTEMPTS = 20.0  # images made for each one asked for, at most
LEAST_LESIONS = 100  # val lesions of a class that has a threshold of its own
PERCENT = 1.0  # of honest new images are called copies


@dataclass(frozen=True)
class ClassReport:
    """What became of one class: `asked` for, `made`, `kept`, and rejected by which filter.

    An image may be both a near-copy and unrecognised. Images made after the last one needed do not
    count.
    """

    name: str
    asked: int
    made: int
    kept: int
    near_copies: int
    unrecognised: int

    @property
    def short(self) -> int:
        """How many are missing."""
        return self.asked - self.kept


@dataclass(frozen=True)
class Synthetic:
    """N images that passed, class by class in the order of their numbers.

    Attributes:
        images: uint8 (N, S, S, 3).
        labels: (N,).
        numbers: (N,), of the latent within its class: as `hqgan sample` counts them.
        nearest: (N,), id of the nearest training image.
        distance: (N,), to that one: root mean square grey levels of 16 x 16 pixels.
        confidence: (N,), the judge's probability of the class; NaN without a judge.
        per_class: one report a class.
    """

    images: Images
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]
    nearest: NDArray[np.str_]
    distance: NDArray[np.float64]
    confidence: NDArray[np.float64]
    per_class: tuple[ClassReport, ...]


class CopyFilter:
    """Tells which images are nearer to a training image than hardly any new lesion is.

    A copy of an image of another class is a copy too, so the nearest of all training images counts.

    Args:
        train: the images that may have been copied.
        thresholds: (K,) distances, up to which an image of class k is a copy; None calls nothing
            one.
        lesions: (K,) val lesions behind each threshold.
    """

    def __init__(
        self,
        train: Dataset,
        thresholds: NDArray[np.float64] | None = None,
        lesions: NDArray[np.int64] | None = None,
    ):
        none = len(train.classes)
        self.ids, self._thumbnails = train.ids, thumbnails(train.images)
        self.thresholds = np.full(none, -np.inf) if thresholds is None else thresholds
        self.lesions = np.zeros(none, np.int64) if lesions is None else lesions

    @classmethod
    def fit(cls, train: Dataset, val: Dataset) -> "CopyFilter":
        """Set thresholds by val, whose lesions are new: the 1st percentile of their distances.

        A lesion is as near as its nearest image. A class with 100 lesions has a threshold of its
        own; the smaller ones share one, made of all their lesions, and of all there are where even
        those are fewer.

        Raises ValueError for an empty val or images whose side 16 does not divide.
        """
        distance = cls(train)._nearest(val.images)[1]
        lesions, index = np.unique(val.groups, return_inverse=True)
        nearest = np.full(len(lesions), np.inf)
        np.minimum.at(nearest, index, distance)
        # Of a lesion with images of two classes, the last one speaks.
        label = np.empty(len(lesions), np.int64)
        label[index] = val.labels
        count = np.bincount(label, minlength=len(val.classes))
        small = count < LEAST_LESIONS
        pool = nearest[small[label]]
        if len(pool) < LEAST_LESIONS:
            pool = nearest
        pools = [pool if small[k] else nearest[label == k] for k in range(len(count))]
        thresholds = np.array([np.percentile(pool, PERCENT) for pool in pools])
        return cls(train, thresholds, np.array([len(pool) for pool in pools]))

    def near(
        self, images: Images, labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.str_], NDArray[np.float64]]:
        """Which of uint8 (N, S, S, 3) are near-copies; the nearest training id; its distance."""
        index, distance = self._nearest(images)
        return distance <= self.thresholds[labels], self.ids[index], distance

    def _nearest(self, images: Images) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # A thumbnail is its own thumbnail: made once, the training images need not be shrunk again.
        found = nearest_pixels(images, cast(Images, self._thumbnails))
        return found.index[:, 0], found.distance[:, 0]


def synthesise(
    generator: Generator,
    counts: Sequence[int],
    train: Dataset,
    *,
    seed: int,
    copies: CopyFilter | None,
    judge: Classifier | None,
    attempts: float = ATTEMPTS,
    progress: Callable[[int, int], None] | None = None,
) -> Synthetic:
    """Make synthetic images until `counts[k]` of each class have passed both filters.

    Args:
        generator: of the classes of `train`.
        counts: (K,) images wanted of each class.
        train: the real training images.
        seed: of the latents.
        copies: rejects near-copies; None keeps them, and still says what is nearest.
        judge: rejects images that it takes for another class; None keeps them.
        attempts: images made for each one wanted, at most; what then is missing is reported.
        progress: called as progress(kept, wanted) over all classes.

    Raises UsageError for negative counts, or fewer than one attempt an image.
    """
    if len(counts) != len(train.classes) or min(counts) < 0 or attempts < 1:
        raise UsageError(
            f"counts are {list(counts)} and attempts {attempts:g}; expected a number of images for "
            f"each of {len(train.classes)} classes, and at least one attempt for each image"
        )
    filters = copies or CopyFilter(train)
    made = []
    for y, count in enumerate(counts):
        before = sum(counts[:y])

        def tell(kept: int, before: int = before) -> None:
            if progress is not None:
                progress(before + kept, sum(counts))

        limit = math.ceil(attempts * count)
        made.append(_of_class(generator, y, count, limit, train, seed, filters, judge, tell))
    return Synthetic(
        images=np.concatenate([one.images for one in made]),
        labels=np.concatenate([one.labels for one in made]),
        numbers=np.concatenate([one.numbers for one in made]),
        nearest=np.concatenate([one.nearest for one in made]),
        distance=np.concatenate([one.distance for one in made]),
        confidence=np.concatenate([one.confidence for one in made]),
        per_class=tuple(one.per_class[0] for one in made),
    )


def balanced_counts(counts: NDArray[np.integer], rule: str | int | float) -> NDArray[np.int64]:
    """How many synthetic images each class gets: (K,), for real `counts` (K,).

    "max" and "median" fill every class up to the largest or median one, an int up to so many
    images; classes above get none. A float gives every class that share of its real images, which
    leaves the balance as it was: the control that a rare class does not mean synthetic.

    Raises UsageError for another word or a number that is not positive.
    """
    if rule not in ("max", "median") and (isinstance(rule, str) or not 0 < rule < math.inf):
        raise UsageError(
            f"the balance is {rule!r}; expected max, median, a number of images per class from 1 "
            "up, or a ratio above 0"
        )
    if isinstance(rule, float):
        return np.rint(rule * counts).astype(np.int64)
    goals = {"max": counts.max(), "median": np.median(counts)}
    goal = goals[rule] if isinstance(rule, str) else rule
    return np.clip(int(goal) - counts, 0, None).astype(np.int64)


def _of_class(
    generator: Generator,
    y: int,
    count: int,
    limit: int,
    train: Dataset,
    seed: int,
    copies: CopyFilter,
    judge: Classifier | None,
    tell: Callable[[int], None],
) -> Synthetic:
    """One class of `synthesise`."""
    size = train.images.shape[1]
    images = [np.empty((0, size, size, 3), np.uint8)]
    numbers, nearest, distance, confidence = [], [], [], []
    kept = made = near_copies = unrecognised = 0
    rounds = _rounds(generator, y, math.ceil(limit / ROUND), seed)
    while kept < count and made < limit:
        candidates = next(rounds)
        is_copy, neighbour, gap = copies.near(candidates, np.full(ROUND, y))
        sure, known = np.full(ROUND, np.nan), np.ones(ROUND, np.bool_)
        if judge is not None:
            chances = predict(judge, candidates)
            sure, known = chances[:, y].astype(np.float64), chances.argmax(axis=1) == y
        passed = known & ~is_copy
        used = min(ROUND, limit - made)
        chosen = np.flatnonzero(passed[:used])[: count - kept]
        if kept + len(chosen) == count:
            used = int(chosen[-1]) + 1
        images.append(candidates[chosen])
        numbers += (made + chosen).tolist()
        nearest += neighbour[chosen].tolist()
        distance += gap[chosen].tolist()
        confidence += sure[chosen].tolist()
        near_copies += int(is_copy[:used].sum())
        unrecognised += int((~known[:used]).sum())
        kept, made = kept + len(chosen), made + used
        tell(kept)
    report = ClassReport(train.classes[y], count, made, kept, near_copies, unrecognised)
    return Synthetic(
        images=np.concatenate(images),
        labels=np.full(kept, y, np.int64),
        numbers=np.array(numbers, np.int64),
        nearest=np.array(nearest, str),
        distance=np.array(distance, np.float64),
        confidence=np.array(confidence, np.float64),
        per_class=(report,),
    )


def _rounds(generator: Generator, y: int, rounds: int, seed: int) -> Iterator[Images]:
    """Images of class y from number 0 on, uint8 (ROUND, S, S, 3) at a time."""
    for batch in generate(generator, [y] * (rounds * ROUND), seed, ROUND):
        yield to_uint8(batch)
