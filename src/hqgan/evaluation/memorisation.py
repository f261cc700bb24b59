"""Everything about one generator's memory of its training images: from images to a verdict.

`copying` judges, `membership` attacks; here the distances are taken that both need, and the pairs
of generated and training image found that a person should look at.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgan.data import Dataset
from hqgan.evaluation.copying import LEVEL, RELABELLINGS, Judgement, Space, judge, planted_copies
from hqgan.evaluation.features import Extractor, Images
from hqgan.evaluation.membership import Attack, attack, per_lesion
from hqgan.evaluation.metrics import MIN_GROUPS
from hqgan.evaluation.nearest import (
    feature_distances,
    nearest_pixels,
    pixel_distances,
    symmetries,
    thumbnails,
)
from hqgan.evaluation.relabelling import Pool

WORST = 20  # pairs to look at
PLANTED_SHARE = 0.2  # copies made for each image, as many as the largest planted share needs

Scorer = Callable[[Images, NDArray[np.int64]], NDArray[np.floating]]


@dataclass(frozen=True)
class Pair:
    """A generated image and the training image nearest to it in pixels, of any class.

    `distance` is in grey levels; `relative` divides it by the median distance of held-out images
    of the fake's class to training; turning the fake by symmetry `turn` brings it to `distance`.
    """

    fake: int
    class_name: str
    train: int
    train_id: str
    distance: float
    relative: float
    turn: int


@dataclass(frozen=True)
class Memorisation:
    """Verdict, attacks and worst pairs of n generated images beside one hold-out."""

    judgement: Judgement
    attacks: list[Attack]
    pairs: list[Pair]
    split: str
    n_fake: int
    extractor: str
    seed: int
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """All numbers; `power` as a list of planted shares and how often each was noticed."""
        judged = self.judgement
        power = [{"planted": share, "noticed": found} for share, found in judged.power.items()]
        return {
            "verdict": judged.verdict,
            "sentence": judged.sentence,
            "p": judged.p,
            "level": LEVEL,
            "noticed": judged.noticed,
            "power": power,
            "findings": [
                asdict(one) | {"nearer_draws": list(one.nearer_draws)} for one in judged.findings
            ],
            "membership": [
                asdict(one) | {"interval": list(one.interval) if one.interval else None}
                for one in self.attacks
            ],
            "worst": [asdict(pair) for pair in self.pairs],
            "split": self.split,
            "n_fake": self.n_fake,
            "extractor": self.extractor,
            "seed": self.seed,
            "notes": [*self.notes, *judged.left_out],
        }

    def lines(self) -> Iterator[str]:
        """For people: the verdict first, then what it rests on."""
        yield self.judgement.sentence
        if self.judgement.findings:
            yield (
                f"  {'space':9} {'class':16} {'fakes':>6} {'lesions':>7} {'nearer':>7} {'p':>6} "
                f"{'sharpest':>8} {'p':>6} {'sharp':>7} {'p':>6} {'near':>7} {'of':>6} {'ratio':>6}"
            )
        for one in self.judgement.findings:
            keen = (
                f"{'-':>8} {'-':>6}"
                if one.sharpest_nearer is None
                else f"{one.sharpest_nearer:8.3f} {one.sharpest_p:6.2g}"
            )
            yield (
                f"  {one.space:9} {one.class_name or 'all':16} {one.fakes:6} {one.held_out:7} "
                f"{one.nearer:7.3f} {one.nearer_p:6.2g} {keen} {100 * one.sharp:6.2f}% "
                f"{one.sharp_p:6.2g} {100 * one.near:6.2f}% {100 * one.expected:5.1f}% "
                f"{one.distance_ratio:6.3f}"
            )
        if self.judgement.findings:
            yield (
                "  nearer (to training than to held-out lesions) and sharpest: 0.5 expected; sharp "
                "and near: 'of' expected, blur raises near; ratio: 1 expected; p: adjusted for all"
            )
        for found in self.attacks:
            interval = "[{:.3f}, {:.3f}]".format(*found.interval) if found.interval else ""
            known = found.interval is not None and found.interval[0] > 0.5
            effect = "gives training lesions away" if known else "0.5 is chance"
            yield f"  membership by {found.attack}: AUC {found.auc:.3f} {interval}, {effect}"
        for note in (*self.notes, *self.judgement.left_out):
            yield f"  note: {note}"


def examine(
    images: Images,
    labels: NDArray[np.int64],
    train: Dataset,
    holdout: Dataset,
    extractor: Extractor,
    *,
    seed: int = 0,
    relabellings: int = RELABELLINGS,
    critic: Scorer | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Memorisation:
    """Judge generated images (N, S, S, 3) uint8, with labels (N,), by what they were learned from.

    Args:
        train: what the generator saw.
        holdout: what it did not, of the same classes and split off at random by lesion.
        extractor: the features of the second space; pixels are the first.
        seed: of relabellings, draws, planted copies and bootstrap.
        relabellings: what p-values are computed from.
        critic: real images and their labels to scores, higher for "real"; a further attack.

    ValueError for other classes. Cost: 20 s on one core for 2,000 images beside 6,800, and the
    features.
    """
    if train.classes != holdout.classes:
        raise ValueError(f"train has classes {train.classes}, hold-out {holdout.classes}")
    pool = Pool.of(train, holdout, seed)
    notes = [
        f"{train.classes[label]}: no lesion held out or none in training, so it is in no comparison"
        for label in np.flatnonzero(pool.counts(held=True) == 0)
    ]
    spaces: list[Space] = []
    attacks: list[Attack] = []
    planted_labels = np.empty(0, np.int64)
    if pool.held.sum() >= MIN_GROUPS:
        references = np.concatenate([train.images, holdout.images])[pool.rows]
        image_labels = np.concatenate([train.labels, holdout.labels])[pool.rows]
        trained = np.flatnonzero(pool.rows < len(train))
        count = round(PLANTED_SHARE * len(images))
        copies, chosen = planted_copies(references[trained], count, seed)
        planted_labels = image_labels[trained[chosen]]
        queries = (images, copies, references[pool.starts[pool.held]])
        spaces.append(
            Space("pixels", *(pool.nearest(pixel_distances(x, references)) for x in queries))
        )

        def features(name: str, wanted: Images) -> NDArray[np.float32]:
            return extractor(wanted, (lambda *at: progress(name, *at)) if progress else None)

        sides = (features("train", train.images), features("real", holdout.images))
        known = np.concatenate(sides)[pool.rows]
        found = (features("fake", images), features("planted", copies))
        vectors = (*found, known[pool.starts[pool.held]])
        spaces.append(
            Space("features", *(pool.nearest(feature_distances(x, known)) for x in vectors))
        )
        for space in spaces:
            name = f"distance in {space.name}"
            attacks.append(attack(name, -space.fakes.min(axis=0), pool, seed))
        if critic is not None:
            scores = per_lesion(critic(references, image_labels), pool)
            attacks.append(attack("the critic", scores, pool, seed))
    judgement = judge(spaces, labels, planted_labels, pool, train.classes, seed, relabellings)
    pairs = worst_pairs(images, labels, train, holdout)
    split, name = holdout.split, str(extractor)
    return Memorisation(judgement, attacks, pairs, split, len(images), name, seed, notes)


def worst_pairs(
    images: Images, labels: NDArray[np.int64], train: Dataset, holdout: Dataset, count: int = WORST
) -> list[Pair]:
    """The `count` images nearest to training, relative to held-out images of the same class."""
    found = nearest_pixels(images, train.images)
    usual = np.ones(len(train.classes))
    if len(holdout):
        held = nearest_pixels(holdout.images, train.images).distance[:, 0]
        for label in range(len(usual)):
            of_class = held[holdout.labels == label]
            usual[label] = max(np.median(of_class if len(of_class) else held), 1e-6)
    relative = found.distance[:, 0] / usual[labels]
    pairs = []
    for fake in np.argsort(relative, kind="stable")[:count].tolist():
        nearest = int(found.index[fake, 0])
        views = symmetries(thumbnails(images[fake : fake + 1]))[:, 0]
        target = thumbnails(train.images[nearest : nearest + 1])[0]
        pairs.append(
            Pair(
                fake=fake,
                class_name=train.classes[labels[fake]],
                train=nearest,
                train_id=str(train.ids[nearest]),
                distance=float(found.distance[fake, 0]),
                relative=float(relative[fake]),
                turn=int(np.square(views - target).sum(axis=(1, 2, 3)).argmin()),
            )
        )
    return pairs
