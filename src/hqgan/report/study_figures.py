"""The figures of `hqgan study`: comparisons, arms, label fractions, classes, confusions.

Each takes a study in which what is not a number is None, and grows with its arms and classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hqgan.evaluation.classification import LOWER_IS_BETTER
from hqgan.report.page import COLOURS, GREY, ON_PICTURE, STYLE, lay_out
from hqgan.report.study_terms import (
    Place,
    Record,
    arms_of,
    at,
    baseline,
    change,
    factor,
    ideal,
    images_of,
    primary_place,
    probability,
    share,
    title_of,
    wrapped,
)
from hqgan.workflows.study import StudyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.17  # inches of a line of text
MARKERS = "osDv"
PRINTED = 12  # classes up to which there is room for long names and numbers
BLUE, BAND, RULE = COLOURS[0], "#D3E6F3", "#EEEEEE"


def forest_figure(study: StudyResult) -> "Figure":
    """The primary comparisons, and below them the others at their classifier and fraction.

    Each is a row: mean, 95 % interval, seeds; what can be missed is shaded.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    place = primary_place(study)
    here = [one for one in study.comparisons if place_of(one) == place]
    panels = [[one for one in here if one["primary"] is primary] for primary in (True, False)]
    panels = [panel for panel in panels if panel]
    labels = [[label(one) for one in panel] for panel in panels]
    heights = [LINE * bottoms(names)[-1] for names in labels]
    with sheet(10, sum(heights) + 0.4 * len(panels) + 1) as figure:
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
        for axis, panel, names in zip(axes[:, 0], panels, labels, strict=True):
            draw_panel(axis, panel, names)
            where = f"{place[0]}, {share(place[1])} of the training lesions"
            if panel[0]["primary"]:
                axis.set_title(f"Primary, fixed beforehand, tested: {where}", fontweight="bold")
            else:
                title = f"exploratory, no test: against {panel[0]['against']}; {where}"
                axis.set_title(wrapped(title, 100))
            for y, one in zip(axis.get_yticks(), panel, strict=True):
                side = axis.get_yaxis_transform()
                axis.text(1.02, y, remark(one), va="center", transform=side)
        reach = reach_of(here)
        axis.set_xlim(-reach, reach)
        axis.set_xlabel(change_title(study.protocol["primary"]["measure"]))
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=BLUE, marker="o", label="mean over seeds, 95 % interval")
        ]
        if study.protocol["seeds"] > 1:
            handles.append(Line2D([], [], color=BLUE, marker=".", linestyle="", label="one seed"))
        if any(one.get("minimum_detectable_effect") for one in here):
            missed = "± minimum detectable effect: can be missed"
            handles.append(Patch(color=BAND, label=missed))
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def elsewhere_figure(study: StudyResult) -> "Figure":
    """Exploratory comparisons with other classifiers and at other fractions, a panel each."""
    places: dict[Place, list[Record]] = {}
    for one in study.comparisons:
        if place_of(one) != primary_place(study):
            places.setdefault(place_of(one), []).append(one)
    columns = min(3, len(places))
    lines = -(-len(places) // columns)
    names = [wrapped(one["arm"], 34) for one in next(iter(places.values()))]
    with sheet(10, lines * (LINE * bottoms(names)[-1] + 0.7) + 0.4) as figure:
        axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axis, ((classifier, fraction), panel) in zip(axes.flat, places.items(), strict=False):
            draw_panel(axis, panel, names)
            reach = reach_of(panel)
            axis.set_xlim(-reach, reach)
            axis.set_title(wrapped(f"{classifier}, {share(fraction)}", 75 // columns))
        for axis in axes.flat[len(places) :]:
            axis.set_visible(False)
        figure.supxlabel(change_title(study.protocol["primary"]["measure"]), fontsize=9)
    return figure


def change_title(measure: str) -> str:
    """The label of an axis of differences."""
    side = "left" if measure in LOWER_IS_BETTER else "right"
    return f"change of {title_of(measure, 'points')} (desired: {side} of 0)"


def place_of(one: Record) -> Place:
    """Where it was made."""
    return one["classifier"], one["fraction"]


def label(one: Record) -> str:
    """The arm; that it is compared with, where the panel's title does not say it."""
    arm = wrapped(one["arm"], 34)
    return f"{arm}\nagainst {wrapped(one['against'], 26)}" if one["primary"] else arm


def remark(one: Record) -> str:
    """The numbers beside a row."""
    text = wrapped(change(one, one["measure"]), 36)
    if not one["primary"] or one["value"] is None:
        return text
    p = probability(one["p_holm"])
    return f"{text}\n" + ("no test" if one["p_holm"] is None else f"Holm-adjusted p {p}")


def draw_panel(axis: "Axes", panel: Sequence[Record], names: Sequence[str]) -> None:
    """Comparisons in rows, about the line of no difference."""
    for y, one in zip(lay_rows(axis, names), panel, strict=True):
        draw_comparison(axis, y, one)
    axis.axvline(0, color="black", linewidth=0.8)


def draw_comparison(axis: "Axes", y: float, one: Record) -> None:
    """The band behind a difference, and the difference."""
    missed = one.get("minimum_detectable_effect")
    if missed is not None:
        half = factor(one["measure"]) * missed
        axis.barh(y, 2 * half, 2.2, -half, color=BAND, zorder=0.5)
    draw_estimate(axis, y, one, factor(one["measure"]), BLUE if one["primary"] else GREY)


def reach_of(panel: Sequence[Record]) -> float:
    """How far from 0 a picture must go; a band that is far wider may leave it."""
    reach = 0.0
    for one in panel:
        ends = [abs(x) for x in (*one["by_seed"], *(one["interval"] or ())) if x is not None]
        missed = one.get("minimum_detectable_effect") or 0.0
        most = max(ends, default=0.0)
        reach = max(reach, factor(one["measure"]) * max(most, min(missed, 2 * most)))
    return 1.08 * reach or 1.0


def arms_figure(study: StudyResult) -> "Figure":
    """The primary measure of every arm, a panel a classifier, at the primary label fraction."""
    measure, base = study.protocol["primary"]["measure"], baseline(study)
    fraction, classifiers = study.protocol["fractions"][0], study.protocol["classifiers"]
    tested = {arm for pair in study.protocol["primary"]["comparisons"] for arm in pair}
    arms = arms_of(study)
    names = [wrapped(arm, 34) for arm in arms]
    with sheet(3 + 3.5 * max(len(classifiers), 1.8), LINE * bottoms(names)[-1] + 0.9) as figure:
        axes = figure.subplots(1, len(classifiers), sharey=True, squeeze=False)[0]
        for axis, classifier in zip(axes, classifiers, strict=True):
            rows = {row["arm"]: row["measures"] for row in at(study, (classifier, fraction))}
            for y, arm in zip(lay_rows(axis, names), arms, strict=True):
                colour = "black" if arm == base else BLUE if arm in tested else GREY
                draw_estimate(axis, y, rows[arm][measure], factor(measure), colour)
            at_base = rows[base][measure]["value"]
            if at_base is not None:
                axis.axvline(factor(measure) * at_base, color="black", linewidth=0.8, dashes=(1, 2))
            axis.set_title(wrapped(f"{classifier}, {share(fraction)} of the lesions", 44))
            axis.set_xlabel(f"{title_of(measure, '%')} (ideal: {ideal(measure):g})")
    return figure


def fractions_figure(study: StudyResult) -> "Figure":
    """The primary measure over the label fraction, a line an arm, a panel a classifier."""
    measure, base = study.protocol["primary"]["measure"], baseline(study)
    fractions, classifiers = sorted(study.protocol["fractions"]), study.protocol["classifiers"]
    arms, scale = arms_of(study), factor(measure)
    others = [arm for arm in arms if arm != base]
    names = {arm: wrapped(arm, 40) for arm in arms}
    lines = sum(1.4 + name.count("\n") for name in names.values())
    with sheet(3 + 4 * len(classifiers), max(4.0, LINE * lines + 0.6)) as figure:
        axes = figure.subplots(1, len(classifiers), sharey=True, squeeze=False)[0]
        for axis, classifier in zip(axes, classifiers, strict=True):
            for number, arm in enumerate([base, *others]):
                turn, colour = divmod(number - 1, len(COLOURS))
                style: dict[str, Any] = {
                    "color": COLOURS[colour],
                    "marker": MARKERS[turn % len(MARKERS)],
                    "linestyle": ("-", "--", ":", "-.")[turn % 4],
                    "linewidth": 1.2,
                }
                if arm == base:
                    style = {"color": "black", "marker": "o", "linewidth": 2.2, "zorder": 3}
                # Intervals at the same fraction stand side by side.
                x = [f * 1.12 ** (number / len(arms) - 0.5) for f in fractions]
                found = [
                    row["measures"][measure]
                    for fraction in fractions
                    for row in at(study, (classifier, fraction))
                    if row["arm"] == arm
                ]
                y = [np.nan if e["value"] is None else scale * e["value"] for e in found]
                axis.plot(x, y, markersize=4, label=names[arm], **style)
                for place, each in zip(x, found, strict=True):
                    ends = [scale * end for end in each["interval"] or ()]
                    axis.plot([place] * len(ends), ends, color=style["color"], alpha=0.6)
            axis.set_xscale("log")
            axis.minorticks_off()
            axis.set_xticks(fractions, [share(f) for f in fractions])
            axis.set_title(wrapped(classifier, 44))
            axis.set_xlabel("training lesions used")
        axes[0].set_ylabel(f"{title_of(measure, '%')} (ideal: {ideal(measure):g})")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def recall_figure(study: StudyResult) -> "Figure":
    """The change of each class's recall against the baseline, in points, arms in rows."""
    base, (classifier, fraction) = baseline(study), primary_place(study)
    rows = {row["arm"]: row["per_class"] for row in at(study, (classifier, fraction))}
    arms = [arm for arm in rows if arm != base]
    table = 100 * (np.array([recalls(rows[arm]) for arm in arms]) - recalls(rows[base]))
    most = max(1.0, np.max(np.abs(table), where=np.isfinite(table), initial=0.0))
    roomy = len(study.classes) <= PRINTED
    heads = [
        wrapped(one["class"], 12) + "\n" + images_of(one)
        if roomy
        else wrapped(f"{one['class']}, {images_of(one)}", 60)
        for one in rows[base]
    ]
    above = LINE * (1 + max(head.count("\n") for head in heads)) if roomy else 2.0
    width = 0.9 if roomy else 0.5
    with sheet(3.2 + width * len(heads), 0.36 * len(arms) + above + 0.6) as figure:
        axis = figure.subplots()
        axis.set_facecolor("white")
        extremes = {"vmin": -1.2 * most, "vmax": 1.2 * most}
        axis.imshow(table, cmap="RdBu", aspect="auto", interpolation="none", **extremes)
        print_cells(axis, table, "+z.1f", np.abs(table) > 0.8 * most, 8)
        axis.set_yticks(range(len(arms)), [wrapped(arm, 36) for arm in arms], fontsize=8)
        axis.set_xticks(range(len(heads)), heads, fontsize=8, rotation=0 if roomy else 90)
        axis.xaxis.tick_top()
        title = f"Recall, change in points against {base}; {classifier}, {share(fraction)}"
        axis.set_title(wrapped(title, 90), pad=10)
    return figure


def confusion_figure(study: StudyResult) -> "Figure":
    """Confusion matrices of all arms in percent of the true class, summed over seeds.

    Many classes are numbered, and their cells coloured only.
    """
    rows, classes = at(study, primary_place(study)), len(study.classes)
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    size = max(1.9, 0.3 * min(classes, PRINTED))
    step = -(-classes // PRINTED)
    ticks = range(0, classes, step)
    names = [wrapped(study.classes[y], 16) if step == 1 else str(y) for y in ticks]
    titles = [wrapped(row["arm"], int(12 * size)) for row in rows]
    above = LINE * (2 + max(title.count("\n") for title in titles))
    with sheet(columns * (size + 0.2) + 1.5, lines * (size + above) + 1.4) as figure:
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        for number, (axis, row, title) in enumerate(zip(axes, rows, titles, strict=False)):
            counts = np.array(row["confusion"] or np.zeros((classes, classes)), dtype=float)
            total = counts.sum(axis=1, keepdims=True)
            share_of = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
            axis.set_facecolor("white")
            axis.imshow(share_of, cmap="Blues", vmin=0, vmax=1, interpolation="none")
            if classes <= PRINTED:
                print_cells(axis, 100 * share_of, ".0f", share_of > 0.6, 7)
            axis.set_title(title, fontsize=8)
            left, lowest = number % columns == 0, number + columns >= len(rows)
            axis.set_xticks(ticks, names if lowest else [""] * len(ticks), rotation=90)
            axis.set_yticks(ticks, names if left else [""] * len(ticks))
            axis.tick_params(length=0, labelsize=7)
            axis.spines[:].set_visible(False)
        for axis in axes[len(rows) :]:
            axis.set_visible(False)
        figure.supxlabel("predicted class", fontsize=9)
        figure.supylabel("true class", fontsize=9)
    return figure


def recalls(per_class: Sequence[Record]) -> np.ndarray:
    """Of each class (K,), nan where undefined."""
    return np.array([np.nan if one["recall"] is None else one["recall"] for one in per_class])


def print_cells(axis: "Axes", table: np.ndarray, form: str, dark: np.ndarray, size: float) -> None:
    """The numbers of a picture of a table, white where it is dark."""
    for (y, x), value in np.ndenumerate(table):
        axis.text(
            x,
            y,
            "–" if np.isnan(value) else format(value, form),
            ha="center",
            va="center",
            color="white" if dark[y, x] else ON_PICTURE,
            fontsize=size,
        )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def draw_estimate(axis: "Axes", y: float, found: Record, scale: float, colour: str) -> None:
    """Mean and interval, the seeds as dots below them."""
    seeds = [scale * value for value in found["by_seed"] if value is not None]
    if len(seeds) > 1:
        axis.plot(seeds, [y + 0.5] * len(seeds), ".", color=colour, markersize=4, alpha=0.7)
    ends = [scale * end for end in found["interval"] or ()]
    axis.plot(ends, [y] * len(ends), color=colour, linewidth=2)
    if found["value"] is not None:
        axis.plot(scale * found["value"], y, "o", color=colour, markersize=5)


def bottoms(names: Sequence[str]) -> np.ndarray:
    """Where the row of each name ends, in lines of text."""
    return np.cumsum([1.8 + name.count("\n") for name in names])


def lay_rows(axis: "Axes", names: Sequence[str]) -> np.ndarray:
    """Rows as high as their names need; returns their middles."""
    ends = bottoms(names)
    middles = (ends + np.concatenate([[0.0], ends[:-1]])) / 2
    for end in ends[:-1]:
        axis.axhline(end, color=RULE, linewidth=0.8, zorder=0)
    axis.set_yticks(middles, names)
    axis.set_ylim(ends[-1], 0)
    axis.tick_params(axis="y", length=0)
    return middles


@contextmanager
def sheet(width: float, height: float) -> Iterator["Figure"]:
    """A figure of so many inches in the pages' style, laid out when it is left."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure
        lay_out(figure)
