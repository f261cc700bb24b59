"""What the classifiers of a study say of one split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqgan.data import Dataset
from hqgan.evaluation.classification import Predictions
from hqgan.workflows.study.cells import ClassifierCell

Setting = tuple[str, str, float]  # arm, classifier, label fraction


@dataclass(frozen=True)
class Tested:
    """Predictions of every seed, by setting, of the images of a split.

    A setting of which a seed has `failed` (with the reason) has none: the mean of the others would
    be that of the lucky ones.
    """

    split: Dataset
    found: dict[Setting, list[Predictions]]
    failed: dict[Setting, str]

    @classmethod
    def of(cls, cells: Sequence[ClassifierCell], split: Dataset) -> "Tested":
        """Of cells that are all done."""
        found: dict[Setting, list[Predictions]] = {}
        failed: dict[Setting, str] = {}
        for cell in cells:
            reason = (cell.done() or {})["failed"]
            if reason:
                failed.setdefault(setting_of(cell), f"seed {cell.seed}: {reason}")
        for cell in cells:
            several = found.setdefault(setting_of(cell), [])
            if setting_of(cell) not in failed:
                said = cell.probabilities(split)
                several.append(Predictions(said, split.labels, split.groups, split.classes))
        return cls(split, found, failed)

    def by_group(self, columns: Sequence[str]) -> Iterator[tuple[dict[str, Any], "Tested"]]:
        """For each value of each column: what group it is, and what is said of its images."""
        for column in columns:
            values = self.split.metadata[column]
            for value in sorted(set(values.tolist())):
                mask = values == value
                about = {
                    "column": column,
                    "value": value,
                    "images": int(mask.sum()),
                    "lesions": len(np.unique(self.split.groups[mask])),
                }
                part = {key: [one.subset(mask) for one in all_] for key, all_ in self.found.items()}
                yield about, Tested(self.split, part, self.failed)


def setting_of(cell: ClassifierCell) -> Setting:
    """What the seeds of one row have in common."""
    return cell.arm_name, cell.classifier, cell.fraction
