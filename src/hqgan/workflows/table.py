"""From measured cells to one table: a row for each model, nothing in it filled by hand."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hqgan.data import Dataset
from hqgan.errors import RunError
from hqgan.evaluation import load_extractor
from hqgan.evaluation.curves import flattened, images_to_reach, mean_curve, within
from hqgan.evaluation.statistics import mean_over_seeds
from hqgan.foreign import shielded
from hqgan.training.runs import write_atomically
from hqgan.workflows.cell import Cell
from hqgan.workflows.differences import Differences

REFERENCE_MODEL = "hybridq"  # whom all others are subtracted from
RIVAL = "dcgan+kit"  # whose best value is a target for all curves
ENOUGH = 0.99  # of the most images seen; a run ends with the batch that reaches its goal


@dataclass(frozen=True)
class Comparison:
    """The table, the keys of `hqgan compare --json`.

    Attributes:
        settings: what all rows share: data, split, recipe.
        models: a row each (see `row`), in the order asked for.
        sentences: what may be said of each model against `hybridq`.
    """

    settings: dict[str, Any]
    models: list[dict[str, Any]]
    sentences: list[str]

    @property
    def stem(self) -> str:
        """Of its files' names: what is measured on test stands beside what is measured on val."""
        return "comparison-final" if self.settings.get("split") == "test" else "comparison"

    def lines(self) -> Iterator[str]:
        """A short table for people; the files have all of it."""
        recipes = [r for m in self.models for r in m["recipes"] if r["class"] is None]
        kids = [r["recipe"] for r in recipes if r["recipe"].startswith("kid")]
        shown = next(iter(kids or [r["recipe"] for r in recipes]), "")
        yield (
            f"{'model':18} {'G':>11} {'images/s':>9} {'kimg':>6} {shown:>10} {'95 % interval':>23}"
        )
        for model in self.models:
            line = (
                f"{model['model']:18} {model['generator_parameters']:>11,} "
                f"{model['images_per_second'] or 0:>9.1f} {model['images_seen'] / 1000:>6.3g}"
            )
            for one in model["recipes"]:
                if one["recipe"] == shown and one["class"] is None and one["value"] is not None:
                    low_high = "[{:.4g}, {:.4g}]".format(*one["interval"] or (np.nan, np.nan))
                    line += f" {one['value']:>10.4g} {low_high:>23}"
            if model["undertrained"]:
                line += "  undertrained"
            yield line + "".join(f"  stopped: {reason}" for reason in model["stopped"])
        yield from self.sentences

    def save(self, out: Path) -> tuple[Path, Path]:
        """Write OUT/comparison.json and .csv, or comparison-final.*; returns their paths."""
        table, sheet = out / f"{self.stem}.json", out / f"{self.stem}.csv"
        write_atomically(table, (json.dumps(asdict(self), indent=1) + "\n").encode())
        write_atomically(sheet, self.as_csv().encode())
        return table, sheet

    def as_csv(self) -> str:
        """The table without what is nested: a line a model, recipes of all classes as columns."""
        lines = [csv_line(model) for model in self.models]
        columns = list(dict.fromkeys(key for line in lines for key in line))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(shielded(lines))
        return text.getvalue()


def tabulate(
    cells: Sequence[Cell], dataset: Dataset, reference: Dataset, settings: dict[str, Any]
) -> Comparison:
    """Make the table of cells that are all done.

    Raises:
        RunError: one is not.
    """
    records: dict[str, list[dict[str, Any]]] = {}
    by_model: dict[str, list[Cell]] = {}
    for cell in cells:
        record = cell.done()
        if record is None:
            raise RunError(f"{cell.name} is not done; the same command continues")
        records.setdefault(cell.model, []).append(record)
        by_model.setdefault(cell.model, []).append(cell)
    differences = None
    if REFERENCE_MODEL in records:
        extractor = load_extractor(cells[0].weights, cells[0].recipe.extractor)
        features = extractor(reference.images)
        differences = Differences(features, reference, by_model[REFERENCE_MODEL])
    target = best(records.get(RIVAL, []))
    models = []
    sentences = []
    for model, several in records.items():
        line = row(model, several, len(dataset), target)
        if differences is not None and model != REFERENCE_MODEL:
            difference, by_class = differences.of(by_model[model])
            line |= {"difference": asdict(difference), "differences": by_class}
            said = difference.sentence(model, REFERENCE_MODEL)
            mine, theirs = images_seen(several), images_seen(records[REFERENCE_MODEL])
            if difference.interval and min(mine, theirs) < ENOUGH * max(mine, theirs):
                said = f"{said.removesuffix('.')}, after {mine:,.0f} images against {theirs:,.0f}."
            sentences.append(said)
        models.append(line)
    known = {
        "training_images": len(dataset),
        "reference_images": len(reference),
        "classes": list(dataset.classes),
    }
    return Comparison(settings | known, models, sentences)


