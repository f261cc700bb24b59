"""Are images nearer to the lesions a generator was trained on than to those it never saw?

For each image: is its nearest lesion one of training, or one held out? Training has more lesions
and so more chances, hence both sides get equally many: of each class as many training lesions are
drawn as are held out. The share of images that are nearer to training is then 0.5 on average unless
the images know the training lesions.

How far from 0.5 it may lie by chance does not depend on the number of images, which are free, but
on which lesions happen to be on which side. So that is what is drawn anew: if the generator knows
nothing of single lesions, then training and held-out lesions of a class are exchangeable given the
images, and relabelling them at random, class by class, gives the exact distribution of every
statistic (Fisher's permutation test). It assumes that the split was drawn at random by lesion: a
hold-out from another clinic lies further away without any copying.

The mean over all draws of training lesions has a closed form, so a test needs no draws: if r of a
class's T training lesions are nearer to the image than the nearest held-out lesion, none of them
is among m drawn with probability C(T - r, m) / C(T, m), and the classes are drawn independently.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from hqgan.data import Dataset
from hqgan.evaluation.metrics import Array

RANKS = 10  # lesions looked at for each one of its class's share: one in e^10 images finds no side


@dataclass(frozen=True)
class Pool:
    """The L lesions of train and hold-out, of the classes that both have, in random order.

    Attributes:
        rows: (M,) images by lesion; the hold-out's are numbered behind all of train.
        starts: (L,) where each lesion begins in `rows`.
        labels: (L,) class of each lesion.
        held: (L,) whether it is held out.
        classes: number of classes K.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]
    classes: int

    @classmethod
    def of(cls, train: Dataset, holdout: Dataset, seed: int) -> "Pool":
        """Where a class has more lesions held out than in training, as many at random remain."""
        rng = np.random.default_rng([seed, 10])
        classes = len(train.classes)
        sides = [lesions(train, 0), lesions(holdout, len(train))]
        kept: list[tuple[NDArray[np.int64], int, bool]] = []
        for label in range(classes):
            trained, held = ([one for one, y in side if y == label] for side in sides)
            held = [held[i] for i in rng.permutation(len(held))[: len(trained)]]
            if held:
                kept += [(one, label, False) for one in trained]
                kept += [(one, label, True) for one in held]
        kept = [kept[i] for i in rng.permutation(len(kept))]  # decides ties
        sizes = np.array([len(one) for one, _, _ in kept], dtype=np.int64)
        return cls(
            rows=np.concatenate([one for one, _, _ in kept] or [np.empty(0, np.int64)]),
            starts=np.cumsum(sizes) - sizes,
            labels=np.array([label for _, label, _ in kept], dtype=np.int64),
            held=np.array([held for _, _, held in kept], dtype=bool),
            classes=classes,
        )

    def counts(self, held: bool) -> NDArray[np.int64]:
        """Lesions of each class on one side: (K,)."""
        return np.bincount(self.labels[self.held == held], minlength=self.classes)

    def nearest(self, blocks: Iterable[Array]) -> NDArray[np.float32]:
        """Distance to each lesion (N, L), of distances to all images `rows` in blocks (n, M)."""
        found = [np.minimum.reduceat(block, self.starts, axis=1) for block in blocks]
        return np.concatenate(found).astype(np.float32)

    def relabelled(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """`held` after a permutation within each class."""
        held = self.held.copy()
        for label in np.unique(self.labels):
            members = np.flatnonzero(self.labels == label)
            held[members] = held[rng.permutation(members)]
        return held

    def drawn(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Training lesions, of each class as many as are held out: (L,)."""
        chosen = np.zeros(len(self.held), dtype=bool)
        for label, count in enumerate(self.counts(held=True)):
            members = np.flatnonzero((self.labels == label) & ~self.held)
            chosen[rng.permutation(members)[:count]] = True
        return chosen


def lesions(dataset: Dataset, offset: int) -> list[tuple[NDArray[np.int64], int]]:
    """For each lesion the numbers of its images, from `offset`, and the class of the first."""
    _, member = np.unique(dataset.groups, return_inverse=True)
    order = np.argsort(member, kind="stable")
    cuts = np.flatnonzero(np.diff(member[order])) + 1
    parts = np.split(order, cuts) if len(order) else []
    return [(part + offset, int(dataset.labels[part[0]])) for part in parts]


class Ranking:
    """The nearest lesions of N images, nearest first, from their distances (N, L) to a pool.

    Only as many are kept as are needed to meet a lesion of either side.
    """

    def __init__(self, distances: NDArray[np.float32], pool: Pool) -> None:
        self._pool = pool
        trained, held = pool.counts(held=False), pool.counts(held=True)
        rarest = max((trained + held)[held > 0] / held[held > 0])
        depth = min(distances.shape[1], int(RANKS * rarest))
        order = np.argpartition(distances, depth - 1, axis=1)[:, :depth]
        values = np.take_along_axis(distances, order, axis=1)
        rank = np.lexsort((order, values), axis=1)
        self._order = np.take_along_axis(order, rank, axis=1)
        self.distance = np.take_along_axis(values, rank, axis=1)
        ahead = np.cumsum(
            pool.labels[self._order][:, :, None] == np.arange(pool.classes), axis=1, dtype=np.int32
        )
        self._ahead = np.pad(ahead, ((0, 0), (1, 0), (0, 0)))  # (N, depth + 1, K)
        r = np.arange(depth + 1)[:, None]
        with np.errstate(invalid="ignore"):
            none = _log_choose(trained - r, held) - _log_choose(trained, held)
        self._log_none = np.where(trained - r < held, -np.inf, none)  # (depth + 1, K)

    def chance(self, held: NDArray[np.bool_]) -> Array:
        """Chance (N,) that the nearest of drawn training and held-out lesions is of training."""
        first = self._first(held)
        ahead = self._ahead[np.arange(len(first)), first]  # (N, K)
        none = self._log_none[ahead, np.arange(self._pool.classes)].sum(axis=1)
        return np.asarray(1.0 - np.exp(none))

    def chances(self, relabellings: int, seed: int) -> NDArray[np.float32]:
        """`chance` under the true labels and then each relabelling: (1 + relabellings, N).

        The relabellings depend on the seed alone, so that several rankings share them.
        """
        rng = np.random.default_rng([seed, 11])
        held = [self._pool.held, *(self._pool.relabelled(rng) for _ in range(relabellings))]
        return np.stack([self.chance(labels).astype(np.float32) for labels in held])

    def draws(self, repeats: int, seed: int) -> tuple[Array, Array]:
        """What `chance` is the mean of, draw by draw: (repeats, N) twice.

        The first is 1 where the nearest is of training, 0 where it is held out; the second the
        distance to the nearest of training over that to the nearest held out, NaN where either
        is further off than the lesions kept.
        """
        rng = np.random.default_rng([seed, 12])
        held = self._first(self._pool.held)
        distance = np.pad(self.distance, ((0, 0), (0, 1)), constant_values=np.nan)
        rows = np.arange(len(held))
        nearer, ratios = [], []
        for _ in range(repeats):
            trained = self._first(self._pool.drawn(rng))
            nearer.append(np.where(trained == held, 0.5, trained < held))
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios.append(distance[rows, trained] / distance[rows, held])
        return np.stack(nearer), np.stack(ratios)

    def _first(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The place of the first chosen lesion, or the number of places: (N,)."""
        hits = chosen[self._order]
        return np.where(hits.any(axis=1), hits.argmax(axis=1), hits.shape[1])


def _log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> Array:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
