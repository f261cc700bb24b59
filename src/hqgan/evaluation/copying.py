"""Does a generator copy its training images? A test that finds problems and proves nothing.

Two questions are asked, in pixels and in features, of all images and of each class:

1. *Are the images nearer to training lesions than to held-out ones?* (`relabelling`) The share of
   all images, and of the sharpest 5 %, is compared with what random relabellings of the lesions
   give. The sharpest are those whose nearest lesion is much nearer than the second: copies are
   among them. All shares share their relabellings, so one p-value for the largest deviation is
   exact for the family (Westfall and Young 1993, max-T).
2. *Are they nearer to one training lesion than an image of another lesion ever is?* An image is
   sharp if the ratio of its distances to the nearest and second nearest training lesion is below
   the first percentile of that ratio over the held-out lesions. A share of 1 % is expected: if the
   images are like the held-out lesions, the chance to be below the k-th of m of them has the
   distribution Beta(k, m - k + 1). Images with the same nearest lesion count as one draw, for a
   generator that makes one image over and over has one chance to be wrong. Poor images are not
   like the held-out ones, so the ratio must also lie below the first percentile of the images' own
   ratios to the held-out lesions, which can only make fewer images sharp. This question sees
   copies of a few lesions, of which relabelling cannot tell much. The ratio decides and not the
   distance itself: blurred images are near to everything without copying anything. The share below
   the first percentile of the distances is printed beside it.

Each question gets half of the level of 5 %, the second divided by the number of its tests
(Bonferroni), so a generator without copies is accused in at most one of 20 cases. The power is
measured by planting: a share of the images is replaced by training images, turned and with a
little noise, and the test repeated. Where it would not notice even 20 % copies, its silence says
nothing, and the verdict is that there are too few images to tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hqgan.evaluation.metrics import MIN_GROUPS, Array
from hqgan.evaluation.nearest import symmetries
from hqgan.evaluation.relabelling import Pool, Ranking

COPIES, NO_SIGN, TOO_FEW = "copies", "no sign of copies", "too few images to tell"
LEVEL = 0.05
QUESTIONS = 2  # among which the level is divided
RELABELLINGS = 999
SIMULATIONS = 4999  # of the second question
DRAWS = 200  # of training lesions, for the spread of the share and the distance ratio
SHARPEST = 0.05
SHARPEST_LEAST = 10  # images; fewer are not looked at by themselves
MIN_FAKES = 20  # of a class, to be looked at by itself
PLANTED = (0.01, 0.02, 0.05, 0.10, 0.20)
TRIALS = 20  # of each planted share
NOTICED = 0.8  # of the trials, to say that the test notices this share
NOISE = 3.0  # grey levels, in planted copies; their brightness is shifted by as much


@dataclass(frozen=True)
class Space:
    """Distances in one space: of fakes (N, L), planted copies (P, L), held-out lesions (H, L).

    Columns are the lesions of the pool. A held-out lesion is represented by one image.
    """

    name: str
    fakes: NDArray[np.float32]
    planted: NDArray[np.float32]
    held: NDArray[np.float32]


@dataclass(frozen=True)
class Finding:
    """What one space says of all images, or of one class.

    Attributes:
        space: "pixels" or "features".
        class_name: None for all.
        fakes: generated images looked at.
        held_out: held-out lesions.
        nearer: share nearer to training than to held-out lesions, mean over draws; 0.5 expected.
        nearer_draws: the middle 95 % of 200 draws: what the choice of training lesions does.
        nearer_p: as all p-values here adjusted for both questions and all spaces and classes.
        sharpest_nearer: the same share of the sharpest 5 %; None for too few.
        sharpest_p: its p-value.
        sharp: share sharper than held-out lesions are but for one percent.
        near: share nearer to training than the first percentile of held-out lesions; blur raises
            it as well, and no p-value is taken.
        expected: of either; 0.01 where lesions are many, more where the first percentile can only
            be the smallest value of a few.
        sharp_p: p-value of `sharp`.
        distance_ratio: distance to the nearest training over that to the nearest held-out lesion,
            median over images, mean over draws; 1 expected, below 1 nearer to training.
        second_ratio: distance to the nearest over that to the second nearest training lesion,
            median; small for copies.
        second_ratio_real: the same of the held-out lesions, which it is to be compared with.
    """

    space: str
    class_name: str | None
    fakes: int
    held_out: int
    nearer: float
    nearer_draws: tuple[float, float]
    nearer_p: float
    sharpest_nearer: float | None
    sharpest_p: float | None
    sharp: float
    near: float
    expected: float
    sharp_p: float
    distance_ratio: float
    second_ratio: float
    second_ratio_real: float


@dataclass(frozen=True)
class Judgement:
    """The verdict, and what it rests on.

    Attributes:
        verdict: "copies", "no sign of copies" or "too few images to tell".
        p: the least of the adjusted p-values; "copies" if at most 0.05.
        noticed: least of the planted shares that is noticed in 80 % of trials, None if none is.
        power: planted share -> share of trials in which it was noticed, up to `noticed`.
        findings: by space, all images first.
        left_out: classes not looked at by themselves, and why.
    """

    verdict: str
    p: float
    noticed: float | None
    power: dict[float, float]
    findings: list[Finding]
    left_out: list[str]

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        if self.verdict == TOO_FEW:
            why = (
                "it would not notice" if self.power else "there is no hold-out to compare with for"
            )
            return (
                f"Too few images to tell: {why} even {100 * PLANTED[-1]:.0f} % of copies. "
                "That nothing was found says nothing."
            )
        power = (
            f"it notices {100 * self.noticed:.0f} % of slightly altered training images"
            if self.noticed
            else f"it would not notice {100 * PLANTED[-1]:.0f} % of slightly altered copies"
        )
        if self.verdict == COPIES:
            return (
                f"Copies: generated images follow single training lesions (p = {self.p:.2g}; "
                f"{power}). Look at the worst pairs before anything is shared."
            )
        return (
            f"No sign of copies (p = {self.p:.2g}); {power}. "
            "The test finds problems and proves nothing."
        )


class _Scope:
    """One space and class: which rows of fakes and then planted copies belong to it."""

    def __init__(self, space: "_Ranked", label: int | None, held: NDArray[np.bool_]) -> None:
        self.space, self.label, self.held = space, label, held

    def of(self, labels: NDArray[np.integer], members: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.flatnonzero(members if self.label is None else members & (labels == self.label))


class _Ranked:
    """What the tests need of one space, of fakes and planted copies in one numbering."""

    def __init__(self, space: Space, pool: Pool, relabellings: int, draws: int, seed: int) -> None:
        self.name = space.name
        everything = np.concatenate([space.fakes, space.planted])
        ranking = Ranking(everything, pool)
        self.chances = ranking.chances(relabellings, seed)  # (1 + B, N + P)
        self.sharpness = _ratio(ranking.distance)  # in the pool: the same for all labels
        self.draws = Ranking(space.fakes, pool).draws(draws, seed)
        trained = everything[:, ~pool.held]
        self.nearest, self.ratio = _nearest_two(trained)
        self.lesion = trained.argmin(axis=1)
        _, self.ratio_to_held = _nearest_two(everything[:, pool.held])
        self.held_nearest, self.held_ratio = _nearest_two(space.held[:, ~pool.held])


def judge(
    spaces: Sequence[Space],
    labels: NDArray[np.integer],
    planted_labels: NDArray[np.integer],
    pool: Pool,
    classes: Sequence[str],
    seed: int = 0,
    relabellings: int = RELABELLINGS,
    draws: int = DRAWS,
    trials: int = TRIALS,
) -> Judgement:
    """Judge fakes with these labels (N,) by their distances; the module says how.

    Planted copies (P,) should be 20 % of N; without `trials` of them nothing is known of the power.
    ValueError where distances and labels do not fit.
    Cost: about 5 s for each space at 2,000 fakes and 5,000 lesions.
    """
    n, total = len(labels), len(labels) + len(planted_labels)
    for space in spaces:
        if (
            space.fakes.shape != (n, len(pool.held))
            or len(space.fakes) + len(space.planted) != total
        ):
            raise ValueError(f"{space.name}: distances are {space.fakes.shape}, expected {n} rows")
    held_labels = pool.labels[pool.held]
    held_counts = pool.counts(held=True)
    if len(held_labels) < MIN_GROUPS:
        reason = f"{len(held_labels)} held-out lesions; at least {MIN_GROUPS} are needed"
        return Judgement(TOO_FEW, 1.0, None, {}, [], [reason])
    left_out: list[str] = []
    looked_at: list[int | None] = [None]
    for label, name in enumerate(classes):
        fakes, lesions = int((labels == label).sum()), int(held_counts[label])
        if fakes < MIN_FAKES or lesions < MIN_GROUPS:
            left_out.append(f"{name}: {lesions} held-out lesions and {fakes} images, too few")
        else:
            looked_at.append(label)
    ranked = [_Ranked(space, pool, relabellings, draws, seed) for space in spaces]
    scopes = [
        _Scope(
            space, label, np.ones(len(held_labels), bool) if label is None else held_labels == label
        )
        for space in ranked
        for label in looked_at
    ]
    everyone = np.concatenate([labels, planted_labels])
    real = np.arange(total) < n
    test = _test(scopes, everyone, real)
    findings = [
        _finding(scope, scope.of(everyone, real), test, index, classes)
        for index, scope in enumerate(scopes)
    ]
    power = _power(scopes, everyone, n, seed, trials)
    noticed = next((share for share, found in power.items() if found >= NOTICED), None)
    verdict = COPIES if test.p <= LEVEL else TOO_FEW if noticed is None else NO_SIGN
    return Judgement(verdict, test.p, noticed, power, findings, left_out)


@dataclass(frozen=True)
class _Test:
    """The numbers of one application: shares and adjusted p-values by scope, and the least p."""

    nearer: Array
    nearer_p: Array
    sharpest: Array
    sharpest_p: Array
    sharp: Array
    sharp_p: Array
    p: float


def _test(scopes: list[_Scope], labels: NDArray[np.integer], members: NDArray[np.bool_]) -> _Test:
    """Both questions of the images `members` (N + P,) of fakes and planted copies."""
    shares, sharp, sharp_p = [], [], []
    for scope in scopes:
        rows = scope.of(labels, members)
        space = scope.space
        count = int(np.ceil(SHARPEST * len(rows)))
        keen = rows[np.argsort(space.sharpness[rows], kind="stable")[:count]]
        chances = space.chances
        shares.append(chances[:, rows].mean(axis=1))
        shares.append(
            chances[:, keen].mean(axis=1)
            if count >= SHARPEST_LEAST
            else np.full(len(chances), np.nan)
        )
        threshold, k, m = _percentile(space.held_ratio[scope.held])
        threshold = min(threshold, float(np.quantile(space.ratio_to_held[rows], k / (m + 1))))
        below = int((space.ratio[rows] < threshold).sum())
        sharp.append(below / max(1, len(rows)))
        sharp_p.append(_exceeding(below, space.lesion[rows], k, m))
    table = np.stack(shares, axis=1)  # (1 + B, 2 scopes)
    spread = table.std(axis=0)
    z = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    z = np.where(np.isnan(z), -np.inf, z)
    largest = z.max(axis=1)
    adjusted = np.minimum(1.0, QUESTIONS * (largest[:, None] >= z[0]).mean(axis=0))
    alone = np.minimum(1.0, QUESTIONS * len(sharp_p) * np.array(sharp_p))
    return _Test(
        nearer=table[0, 0::2],
        nearer_p=adjusted[0::2],
        sharpest=table[0, 1::2],
        sharpest_p=adjusted[1::2],
        sharp=np.array(sharp),
        sharp_p=alone,
        p=float(min(adjusted.min(), alone.min())),
    )


def _exceeding(below: int, lesion: NDArray[np.int64], k: int, m: int) -> float:
    """Chance that as many images or more are below the k-th of m held-out lesions, by simulation.

    Images (n,) of one nearest lesion are below it together or not at all.
    """
    rng = np.random.default_rng([k, m])
    chance = rng.beta(k, m - k + 1, SIMULATIONS)
    sizes, counts = np.unique(np.unique(lesion, return_counts=True)[1], return_counts=True)
    found = rng.binomial(counts, chance[:, None]) @ sizes
    return float((1 + (found >= below).sum()) / (1 + SIMULATIONS))


def _power(
    scopes: list[_Scope], labels: NDArray[np.integer], n: int, seed: int, trials: int
) -> dict[float, float]:
    """Share of trials in which each planted share is noticed, up to the first that is enough."""
    rng = np.random.default_rng([seed, 15])
    found: dict[float, float] = {}
    for share in PLANTED if trials else ():
        count = min(round(share * n), len(labels) - n)
        noticed = 0
        for _ in range(trials):
            members = np.arange(len(labels)) < n
            members[rng.permutation(n)[:count]] = False
            members[n + rng.permutation(len(labels) - n)[:count]] = True
            noticed += _test(scopes, labels, members).p <= LEVEL
        found[share] = noticed / trials
        if found[share] >= NOTICED:
            break
    return found


def _finding(
    scope: _Scope, rows: NDArray[np.int64], test: _Test, index: int, classes: Sequence[str]
) -> Finding:
    space = scope.space
    nearer, ratios = (draws[:, rows] for draws in space.draws)
    low, high = np.percentile(nearer.mean(axis=1), [2.5, 97.5])
    sharpest = float(test.sharpest[index])
    near, k, m = _percentile(space.held_nearest[scope.held])
    return Finding(
        space=space.name,
        class_name=None if scope.label is None else classes[scope.label],
        fakes=len(rows),
        held_out=int(scope.held.sum()),
        nearer=float(test.nearer[index]),
        nearer_draws=(float(low), float(high)),
        nearer_p=float(test.nearer_p[index]),
        sharpest_nearer=None if np.isnan(sharpest) else sharpest,
        sharpest_p=None if np.isnan(sharpest) else float(test.sharpest_p[index]),
        sharp=float(test.sharp[index]),
        near=float((space.nearest[rows] < near).mean()),
        expected=k / (m + 1),
        sharp_p=float(test.sharp_p[index]),
        distance_ratio=float(np.nanmean(np.nanmedian(ratios, axis=1))),
        second_ratio=float(np.median(space.ratio[rows])),
        second_ratio_real=float(np.median(space.held_ratio[scope.held])),
    )


def planted_copies(
    images: NDArray[np.uint8], count: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` of the images (M, S, S, 3), turned or mirrored, with noise; and which they are."""
    rng = np.random.default_rng([seed, 16])
    chosen = rng.integers(len(images), size=count)
    turned = symmetries(images[chosen].astype(np.float32))
    copies = turned[rng.integers(8, size=count), np.arange(count)]
    noise = rng.normal(0, NOISE, (count, 1, 1, 1)) + rng.normal(0, NOISE, copies.shape)
    return np.rint(copies + noise).clip(0, 255).astype(np.uint8), chosen


def _percentile(values: Array) -> tuple[float, int, int]:
    """The k-th smallest of m values, k the nearest to 1 % of m and at least 1; k; m."""
    k = max(1, round(len(values) / 100))
    return float(np.sort(values)[k - 1]), k, len(values)


def _nearest_two(distances: NDArray[np.float32]) -> tuple[Array, Array]:
    """Distance to the nearest lesion, and its ratio to that of the second nearest."""
    two = np.partition(distances, min(1, distances.shape[1] - 1), axis=1)[:, :2]
    return two[:, 0], _ratio(two)


def _ratio(ascending: Array) -> Array:
    """First over second column; 1 where there is no second or both are 0."""
    if ascending.shape[1] < 2:
        return np.ones(len(ascending))
    first, second = ascending[:, 0], ascending[:, 1]
    return np.divide(first, second, out=np.ones_like(first), where=second > 0)
