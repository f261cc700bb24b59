"""Can one tell from what a generator gives away who was in its training data?

A membership-inference attack gives every lesion a score, such as the negative distance to the
nearest generated image or what the critic thinks of it, and calls the highest ones members. Its
area under the ROC curve is the chance that a training lesion scores higher than a held-out one of
the same class mix: 0.5 where nothing is given away, 1 where all is. What the critic gives away is
in a run's state.pt, which is not shared, and not in the snapshot, which is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hqgan.evaluation.metrics import CONFIDENCE, MIN_GROUPS, Array, Interval
from hqgan.evaluation.relabelling import Pool

REPEATS = 1000


@dataclass(frozen=True)
class Attack:
    """One attack: `auc` with its 95 % `interval`, None where lesions are too few for it."""

    attack: str
    auc: float
    interval: Interval | None
    members: int
    non_members: int


def attack(name: str, scores: Array, pool: Pool, seed: int, repeats: int = REPEATS) -> Attack:
    """The AUC of scores (L,), one a lesion of the pool; ties count half.

    Each class's training lesions weigh together as much as its held-out ones, so the value is the
    mean over all draws of as many of each class. The interval resamples lesions of either side,
    class by class, and is left out below 5 held-out lesions. O(repeats T H) for T training and H
    held-out lesions: 3 s for 4,500 and 630. Source: Hayes et al. 2019, arXiv 1705.07663 (critic);
    Chen et al. 2020, arXiv 1909.03935 (distance to the nearest generated image).
    """
    members, others = scores[~pool.held], scores[pool.held]
    wins = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    wins = wins.astype(np.float32)
    trained, held = pool.counts(held=False), pool.counts(held=True)
    labels = pool.labels[~pool.held]
    weight = held[labels] / trained[labels]
    total = held.sum() ** 2
    value = float(weight @ wins @ np.ones(len(others)) / total)
    interval = None
    if len(others) >= MIN_GROUPS:
        mine = _resampled(labels, [seed, 13], repeats) * weight
        theirs = _resampled(pool.labels[pool.held], [seed, 14], repeats)
        found = np.einsum("rh,rh->r", mine.astype(np.float32) @ wins, theirs) / total
        tail = 50.0 * (1.0 - CONFIDENCE)
        low, high = np.percentile(found, [tail, 100.0 - tail])
        interval = (float(low), float(high))
    return Attack(name, value, interval, len(members), len(others))


def per_lesion(scores: Array, pool: Pool) -> Array:
    """Mean over the images of each lesion, of scores in the order of `pool.rows`: (L,)."""
    sizes = np.diff(pool.starts, append=len(pool.rows))
    return np.asarray(np.add.reduceat(scores, pool.starts) / sizes)


def _resampled(labels: NDArray[np.int64], entropy: list[int], repeats: int) -> Array:
    """How often each lesion is drawn, class by class with replacement: (repeats, lesions)."""
    rng = np.random.default_rng(entropy)
    drawn = np.zeros((repeats, len(labels)))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        share = np.full(len(members), 1.0 / len(members))
        drawn[:, members] = rng.multinomial(len(members), share, size=repeats)
    return drawn
