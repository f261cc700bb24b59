"""The page of `hqgan compare`: curves, samples and the table, and what may be said of it."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hqgan.data import to_uint8
from hqgan.models import generate, load_snapshot
from hqgan.report.markdown import reproduction
from hqgan.report.page import COLOURS, GREY, STYLE, as_png, html_page, inline, writing_to
from hqgan.report.statements import (
    CLASS_DIFFERENCES,
    NOTHING,
    difference_mark,
    marks,
    overall,
    shared_remarks,
    to_rival,
)
from hqgan.workflows.compare import Plan
from hqgan.workflows.table import REFERENCE_MODEL, RIVAL, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_CLASS = 3  # images of each class in a row of samples
GAP = 4  # pixels between classes and rows
MARKERS = "os^vD<>pPX*h"
BLUE, ORANGE, GREEN = COLOURS[:3]

# Heading, and how a row of the table fills the column.
COLUMNS = (
    ("model", "model"),
    ("G", "generator_parameters"),
    ("stored besides", "buffers"),
    ("critic", "critic_parameters"),
    ("MAC / image", "macs_per_image"),
    ("circuits / image", "circuits_per_image"),
    ("two-qubit gates / image", "two_qubit_gates_per_image"),
    ("amplitude updates / image", "simulation_work"),
    ("training images/s", "images_per_second"),
    ("sampling images/s", "sampling_images_per_second"),
    ("images seen", "images_seen"),
    ("epochs", "epochs"),
    ("images to 5 % of own best", "images_to_near_best"),
)


def comparison_page(table: Comparison, chosen: Plan, out: Path) -> list[Path]:
    """Write comparison.json, .csv and .html, curves.png and samples.png into `out`; returns them.

    On test they are comparison-final.*, and the two pictures, which are those of val, are in the
    page alone. A named table (see `hqgan.tables`) is written as NAME.md or NAME-final.md as well.

    Raises:
        RunError: where the folder cannot be written.
    """
    with writing_to(out):
        files = list(table.save(out))
        curves, samples = as_png(curve_figure(table)), as_png(sample_figure(chosen))
        if chosen.before is None:
            for name, picture in (("curves.png", curves), ("samples.png", samples)):
                (out / name).write_bytes(picture)
                files.append(out / name)
        if "table" in table.settings:
            name = table.settings["table"]["name"]
            files.append(out / f"{name}{table.stem.removeprefix('comparison')}.md")
            files[-1].write_text(reproduction(asdict(table)), encoding="utf-8")
        body = "\n".join(
            [
                f"<p>{escape(preface(table, chosen))}</p>",
                html_table(table),
                "<h2>Differences to hybridq</h2>" if table.sentences else "",
                *(f"<p>{escape(sentence)}</p>" for sentence in table.sentences),
                "<h2>Kernel distance over images seen</h2>",
                inline(curves, "kernel distance of every model over images seen"),
                "<h2>Samples</h2>",
                inline(samples, "samples, a row a model, a column a class"),
                "<h2>Each class</h2>",
                html_classes(table),
                html_differences(table),
            ]
        )
        files.append(out / f"{table.stem}.html")
        files[-1].write_text(html_page("Models compared", body), encoding="utf-8")
    return files


def preface(table: Comparison, chosen: Plan) -> str:
    """What all rows share, in words."""
    s = table.settings
    flattered = ", and choices made on this split flatter the model they were made for"
    return (
        f"{len(chosen.dataset):,} training images of {len(chosen.dataset.classes)} classes at "
        f"{s['size']} px; {s['n']} generated images of each model, in the class mix of the "
        f"{s['split']} split ({len(chosen.reference):,} images), {s['extractor']}; curves with "
        f"{s['curve_n']}. Compared at equal {s['by']}; runs made elsewhere are taken as they are, "
        "and rows of fewer images say so. The floor is the same measure of real training images. "
        "A number without an interval of the difference does not say which model is better"
        f"{'' if 'test_opened' in s else flattered}. "
        f"{' '.join(shared_remarks(asdict(table), recipes_shown(table)))}"
    )


def html_table(table: Comparison) -> str:
    """A row a model: costs, clock, and every recipe over all classes."""
    recipes, comparison = recipes_shown(table), asdict(table)
    heads = [*(head for head, _ in COLUMNS), *recipes, f"images to {RIVAL}'s best", "remarks"]
    floors = {r["recipe"]: r["floor"] for m in table.models for r in overall(m)}
    lines = [[""] * len(heads)]
    lines[0][0] = "floor (real images)"
    for i, recipe in enumerate(recipes):
        lines[0][len(COLUMNS) + i] = number(floors[recipe])
    for model in table.models:
        found = {r["recipe"]: r for r in overall(model)}
        values = [with_interval(found.get(recipe)) for recipe in recipes]
        line = [*(number(model.get(key)) for _, key in COLUMNS), *values]
        said = "; ".join([*marks(comparison, model), *model["stopped"]])
        lines.append([*line, to_rival(comparison, model), said])
    return rows(heads, lines)


def recipes_shown(table: Comparison) -> list[str]:
    """Every recipe over all classes that a row has."""
    return list(dict.fromkeys(r["recipe"] for m in table.models for r in overall(m)))


def html_classes(table: Comparison) -> str:
    """A row a model, a column a class: the kernel distance of each class by itself."""
    names = list(
        dict.fromkeys(
            (r["recipe"], r["class"]) for m in table.models for r in m["recipes"] if r["class"]
        )
    )
    lines = []
    for model in table.models:
        found = {(r["recipe"], r["class"]): r for r in model["recipes"] if r["class"]}
        cells = (with_interval(found.get(name)) for name in names)
        lines.append([model["model"], *cells])
    heads = [f"{recipe} {name}" for recipe, name in names]
    return rows(["model", *heads], lines) if names else "<p>not defined here</p>"


def html_differences(table: Comparison) -> str:
    """A row a model, a column a class that is large enough: kid minus that of hybridq."""
    names = list(dict.fromkeys(d["class"] for m in table.models for d in m["differences"]))
    if not names:
        return ""
    lines = []
    for model in table.models:
        found = {d["class"]: d for d in model["differences"]}
        if found:
            lines.append([model["model"], *(with_interval(found.get(name)) for name in names)])
    said = (
        f"Kernel distance minus that of {REFERENCE_MODEL} within a class, negative where it is "
        f"lower, {CLASS_DIFFERENCES}"
    )
    return f"<p>{said}.</p>\n" + rows(["model", *names], lines)


def rows(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """An HTML table of plain texts."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def number(value: Any) -> str:
    """A number as people read it."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def with_interval(recipe: dict[str, Any] | None) -> str:
    """Value and interval, or why there is none."""
    if recipe is None:
        return NOTHING
    if recipe["value"] is None:
        return recipe.get("reason") or recipe.get("note") or NOTHING
    interval = recipe["interval"]
    text = f"{recipe['value']:.4g}"
    text += f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
    return text + difference_mark(recipe)


def curve_figure(table: Comparison) -> "Figure":
    """The kernel distance of every model over images seen, logarithmic."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(11, 6))
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        drawn = [m for m in table.models if m["curve"]]
        for i, model in enumerate(sorted(drawn, key=lambda m: m["curve"][-1]["value"])):
            draw_curve(axis, model, MARKERS[i % len(MARKERS)])
        floors = [r["floor"] for m in drawn for r in overall(m) if r["recipe"].startswith("kid")]
        lowest = min((p["value"] for m in drawn for p in m["curve"]), default=0)
        floor = next((floor for floor in floors if floor is not None), None)
        if floor is not None and floor > lowest / 10:  # one far below would squeeze the curves
            axis.axhline(floor, color=GREY, linestyle=":", label="floor")
        elif floor is not None:
            axis.set_title(f"floor {floor:.2g}, below the picture")
        axis.set_xscale("log")
        if lowest > 0:
            axis.set_yscale("log")
        axis.set_xlabel("real images seen")
        axis.set_ylabel("kernel distance (lower is better)")
        if drawn:
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        figure.draw_without_rendering()
    return figure


