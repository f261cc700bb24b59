"""Fidelity apart from diversity: precision, recall, density and coverage, from nearest neighbours.

A distance such as the Fréchet distance mixes two faults. Here a ball around each image, as wide as
the way to its k-th nearest neighbour of the same set, stands for the region that the set fills:

    precision   share of fakes inside a ball of a real image          are they plausible?
    density     mean number of real balls around a fake, over k       the same, outliers count less
    recall      share of real images inside a ball of a fake          is all of the data imitated?
    coverage    share of real balls that hold a fake                  the same, outliers count less

Precision, recall and coverage lie in [0, 1]; density has expectation 1 for equal distributions and
no upper bound. All four depend on the number of images, so they are compared at equal numbers only,
beside what held-out real images reach. Several images of one lesion make the balls small.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hqgan.evaluation.metrics import Array, TooFewImages, as_features

NEIGHBOURS = 5
BLOCK = 512  # rows of a distance matrix held at once: 20 MB against 5,000 images
TIE = 1e-9  # squared distances that differ by a smaller share are equal; rounding is below it


@dataclass(frozen=True)
class Manifold:
    """The four numbers of one comparison; the module says what they are."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Neighbourhoods:
    """Features (N, d) and the squared radius (N,) of each one's ball of k nearest neighbours."""

    features: Array
    squared_radii: Array
    k: int

    @classmethod
    def fit(cls, features: Array, k: int = NEIGHBOURS) -> "Neighbourhoods":
        """Of (N, d) features; TooFewImages where N <= k. O(N² d) in time, 4 KiB x N in memory."""
        if k < 1:
            raise ValueError(f"k is {k}, expected at least one neighbour")
        features = as_features(features, "features")
        if len(features) <= k:
            raise TooFewImages(
                f"{len(features)} images have no {k} neighbours each; more than {k} are needed"
            )
        # Each image is its own nearest, so the k-th neighbour is at place k from 0.
        radii = [np.partition(d, k, axis=1)[:, k] for d in _distances(features, features)]
        return cls(features, np.concatenate(radii), k)


def precision_recall_density_coverage(
    real: Array | Neighbourhoods, fake: Array | Neighbourhoods, k: int = NEIGHBOURS
) -> Manifold:
    """Fidelity and diversity of fakes (N, d) beside real images (M, d) of any float type.

    Takes features or fitted `Neighbourhoods` (fit once what is compared often), whose k must then
    be this one. A point at the rim belongs to the ball for precision and recall and does not for
    density and coverage, as in the code of either paper; only copies of an image lie there, and a
    set compared with itself has 1 four times.

    TooFewImages where a set has no more than k images, ValueError for NaN or features of another
    length. Cost: three distance matrices, O((M² + N² + M N) d), in blocks of `BLOCK` rows.
    Source: Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2; Naeem et al. 2020, arXiv
    2002.09797, section 3, with their k = 5 (the first paper takes 3).
    """
    a = real if isinstance(real, Neighbourhoods) else Neighbourhoods.fit(real, k)
    b = fake if isinstance(fake, Neighbourhoods) else Neighbourhoods.fit(fake, k)
    if {a.k, b.k} != {k}:
        raise ValueError(f"fitted for {a.k} and {b.k} neighbours, expected k = {k}")
    if a.features.shape[1] != b.features.shape[1]:
        raise ValueError(
            f"real has {a.features.shape[1]} features, fake has {b.features.shape[1]}; "
            "expected as many"
        )
    plausible = np.zeros(len(b.features), dtype=bool)
    imitated = covered = holdings = 0
    for start, distances in zip(
        range(0, len(a.features), BLOCK), _distances(a.features, b.features), strict=True
    ):
        real_radii = a.squared_radii[start : start + BLOCK, None]
        plausible |= (distances <= real_radii * (1 + TIE)).any(axis=0)
        imitated += int((distances <= b.squared_radii * (1 + TIE)).any(axis=1).sum())
        held = distances < real_radii * (1 - TIE)
        holdings += int(held.sum())
        covered += int(held.any(axis=1).sum())
    return Manifold(
        precision=float(plausible.mean()),
        recall=imitated / len(a.features),
        density=holdings / (k * len(b.features)),
        coverage=covered / len(a.features),
    )


def _distances(x: Array, y: Array) -> Iterator[Array]:
    """Squared distances of (M, d) to (N, d) in blocks of rows: (<= BLOCK, N) each.

    Taken from the mean of y, for |x|² + |y|² - 2 xy loses what the norms have in common.
    """
    origin = y.mean(axis=0)
    y = y - origin
    squared = np.einsum("nd,nd->n", y, y)
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK] - origin
        distances = rows @ y.T
        distances *= -2.0
        distances += np.einsum("md,md->m", rows, rows)[:, None]
        distances += squared
        yield np.maximum(distances, 0.0, out=distances)
