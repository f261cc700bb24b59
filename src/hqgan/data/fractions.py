"""Less data, as if fewer lesions had been collected: for studies of small data sets."""

import hashlib
from dataclasses import replace

import numpy as np

from hqgan.data.dataset import Dataset
from hqgan.errors import DataError

LEAST_LESIONS = 2  # of each class: one lesion is no class


def lesion_fraction(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The images of a random `fraction` of the lesions of each class, at least two of each.

    Lesions are drawn whole: all images of one are there, or none. With one seed a smaller fraction
    is part of a larger one, and a lesion's place does not depend on the others'. 1 is all.

    Raises:
        DataError: a class with fewer than two lesions.
        ValueError: a fraction outside of (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}, expected 0 < fraction <= 1")
    chosen: set[str] = set()
    for label, name in enumerate(dataset.classes):
        lesions = sorted(set(dataset.groups[dataset.labels == label].tolist()))
        if len(lesions) < LEAST_LESIONS:
            raise DataError(
                f"class {name} has {len(lesions)} lesion{'s' * (len(lesions) != 1)} in "
                f"{dataset.split}, but a study needs "
                f"at least {LEAST_LESIONS} of each; add images of other lesions, or leave it out"
            )
        lesions.sort(key=lambda lesion: hashlib.sha256(f"{seed}:{lesion}".encode()).digest())
        chosen |= set(lesions[: max(LEAST_LESIONS, round(fraction * len(lesions)))])
    rows = np.flatnonzero(np.isin(dataset.groups, sorted(chosen)))
    if len(rows) == len(dataset):
        return dataset
    return replace(
        dataset,
        images=dataset.images[rows],
        labels=dataset.labels[rows],
        groups=dataset.groups[rows],
        ids=dataset.ids[rows],
        metadata={key: values[rows] for key, values in dataset.metadata.items()},
    )