def row(
    model: str, records: Sequence[dict[str, Any]], images: int, target: float | None
) -> dict[str, Any]:
    """One model's line: means over its seeds, `images` being those of an epoch.

    `images_to_near_best` are the images seen until its curve is within 5 % of its own best,
    `images_to_rival` until it is as good as the best of dcgan+kit (`target`); None is never, or
    that there is no such model in the table. `kimg` is what was asked for, None in a table by time;
    where a training was stopped, `images_seen` is when.
    `undertrained` says that the curve has not flattened, None that it is too short to tell.
    """
    first = records[0]
    kimg = None if first["budget"] else first["kimg"]
    costs: dict[str, Any] = next((r["costs"] for r in records if r["costs"]), {})
    curve = curve_of(records)
    flat = flattened(curve)
    near, rival = within(curve), None
    if target is not None:
        rival = images_to_reach(curve, target)
    seen = images_seen(records)
    return {
        "model": model,
        "seeds": [r["seed"] for r in records],
        "seeds_measured": sum(r["snapshot"] is not None for r in records),
        "generator_parameters": first["generator_parameters"],
        "critic_parameters": first["critic_parameters"],
        **{k: v for k, v in costs.items() if k != "parameters"},
        "images_per_second": mean([r["images_per_second"] for r in records]),
        "sampling_images_per_second": mean([r.get("sampling_images_per_second") for r in records]),
        "kimg": kimg,
        "images_seen": round(seen, 2),
        "measured_images_seen": mean([r.get("measured_images_seen") for r in records]),
        "epochs": round(seen / images, 2),
        "training_seconds": mean([r["training_seconds"] for r in records]),
        "images_to_near_best": whole(near),
        "epochs_to_near_best": round(near / images, 2) if near else None,
        "images_to_rival": whole(rival),
        "epochs_to_rival": round(rival / images, 2) if rival else None,
        "undertrained": None if flat is None else not flat,
        "stopped": [r["stopped"] for r in records if r["stopped"]],
        "recipes": recipes(records),
        "curve": [{"images_seen": seen, "value": value} for seen, value in curve],
        "difference": None,
        "differences": [],
    }


def recipes(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each recipe's mean over seeds.

    Its interval is over seeds where there are two or more (`interval_over`), else that of the one
    seed, over lesions.
    """
    found: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for record in records:
        for one in record["recipes"]:
            found.setdefault((one["recipe"], one["class"]), []).append(one)
    lines = []
    for several in found.values():
        values = [one["value"] for one in several]
        line = dict(several[0])
        if len(values) > 1:
            over = mean_over_seeds([np.nan if v is None else v for v in values])
            line |= {"value": over.value, "interval": over.interval, "by_seed": values}
        line["interval_over"] = "seeds" if len(values) > 1 else "lesions"
        lines.append(line)
    return lines


def curve_of(records: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """(images seen, mean over seeds of the kernel distance)."""
    return mean_curve(
        [[(p["images_seen"], p["value"]) for p in r["curve"] if p["images_seen"]] for r in records]
    )


def images_seen(records: Sequence[dict[str, Any]]) -> float:
    """Mean over seeds."""
    return float(np.mean([r["images_seen"] for r in records]))


def best(records: Sequence[dict[str, Any]]) -> float | None:
    """The lowest point of a model's curve."""
    return min((value for _, value in curve_of(records)), default=None)


def whole(images: float | None) -> int | None:
    """Images are whole."""
    return None if images is None else round(images)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of those that are there."""
    there = [v for v in values if v is not None]
    return round(float(np.mean(there)), 2) if there else None


def csv_line(model: dict[str, Any]) -> dict[str, Any]:
    """One row of the csv."""
    plain = {k: v for k, v in model.items() if not isinstance(v, list | dict) and k != "paper"}
    plain["seeds"] = len(model["seeds"])
    plain["stopped"] = bool(model["stopped"])
    for one in model["recipes"]:
        name = one["recipe"] + (f" {one['class']}" if one["class"] is not None else "")
        plain[name] = one["value"]
        if one["class"] is None:
            low, high = one["interval"] or (None, None)
            plain |= {f"{name} low": low, f"{name} high": high, f"{name} floor": one["floor"]}
    differences = {"difference": model["difference"] or {}}
    differences |= {f"difference {one['class']}": one for one in model["differences"]}
    for name, difference in differences.items():
        low, high = difference.get("interval") or (None, None)
        plain |= {name: difference.get("value"), f"{name} low": low, f"{name} high": high}
    return plain
