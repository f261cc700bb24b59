"""From the predictions of all cells to what a study may say."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hqgan.data import Dataset
from hqgan.errors import RunError
from hqgan.evaluation.classification import MEASURES, Predictions, Scores, scores
from hqgan.evaluation.resampling import mean_interval
from hqgan.evaluation.trials import POWER, too_few_seeds
from hqgan.workflows.study.comparisons import exploratory_comparisons, primary_comparisons
from hqgan.workflows.study.controls import generators, warnings
from hqgan.workflows.study.plan import Plan
from hqgan.workflows.study.tested import Setting, Tested, setting_of


@dataclass(frozen=True)
class StudyResult:
    """All that a study found; its fields are the keys of `hqgan study --json`.

    Attributes:
        protocol: as it was fixed.
        checksums: sha256 of the protocol (without the place of its data), and of the splits.
        split: that the classifiers were tested on; `final` says that it is test.
        arms: a row for each arm, classifier and fraction: `measures` with interval and value by
            seed, `per_class`, `confusion` (summed over seeds), `groups`, images per class.
        comparisons: the primary family first (with tests), then every arm against the baseline.
        generators: a row for each generator and fraction: how well its images are told from real
            ones (`detectability`), what its filters dropped. Nothing has a value where a seed
            failed; `notes` and `warnings` say why.
        minimum_detectable_effect: the largest of the primary comparisons, in units of the
            measure; None below two seeds.
        warnings: what to know before believing anything.
        sentence: the first primary comparison, in words.
    """

    protocol: dict[str, Any]
    checksums: dict[str, str]
    split: str
    final: bool
    classes: tuple[str, ...]
    images: int
    lesions: int
    arms: list[dict[str, Any]]
    comparisons: list[dict[str, Any]]
    generators: list[dict[str, Any]]
    minimum_detectable_effect: float | None
    warnings: list[str]
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Plain values; what is not a number is null."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)
        return plain

    def lines(self) -> Iterator[str]:
        """For people: power first, then the comparisons, then the arms."""
        yield from self.warnings
        measure = self.protocol["primary"]["measure"]
        if self.minimum_detectable_effect is not None:
            yield (
                f"minimum detectable effect on {measure}: {self.minimum_detectable_effect:.4f} "
                f"({POWER:.0%} power, {self.protocol['seeds']} seeds)"
            )
        for one in self.comparisons:
            if one["primary"]:
                yield one["sentence"]
        width = max(len(row["arm"]) for row in self.arms)
        yield (
            f"{'arm':{width}} {'classifier':14} {'labels':>6} {'synthetic':>9} "
            f"{measure:>18} {'95 % interval':>18} {'accuracy':>8} {'f1':>7} {'auroc':>7}"
        )
        for row in self.arms:
            found = row["measures"][measure]
            interval = "[{:.3f}, {:.3f}]".format(*found["interval"]) if found["interval"] else ""
            rest = (row["measures"][name]["value"] for name in ("accuracy", "f1", "auroc"))
            yield (
                f"{row['arm']:{width}} {row['classifier']:14} {row['fraction']:6.0%} "
                f"{row['synthetic_share']:9.0%} {number(found['value']):>18} {interval:>18} "
                + " ".join(
                    f"{number(value):>{size}}" for value, size in zip(rest, (8, 7, 7), strict=True)
                )
            )


def tabulate(plan: Plan, split: Dataset, final: bool) -> StudyResult:
    """Everything, of cells that are all done.

    Raises:
        RunError: one is not.
    """
    protocol = plan.study.protocol
    for cell in plan.cells:
        if cell.done() is None:
            raise RunError(f"{cell.name} is not done; the same command continues")
    tested = Tested.of(plan.classifiers, split)
    primary = primary_comparisons(protocol, tested)
    effects = [one["minimum_detectable_effect"] for one in primary]
    known = [effect for effect in effects if effect is not None]
    controls = generators(plan)
    said = [*plan.warnings, too_few_seeds(protocol.seeds, len(primary)), *warnings(plan, controls)]
    said += [f"{arm} failed, {reason}" for (arm, _, _), reason in tested.failed.items()]
    if not final:
        said.append(
            "Measured on val, to look, not to claim: the step of every classifier was chosen "
            "there, so its numbers flatter all arms."
        )
    return StudyResult(
        protocol=protocol.model_dump(mode="json"),
        checksums={
            "protocol": protocol.checksum(),
            "train": plan.settings["train_checksum"],
            split.split: split.checksum,
        },
        split=split.split,
        final=final,
        classes=split.classes,
        images=len(split),
        lesions=len(np.unique(split.groups)),
        arms=[row(plan, tested, setting) for setting in tested.found],
        comparisons=[*primary, *exploratory_comparisons(protocol, tested)],
        generators=controls,
        minimum_detectable_effect=max(known) if len(known) == len(effects) else None,
        warnings=[text for text in said if text],
        sentence=primary[0]["sentence"],
    )


def row(plan: Plan, tested: Tested, setting: Setting) -> dict[str, Any]:
    """One arm, at one fraction, with one classifier; without numbers where a seed has failed."""
    arm, classifier, fraction = setting
    several, classes = tested.found[setting], tested.split.classes
    records = [c.done() or {} for c in plan.classifiers if setting_of(c) == setting]
    none = [0.0] * len(classes)
    real, synthetic = (
        np.mean([r.get(kind, none) for r in records], axis=0) for kind in ("real", "synthetic")
    )
    each = [scores(one) for one in several]
    notes = {note for one in each for note in one.notes}
    return {
        "arm": arm,
        "classifier": classifier,
        "fraction": fraction,
        "seeds": len(several),
        "real": real.tolist(),
        "synthetic": synthetic.tolist(),
        "synthetic_share": float(synthetic.sum() / max(1.0, real.sum() + synthetic.sum())),
        "measures": measures(several),
        "per_class": [
            {"class": name} | of_class(several, each, y) for y, name in enumerate(classes)
        ],
        "confusion": np.sum([one.confusion for one in each], axis=0).tolist() if each else None,
        "groups": [
            {**about, "measures": measures(part.found[setting])}
            for about, part in tested.by_group(plan.study.protocol.groups)
        ],
        "notes": [tested.failed[setting]] if setting in tested.failed else sorted(notes),
    }


def measures(several: Sequence[Predictions]) -> dict[str, Any]:
    """Every measure, mean over seeds with its interval."""
    return {measure: asdict(mean_interval(several, measure)) for measure in MEASURES}


def of_class(several: Sequence[Predictions], each: Sequence[Scores], label: int) -> dict[str, Any]:
    """Precision, recall, F1 and AUROC of one class, means over seeds; `n` images.

    A seed that never predicts the class has precision 0 in the mean, as in the macro average. The
    interval of the recall is that of the accuracy on the images of the class.
    """
    found = [one.per_class[label] for one in each]
    n = int(found[0]["n"]) if found else 0
    if n:
        found = [one | {"precision": float(np.nan_to_num(one["precision"]))} for one in found]
    keys = ("precision", "recall", "f1", "auroc")
    own = [one.subset(one.labels == label) for one in several]
    return {
        **{key: mean([one[key] for one in found]) for key in keys},
        "n": n,
        "recall_interval": mean_interval(own, "accuracy").interval,
    }


def mean(values: Sequence[float]) -> float | None:
    """Mean of those that are defined."""
    there = [value for value in values if math.isfinite(value)]
    return float(np.mean(there)) if there else None


def number(value: float | None) -> str:
    """For a table."""
    return "-" if value is None else f"{value:.3f}"
