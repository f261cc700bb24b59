"""From the predictions of all cells to what a study may say."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hqgan.data import Dataset
from hqgan.errors import RunError
from hqgan.evaluation.classification import MEASURES, Predictions, scores
from hqgan.evaluation.resampling import Estimate, difference_interval, mean_interval
from hqgan.evaluation.statistics import mean_over_seeds
from hqgan.evaluation.trials import (
    POWER,
    holm,
    minimum_detectable_effect,
    paired_t,
    sentence,
    sign_flip,
    too_few_seeds,
)
from hqgan.protocol import Protocol
from hqgan.workflows.study.cells import ClassifierCell, GeneratorCell, PoolCell
from hqgan.workflows.study.plan import Plan

Setting = tuple[str, str, float]  # arm, classifier, label fraction


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
            ones (`detectability`), what its filters dropped.
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
    found = predictions(plan, split)
    primary = primary_comparisons(protocol, found)
    effects = [one["minimum_detectable_effect"] for one in primary]
    known = [effect for effect in effects if effect is not None]
    hopeless = too_few_seeds(protocol.seeds, len(primary))
    selected = "the step of every classifier was chosen on val, so its numbers flatter all arms"
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
        arms=[row(plan, split, setting, several) for setting, several in found.items()],
        comparisons=[*primary, *exploratory_comparisons(protocol, found)],
        generators=generators(plan),
        minimum_detectable_effect=max(known) if len(known) == len(effects) else None,
        warnings=[
            *plan.warnings,
            *([hopeless] if hopeless else []),
            *([] if final else [f"Measured on val, to look, not to claim: {selected}."]),
        ],
        sentence=primary[0]["sentence"],
    )


def predictions(plan: Plan, split: Dataset) -> dict[Setting, list[Predictions]]:
    """What every seed's classifier says of the split, by arm, classifier and fraction."""
    found: dict[Setting, list[Predictions]] = {}
    for cell in plan.classifiers:
        said = Predictions(cell.probabilities(split), split.labels, split.groups, split.classes)
        found.setdefault(setting_of(cell), []).append(said)
    return found


def setting_of(cell: ClassifierCell) -> Setting:
    """What the seeds of one row have in common."""
    return cell.arm_name, cell.classifier, cell.fraction


def row(
    plan: Plan, split: Dataset, setting: Setting, several: Sequence[Predictions]
) -> dict[str, Any]:
    """One arm, at one fraction, with one classifier."""
    arm, classifier, fraction = setting
    records = [c.done() or {} for c in plan.classifiers if setting_of(c) == setting]
    real, synthetic = (np.mean([r[k] for r in records], axis=0) for k in ("real", "synthetic"))
    each = [scores(one) for one in several]
    keys = each[0].per_class[0].keys()
    per_class = [
        {"class": name}
        | {key: mean(one.per_class[y][key] for one in each) for key in keys}
        # The accuracy on a class's images is its recall.
        | {"recall_interval": interval([one.subset(split.labels == y) for one in several])}
        for y, name in enumerate(split.classes)
    ]
    return {
        "arm": arm,
        "classifier": classifier,
        "fraction": fraction,
        "seeds": len(several),
        "real": real.tolist(),
        "synthetic": synthetic.tolist(),
        "synthetic_share": float(synthetic.sum() / (real.sum() + synthetic.sum())),
        "measures": {m: asdict(mean_interval(several, m)) for m in MEASURES},
        "per_class": per_class,
        "confusion": np.sum([one.confusion for one in each], axis=0).tolist(),
        "groups": group_rows(plan, split, several),
        "notes": sorted({note for one in each for note in one.notes}),
    }


def group_rows(plan: Plan, split: Dataset, several: Sequence[Predictions]) -> list[dict[str, Any]]:
    """The same measures for each value of the columns that the protocol names."""
    rows = []
    for column in plan.study.protocol.groups:
        values = split.metadata[column]
        for value in sorted(set(values.tolist())):
            part = [one.subset(values == value) for one in several]
            rows.append(
                {
                    "column": column,
                    "value": value,
                    "images": len(part[0].labels),
                    "lesions": len(np.unique(part[0].groups)),
                    "measures": {m: asdict(mean_interval(part, m)) for m in MEASURES},
                }
            )
    return rows


