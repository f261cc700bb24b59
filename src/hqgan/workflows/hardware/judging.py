"""Who judges images of a generator: the val split of its data, and an extractor."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgan.data import Dataset, load_dataset
from hqgan.errors import DataError, RunError, UsageError
from hqgan.evaluation import Extractor, reference_class_mix
from hqgan.evaluation.metrics import MIN_GROUPS
from hqgan.evaluation.probes import Judge
from hqgan.evaluation.run import data_of
from hqgan.models import find_snapshot, load_snapshot


@dataclass(frozen=True)
class Reference:
    """Real images to be compared with; None of them, and why, where there are none."""

    images: Dataset | None
    reason: str | None = None

    def mix(self, n: int) -> list[int] | None:
        """Images of each class, n in all, that a distance asks for; None without a reference."""
        if self.images is None:
            return None
        mix = reference_class_mix(self.images.labels, len(self.images.classes), n)
        return [int(count) for count in mix]

    def judge(
        self, extractor: Extractor | None, seed: int, labels: Sequence[int]
    ) -> tuple[Judge | None, str | None]:
        """Who measures kid768 of images of these classes, or why nobody does."""
        if self.images is None or extractor is None:
            return None, self.reason
        mix = self.mix(len(labels)) or []
        if [labels.count(y) for y in range(len(mix))] != mix:
            return None, (
                "these images were ordered when the real ones were not at hand, and have not their "
                "class mix; order them anew, with another --out"
            )
        if extractor.name == "tiny":
            return None, "no Inception weights are at hand (HQGAN_INCEPTION, --inception-weights)"
        return Judge(self.images, extractor, seed), None


def reference_of(run: Path, n: int, data: str | None = None, label: str | None = None) -> Reference:
    """The val split of the data of a run, or of `data`.

    Raises:
        DataError, UsageError: `data` is named, and cannot be read or has other classes.
        RunError: no snapshot.
    """
    if n < MIN_GROUPS:
        return Reference(None, f"{n} images are too few, an interval needs {MIN_GROUPS}")
    generator, about = load_snapshot(find_snapshot(run))
    try:
        path, column = (data, None) if data else data_of(run)
        images = load_dataset(path, "val", generator.size, label=label or column)
        if images.classes != about.classes:
            raise DataError(
                f"{path} has the classes {', '.join(images.classes)}, but {run} was trained on "
                f"{', '.join(about.classes)}; name the data of the run with --data"
            )
    except (DataError, UsageError, RunError) as error:
        if data:
            raise
        return Reference(None, str(error))
    return Reference(images)
