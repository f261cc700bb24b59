"""The curves of a training, from metrics.jsonl: whatever was logged, a small chart each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hqgan.evaluation.records import is_plain
from hqgan.foreign import in_figure
from hqgan.report.page import COLOURS, DASHES, MARKS, small_figure
from hqgan.report.pieces import chart, charts, missing, paragraph
from hqgan.training.runs import LOSSES, METRICS, read_records

CLOCK = ("images_seen", "images_generated", "seconds")  # what is not a curve
FEW = 40  # points that are marked one by one
# Title of a chart, and the curves in it; all other numbers have a chart of their own.
TOGETHER = {
    "losses": tuple(LOSSES),
    "critic's logits": ("real_logit", "fake_logit"),
}
MEANINGS = {
    "diversity": "diversity (1: as real images)",
    "images_per_second": "training images/s",
}


def training_curves(run: Path, again: str) -> list[str]:
    """Charts of all numbers in metrics.jsonl, or what would make one; `again` continues the run."""
    file = run / METRICS
    if not file.is_file():
        return [missing("There is no metrics.jsonl, which a run of 1,000 images begins.", again)]
    lines = sum(1 for line in file.read_bytes().splitlines() if line.strip())
    records = list(read_records(file))
    said = []
    if len(records) < lines:
        said.append(
            paragraph(
                f"{METRICS} is damaged: {len(records)} of {lines} lines can be read, and the "
                "curves end there.",
                "missing",
            )
        )
    curves = curves_of(records)
    if not curves:
        return [*said, missing("No number was logged yet.", again)]
    return [*said, charts([drawn(title, curves[title]) for title in curves])]


Curve = list[tuple[float, float]]  # images seen, value


def curves_of(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Title of each chart to its curves by name; what is no plain number is left out."""
    found: dict[str, Curve] = {}
    for record in records:
        for name, value in record.items():
            if name not in CLOCK and is_plain(value):
                found.setdefault(name, []).append((record["images_seen"], value))
    places = {name: title for title, names in TOGETHER.items() for name in names}
    panels: dict[str, dict[str, Curve]] = {title: {} for title in TOGETHER}
    for name, curve in found.items():
        plain = name.replace("_", " ")
        panels.setdefault(places.get(name) or MEANINGS.get(name, plain), {})[plain] = curve
    return {title: curves for title, curves in panels.items() if curves}


def drawn(title: str, curves: Mapping[str, Curve]) -> str:
    """One chart."""
    with small_figure() as (figure, axis):
        for index, (name, curve) in enumerate(curves.items()):
            style = index % len(COLOURS)
            axis.plot(
                [seen / 1000 for seen, _ in curve],
                [value for _, value in curve],
                color=COLOURS[style],
                linestyle=DASHES[style],
                marker=MARKS[style] if len(curve) <= FEW else None,
                markersize=4,
                label=in_figure(name),
            )
        axis.set_title(title)
        axis.set_xlabel("thousand images seen")
        if len(curves) > 1:
            axis.legend()
    return chart(figure, f"{title} over images seen", in_words(title, curves))


def in_words(title: str, curves: Mapping[str, Curve]) -> str:
    """From where to where each curve goes."""
    told = []
    for name, curve in curves.items():
        (first, begin), (last, end) = curve[0], curve[-1]
        told.append(
            f"{name}: {begin:.3g} after {first:,.0f} images"
            + (f", {end:.3g} after {last:,.0f}" if len(curve) > 1 else "")
        )
    return f"{title} over images seen. {'; '.join(told)}."
