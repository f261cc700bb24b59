"""How different are the images of one class from each other? A collapsed generator's are not.

    ms_ssim                 mean structural similarity of pairs, 1 for copies; lower is more diverse
    intra_class_distance    mean distance of pairs in features; higher is more diverse

Neither says that the images are good: noise is most diverse of all. Both are read beside what the
reference images reach among themselves, which is the floor of these recipes; there two images of
one lesion are no pair.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hqgan.data import Dataset, to_float
from hqgan.errors import HqganError
from hqgan.evaluation.features import Extractor, Images
from hqgan.evaluation.metrics import Array, TooFewImages, as_features
from hqgan.evaluation.recipes import RecipeResult

PAIRS = 300  # of a class: the mean of as many similarities has an error of about 0.01
BATCH = 50  # pairs compared at once
KERNEL = 11  # pixels of the Gaussian window, sigma 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first

Groups = Sequence[object] | NDArray[np.generic]


def ms_ssim(images: Images, seed: int, groups: Groups | None = None, pairs: int = PAIRS) -> float:
    """Mean multi-scale structural similarity of random pairs of different images (N, S, S, 3).

    In [0, 1]. Halving stops where the window would not fit: 2 scales at 32 px, 3 at 64, 4 at 128;
    the first weights of the five, made to sum to 1. `groups` (N,) names lesions; two images of one
    lesion are no pair. TooFewImages without a pair, ValueError below 16 px. Cost: about 1 s for
    300 pairs of 64 px. Source: Wang et al. 2003, Asilomar, eq. 7 and section 3.2 for the weights;
    as a measure of diversity: Odena et al. 2017, arXiv 1610.09585, section 4.2.
    """
    size = images.shape[1]
    scales = int(np.log2(max(1, size // KERNEL))) + 1
    if size < 16:
        raise ValueError(f"images are {size} pixels wide, expected at least 16")
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    similarity = _similarity()
    first, second = _pairs(len(images), groups, pairs, seed)
    found = []
    for start in range(0, len(first), BATCH):
        rows = slice(start, start + BATCH)
        found.append(
            similarity(
                to_float(images[first[rows]]) / 2 + 0.5,
                to_float(images[second[rows]]) / 2 + 0.5,
                kernel_size=KERNEL,
                reduction="none",
                data_range=1.0,
                betas=tuple(weights.tolist()),
            )
        )
    return float(torch.cat(found).mean())


def intra_class_distance(features: Array, groups: Groups | None = None) -> float:
    """Mean Euclidean distance over pairs of different rows of (N, d).

    `groups` (N,) names lesions; two images of one lesion are no pair. TooFewImages without a pair.
    O(N² d) in time, 8 N² bytes.
    """
    features = as_features(features, "features")
    apart = _apart(len(features), groups)
    if not apart.any():
        raise TooFewImages(f"{len(features)} images hold no pair of different lesions")
    features = features - features.mean(axis=0)
    norms = np.einsum("nd,nd->n", features, features)
    squares = norms[:, None] + norms - 2.0 * features @ features.T
    return float(np.sqrt(squares.clip(min=0.0))[apart].mean())


def evaluate_diversity(
    fake_images: Images,
    fake_labels: NDArray[np.integer],
    reference: Dataset,
    extractor: Extractor,
    seed: int = 0,
) -> list[RecipeResult]:
    """Both recipes, of all classes weighted by their number of fakes and then of each.

    Fakes uint8 (N, S, S, 3) and labels as for `evaluate_images`, whose features are in the cache. A
    class without a pair on either side has no numbers, says why, and is not in the mean. ValueError
    for another size. Cost: about 2 s a class.
    """
    if fake_images.shape[1:] != reference.images.shape[1:]:
        raise ValueError(
            f"fakes are {fake_images.shape[1:]}, expected {reference.images.shape[1:]}"
        )
    fakes, reals = extractor(fake_images), extractor(reference.images)

    def similarity(chosen: tuple[Images, Array], groups: Groups | None) -> float:
        return ms_ssim(chosen[0], seed, groups)

    def distance(chosen: tuple[Images, Array], groups: Groups | None) -> float:
        return intra_class_distance(chosen[1], groups)

    results = []
    for recipe, measured in (("ms_ssim", similarity), ("intra_class_distance", distance)):
        stamp: dict[str, Any] = {
            "recipe": recipe,
            "interval": None,
            "split": reference.split,
            "extractor": str(extractor),
            "seed": seed,
        }
        found = []
        for label, name in enumerate(reference.classes):
            mine, theirs = fake_labels == label, reference.labels == label
            value = floor = reason = None
            try:
                value = measured((fake_images[mine], fakes[mine]), None)
                real = (reference.images[theirs], reals[theirs])
                floor = measured(real, reference.groups[theirs])
            except TooFewImages as refusal:
                reason = str(refusal)
            found.append(
                RecipeResult(
                    class_name=name,
                    value=value,
                    floor=floor,
                    n_real=int(theirs.sum()),
                    n_fake=int(mine.sum()),
                    reason=reason,
                    **stamp,
                )
            )
        results += [_overall(found, stamp), *found]
    return results


def _overall(found: list[RecipeResult], stamp: dict[str, Any]) -> RecipeResult:
    """The mean over the classes that have both numbers, weighted by their fakes."""
    whole = [one for one in found if one.value is not None and one.floor is not None]
    missing = [str(one.class_name) for one in found if one not in whole]
    weights = np.array([one.n_fake for one in whole]) / max(1, sum(one.n_fake for one in whole))
    return RecipeResult(
        class_name=None,
        value=float(weights @ [one.value for one in whole]) if whole else None,
        floor=float(weights @ [one.floor for one in whole]) if whole else None,
        n_real=sum(one.n_real for one in whole),
        n_fake=sum(one.n_fake for one in whole),
        reason=f"without {', '.join(missing)}" if missing else None,
        **stamp,
    )


def _apart(n: int, groups: Groups | None) -> NDArray[np.bool_]:
    """Which of (n, n) are pairs."""
    names = np.arange(n) if groups is None else np.asarray(groups)
    if len(names) != n:
        raise ValueError(f"groups has {len(names)} labels for {n} images; expected one each")
    return np.asarray(names[:, None] != names)


def _pairs(
    n: int, groups: Groups | None, count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`count` random pairs, or all where there are fewer."""
    first, second = np.nonzero(np.triu(_apart(n, groups), 1))
    if not len(first):
        raise TooFewImages(f"{n} images hold no pair of different lesions")
    chosen = np.random.default_rng([seed, 4]).permutation(len(first))[:count]
    return first[chosen], second[chosen]


def _similarity() -> Callable[..., torch.Tensor]:
    """torchmetrics' function. Importing it fails where torchvision is of another torch."""
    try:
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure as similarity,
        )
    except (ImportError, RuntimeError) as error:
        raise HqganError(
            f"torchmetrics cannot be imported ({error}). It imports torchvision where that is "
            "installed, and a torchvision made for another torch breaks it: "
            "`pip uninstall torchvision` mends it, or `pip install torchmetrics` if it is missing"
        ) from error
    return similarity