def draw_curve(axis: "Axes", model: dict[str, Any], marker: str) -> None:
    """One model: colour by kind, dashes for the kit."""
    name = model["model"]
    if name == REFERENCE_MODEL:
        colour = "black"
    elif name.startswith("twin-"):
        colour = BLUE
    else:
        colour = GREEN if model.get("circuits_per_image") else ORANGE
    axis.plot(
        [p["images_seen"] for p in model["curve"]],
        [p["value"] for p in model["curve"]],
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=2.5 if name == REFERENCE_MODEL else 1,
        linestyle="--" if name.endswith("+kit") else "-",
        label=name,
    )


def sample_figure(chosen: Plan) -> "Figure":
    """A row for each model's first run, the same latents' images of every class side by side."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = {cell.model: cell for cell in reversed(chosen.cells)}
    models = dict.fromkeys(cell.model for cell in chosen.cells)
    strips = {"real": strip(real_images(chosen))}
    for model in models:
        record = first[model].done()
        if record and record["snapshot"]:
            generator, _ = load_snapshot(first[model].run / record["snapshot"])
            labels = [y for y in range(len(chosen.dataset.classes)) for _ in range(PER_CLASS)]
            images = np.concatenate([to_uint8(x) for x in generate(generator, labels, seed=0)])
            strips[model] = strip(images)
    sheet = np.concatenate(list(strips.values()))
    height, width = sheet.shape[:2]
    step = height / len(strips)
    column = width / len(chosen.dataset.classes)
    scale = 1.6 / 100  # inches a pixel
    with rc_context(STYLE):
        figure = Figure(figsize=(scale * width + 1.5, scale * height + 0.5))
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        axis.imshow(sheet, interpolation="nearest")
        axis.set_yticks([(i + 0.5) * step for i in range(len(strips))], list(strips))
        axis.set_xticks(
            [(i + 0.5) * column for i in range(len(chosen.dataset.classes))],
            chosen.dataset.classes,
        )
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        figure.draw_without_rendering()
    return figure


def real_images(chosen: Plan) -> np.ndarray:
    """The first training images of each class, white where a class has fewer."""
    size = chosen.dataset.images.shape[1]
    shown = np.full((len(chosen.dataset.classes) * PER_CLASS, size, size, 3), 255, np.uint8)
    for y in range(len(chosen.dataset.classes)):
        found = chosen.dataset.images[chosen.dataset.labels == y][:PER_CLASS]
        shown[y * PER_CLASS : y * PER_CLASS + len(found)] = found
    return shown


def strip(images: np.ndarray) -> np.ndarray:
    """Images (K x PER_CLASS, S, S, 3) in a row with white gaps: (S + gap, width, 3)."""
    size = images.shape[1]
    gap = np.full((size, GAP, 3), 255, np.uint8)
    pieces = []
    for start in range(0, len(images), PER_CLASS):
        pieces += [*images[start : start + PER_CLASS], gap]
    line = np.concatenate(pieces, axis=1)
    return np.concatenate([line, np.full((GAP, line.shape[1], 3), 255, np.uint8)])