def primary_comparisons(
    protocol: Protocol, found: dict[Setting, list[Predictions]]
) -> list[dict[str, Any]]:
    """The family that was named beforehand: paired t and sign flips, each adjusted by Holm."""
    measure, pairs = protocol.primary.measure, protocol.primary.comparisons
    place = protocol.classifiers[0], protocol.fractions[0]
    estimates = [difference_interval(found[a, *place], found[b, *place], measure) for a, b in pairs]
    tests = [paired_t(one.by_seed) for one in estimates]
    flips = [sign_flip(one.by_seed) for one in estimates]
    adjusted = zip(holm([test.p for test in tests]), holm(flips), strict=True)
    rows = []
    for (a, b), estimate, test, flip, (p, flip_p) in zip(
        pairs, estimates, tests, flips, adjusted, strict=True
    ):
        detectable = detectable_effect(estimate, len(pairs))
        rows.append(
            comparison(a, b, *place, measure, estimate)
            | {
                "primary": True,
                "t": test.statistic,
                "t_interval": test.interval,
                "p": test.p,
                "p_holm": p,
                "sign_flip_p": flip,
                "sign_flip_p_holm": flip_p,
                "minimum_detectable_effect": detectable,
                "sentence": sentence(a, b, measure, estimate, len(pairs), p, flip_p, detectable),
            }
        )
    return rows


def detectable_effect(estimate: Estimate, family: int) -> float | None:
    """From the spread of the differences that were seen; None where seeds show none."""
    if estimate.seeds < 2 or not np.isfinite(estimate.by_seed).all():
        return None
    spread = float(np.std(estimate.by_seed, ddof=1))
    if not spread:
        return None
    effect = minimum_detectable_effect(spread, estimate.seeds, family)
    return effect if math.isfinite(effect) else None


def exploratory_comparisons(
    protocol: Protocol, found: dict[Setting, list[Predictions]]
) -> list[dict[str, Any]]:
    """Every arm against the baseline, wherever that is not primary: intervals, no p values."""
    measure = protocol.primary.measure
    base = protocol.baseline or next(iter(protocol.expanded()))
    place = protocol.classifiers[0], protocol.fractions[0]
    tested = {(a, b, *place) for a, b in protocol.primary.comparisons}
    rows = []
    for (arm, classifier, fraction), several in found.items():
        if arm == base or (arm, base, classifier, fraction) in tested:
            continue
        estimate = difference_interval(several, found[base, classifier, fraction], measure)
        words = sentence(arm, base, measure, estimate)
        rows.append(
            comparison(arm, base, classifier, fraction, measure, estimate)
            | {"primary": False, "sentence": words}
        )
    return rows


def comparison(
    arm: str, base: str, classifier: str, fraction: float, measure: str, estimate: Estimate
) -> dict[str, Any]:
    """What all comparisons have."""
    where = {"arm": arm, "against": base, "classifier": classifier, "fraction": fraction}
    return {**where, "measure": measure, **asdict(estimate), "seeds": estimate.seeds}


def generators(plan: Plan) -> list[dict[str, Any]]:
    """The controls of each generator: means over its seeds."""
    cells = [cell for cell in plan.cells if isinstance(cell, GeneratorCell)]
    pools = [cell for cell in plan.cells if isinstance(cell, PoolCell)]
    rows = []
    for preset, fraction in dict.fromkeys((c.preset, c.fraction) for c in cells):
        records = [c.done() or {} for c in cells if (c.preset, c.fraction) == (preset, fraction)]
        told = [r["detectability"] for r in records if r["detectability"] is not None]
        mine = [p for p in pools if (p.generator.preset, p.fraction) == (preset, fraction)]
        rows.append(
            {
                "preset": preset,
                "fraction": fraction,
                "seeds": len(records),
                "stopped": [r["stopped"] for r in records if r["stopped"]],
                "detectability": asdict(mean_over_seeds(told)),
                "extractor": records[0]["extractor"],
                "filters": [rejected(mine, kind) for kind in dict.fromkeys(map(filters, mine))],
            }
        )
    return rows


def filters(pool: PoolCell) -> tuple[bool, bool]:
    """Which of the two a pool went through: class, copy."""
    return pool.judge is not None, pool.copy_filter


def rejected(pools: Sequence[PoolCell], kind: tuple[bool, bool]) -> dict[str, Any]:
    """Sums over the seeds: images asked for, made, kept and dropped of each class."""
    records = [pool.done() or {} for pool in pools if filters(pool) == kind]
    sums: dict[str, dict[str, int]] = {}
    for record in records:
        for one in record["per_class"]:
            into = sums.setdefault(one["name"], {})
            for key, value in one.items():
                if key != "name":
                    into[key] = into.get(key, 0) + value
    per_class = [{"class": name, **counts} for name, counts in sums.items()]
    return {"class_filter": kind[0], "copy_filter": kind[1], "per_class": per_class}


def interval(several: Sequence[Predictions]) -> tuple[float, float] | None:
    """Of the accuracy, over seeds and lesions."""
    return mean_interval(several, "accuracy").interval


def mean(values: Iterator[float]) -> float | None:
    """Mean of those that are defined."""
    there = [value for value in values if math.isfinite(value)]
    return float(np.mean(there)) if there else None


def number(value: float | None) -> str:
    """For a table."""
    return "-" if value is None else f"{value:.3f}"
