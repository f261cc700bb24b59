"""The figures of `hqgan compare`: curves of all models, and samples of each."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hqgan.data import to_uint8
from hqgan.foreign import in_figure
from hqgan.models import generate, load_snapshot, snapshot_in
from hqgan.report.page import COLOURS, GREY, STYLE, lay_out
from hqgan.report.statements import overall
from hqgan.workflows.compare import Plan
from hqgan.workflows.table import REFERENCE_MODEL, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_CLASS = 3  # images of each class in a row of samples
GAP = 4  # pixels between classes and rows
MARKERS = "os^vD<>pPX*h"
BLUE, ORANGE, GREEN = COLOURS[:3]


def curve_figure(table: Comparison) -> "Figure":
    """The kernel distance of every model over images seen, logarithmic."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.8))
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
        lay_out(figure)
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
        label=in_figure(name),
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
            generator, _ = load_snapshot(snapshot_in(first[model].run, record["snapshot"]))
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
        axis.set_yticks(
            [(i + 0.5) * step for i in range(len(strips))], list(map(in_figure, strips))
        )
        axis.set_xticks(
            [(i + 0.5) * column for i in range(len(chosen.dataset.classes))],
            list(map(in_figure, chosen.dataset.classes)),
        )
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        lay_out(figure)
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
