"""What was measured of a run, from evaluation.jsonl: newest numbers, each beside its floor."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hqgan.evaluation.records import parsed, read_records
from hqgan.evaluation.run import RECORDS
from hqgan.foreign import in_figure
from hqgan.pretrained import METRICS
from hqgan.reading import read_json
from hqgan.report.page import COLOURS, GREY, small_figure
from hqgan.report.pieces import chart, details, missing, paragraph, table
from hqgan.report.statements import NOT_FID, NOTHING

Record = Mapping[str, Any]

DECADE = 10
HEADS = ("recipe", "value [95 %]", "floor", "real images", "generated", "remark")


def measurements(run: Path, snapshot: str | None, again: str) -> list[str]:
    """Tables and curve; or what would make them, `again` being the command that measures."""
    records, damaged = read_measurements(run)
    said = []
    if damaged:
        lines = "1 line" if damaged == 1 else f"{damaged} lines"
        said.append(
            paragraph(f"{lines} of {RECORDS} cannot be read, and left out here.", "missing")
        )
    newest = latest(record for record in records if not record.get("curve"))
    current = [one for one in newest if snapshot in (None, one["snapshot"])]
    if not current:
        more = f" of {snapshot}" if newest else ""
        said.append(missing(f"Nothing was measured{more} beside its floor yet.", again))
    for (name, split), own in by_place(current).items():
        said += tables_of(f"{name} on {split}", own)
    older = by_place([one for one in newest if one not in current])
    for (name, split), own in older.items():
        inside = "\n".join(tables_of(f"{name} on {split}", own))
        said.append(details(f"{name} on {split}, measured before", inside))
    curve = kid_curve(records, newest)
    said.append(curve or missing("No curve over images was measured.", f"{again} --curve"))
    return said


def read_measurements(run: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of evaluation.jsonl (of a packaged generator those of metrics.json), and how many
    cannot be read."""
    if not (run / METRICS).is_file():
        return read_records(run / RECORDS)
    try:
        texts = [json.dumps(one) for one in read_json(run / METRICS)["recipes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [], 1
    return parsed(texts)


def latest(records: Any) -> list[Record]:
    """Of measurements of the same by the same network the last one."""
    found: dict[tuple[Any, ...], Record] = {}
    for one in records:
        key = tuple(one[k] for k in ("snapshot", "split", "recipe", "class", "extractor"))
        found.pop(key, None)
        found[key] = one
    return list(found.values())


def by_place(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by snapshot and split, the newest snapshot first."""
    found: dict[tuple[str, str], list[Record]] = {}
    for one in sorted(records, key=lambda one: -one["images_seen"]):
        found.setdefault((one["snapshot"], one["split"]), []).append(one)
    return found


def tables_of(where: str, records: Sequence[Record]) -> list[str]:
    """All classes together, then each by itself."""
    overall = [one for one in records if one["class"] is None]
    recipes = list(dict.fromkeys(one["recipe"] for one in records if one["class"] is not None))
    classes = list(dict.fromkeys(one["class"] for one in records if one["class"] is not None))
    extractors = ", ".join(dict.fromkeys(str(one["extractor"]) for one in records))
    seeds = ", ".join(dict.fromkeys(str(one["seed"]) for one in records))
    said = (
        f"By {extractors}; seed {seeds}. The floor is the same measure of real training images "
        "against the same real images: what a perfect generator would score."
    )
    if any(one["recipe"] == "fid768" for one in overall):
        said += f" {NOT_FID}"
    parts = [paragraph(said)]
    if overall:
        parts.append(table(f"{where}, all classes", HEADS, [line(one) for one in overall]))
    if classes:
        found = {(one["class"], one["recipe"]): one for one in records}
        lines = [
            [str(name), *(cell(found.get((name, recipe))) for recipe in recipes)]
            for name in classes
        ]
        inside = table(f"{where}, each class: value [95 %], floor", ["class", *recipes], lines)
        parts.append(details(f"Each class ({len(classes)})", inside, shown=len(classes) <= 12))
    return parts


def line(one: Record) -> list[str]:
    """A recipe as a row."""
    return [
        str(one["recipe"]),
        value_of(one),
        NOTHING if one["floor"] is None else f"{one['floor']:.4g}",
        f"{one['n_real']:,}",
        f"{one['n_fake']:,}",
        str(one["reason"] or ""),
    ]


def value_of(one: Record) -> str:
    """Value and interval; a dash where it is not defined."""
    if one["value"] is None:
        return NOTHING
    ends = one["interval"]
    return f"{one['value']:.4g}" + ("" if not ends else f" [{ends[0]:.4g}, {ends[1]:.4g}]")


def cell(one: Record | None) -> str:
    """Value, interval and floor of one class, or why there is none."""
    if one is None:
        return NOTHING
    if one["value"] is None:
        return str(one["reason"] or NOTHING)
    floor = "" if one["floor"] is None else f", floor {one['floor']:.3g}"
    return value_of(one) + floor


def wide(values: Sequence[float]) -> bool:
    """Whether they want a logarithmic scale."""
    return min(values) > 0 and max(values) > DECADE * min(values)


def kid_curve(records: Sequence[Record], newest: Sequence[Record]) -> str:
    """The kernel distance over images seen with its intervals; nothing without points."""
    points = [
        one
        for one in latest(record for record in records if record.get("curve"))
        if one["recipe"].startswith("kid") and one["class"] is None and one["value"] is not None
    ]
    if not points:
        return ""
    recipe = points[-1]["recipe"]
    points = [one for one in points if one["recipe"] == recipe]
    points.sort(key=lambda one: one["images_seen"])
    floors = [one["floor"] for one in newest if one["recipe"] == recipe and one["class"] is None]
    floor = next((value for value in floors if value is not None), None)
    lowest = min(one["value"] for one in points)
    near = floor is not None and floor > lowest / 10  # a floor far below would squeeze the curve
    with small_figure(6.5, 3.2) as (figure, axis):
        seen = [one["images_seen"] / 1000 for one in points]
        axis.plot(
            seen, [one["value"] for one in points], "o-", color=COLOURS[0], label=in_figure(recipe)
        )
        for place, one in zip(seen, points, strict=True):
            if one["interval"]:
                axis.plot([place, place], one["interval"], color=COLOURS[0], linewidth=1.2)
        if near:
            axis.axhline(floor, color=GREY, linestyle=":", label="floor")
        if wide(seen):
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
        if wide([one["value"] for one in points]):
            axis.set_yscale("log")
        axis.set_xlabel("thousand images seen")
        axis.set_ylabel(in_figure(f"{recipe} (lower is better)"))
        if near:
            axis.legend()
    told = ", ".join(f"{value_of(one)} after {one['images_seen']:,}" for one in points)
    below = "" if floor is None else f" The floor is {floor:.2g}."
    small = min(one["n_fake"] for one in points)
    return chart(
        figure,
        f"{recipe} over images seen",
        f"{recipe} over images seen, 95 % intervals: {told}.{below}",
        f"{recipe} of every snapshot, {small:,} generated images each, 95 % intervals.{below}",
    )
