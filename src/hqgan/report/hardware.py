"""The page of `hqgan hardware sample`: the bill, the values, the images of the same latents."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hqgan.evaluation.probes import Estimate, verdict
from hqgan.report.page import COLOURS, GREY, STYLE, Row, write_page
from hqgan.report.probe_figure import absent, draw_examples
from hqgan.workflows.hardware import Hardware, Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "exact": "Exact values, simulated",
    "shots": "A perfect machine, as many shots",
    "noise": "A model of the noise",
    "backend": "The backend",
    "raw": "The device",
    "mitigated": "The device, errors mitigated",
}
POINTS = 20_000  # drawn values of a source


def hardware_page(found: Hardware) -> Path:
    """Write hardware.json, hardware.png and hardware.html beside the results; returns the last.

    Raises:
        RunError: where the folder cannot be written.
    """
    settings = found.settings
    text = (
        f"{settings.n} images of {found.snapshot}, seed {settings.seed}: the circuits of the same "
        "latents by each source, and all else of the generator as it is. Errors are against exact "
        f"values, whose mean absolute value is {found.compared.signal:.3g}; pixels in grey levels "
        "of 255; intervals are 95 %, by bootstrap over latents (kid768: also over lesions)."
    )
    rows = [*bill_rows(found), *(row for one in found.compared.sources for row in source_rows(one))]
    if found.compared.reason:
        rows.append(("kid768", "not measured", found.compared.reason))
    title = f"{settings.n} images by {found.device}"
    return write_page(found.folder, "hardware", title, text, rows, hardware_figure(found), found)


def bill_rows(found: Hardware) -> Iterator[Row]:
    """What the device was asked for, and what it took."""
    for bill in found.bills:
        lines = ", ".join("-".join(map(str, line)) for line in bill["layout"])
        yield (
            f"{bill['backend']}, calibrated {bill['calibrated'] or 'unknown'}",
            f"depth {bill['depth']}, {bill['two_qubit_gates']} two-qubit gates",
            f"circuits side by side: {len(bill['layout'])}; on qubits {lines}",
        )
        yield ("QPU time expected", f"{bill['qpu_seconds']:.3g} s", bill["formula"])
    if found.bills:
        used = found.qpu_seconds
        yield ("QPU time used", "the service did not say" if used is None else f"{used:.3g} s", "")


def source_rows(one: Source) -> Iterator[Row]:
    """The numbers of one source, a sentence each."""
    title = TITLES.get(one.name, one.name)
    yield (
        f"{title} ({one.what}): mean absolute error of a value",
        f"{one.mean_absolute_error:.4g}",
        f"largest {one.largest_error:.3g}"
        + ("" if one.standard_error is None else f"; shots alone {one.standard_error:.3g} (SD)"),
    )
    if one.correlation is not None:
        yield ("The same; correlation with exact values", f"{one.correlation:.5f}", "")
    if one.name != "exact":
        yield ("The same; mean change of a pixel", f"{one.moved} of 255 levels", "")
    if one.distance is not None:
        yield ("The same; kid768 of its images", str(one.distance), "")
    if one.change is not None:
        bound = "" if one.bound is None else f"; at most {one.bound:.3g} either way"
        yield ("The same; change of kid768", str(one.change), verdict(one.change) + bound)


def hardware_figure(found: Hardware) -> "Figure":
    """Values over exact ones, errors, change of kid768, and the images of the same latents."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sources = found.compared.sources
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 3.5 + 0.8 * len(sources)))
        FigureCanvasAgg(figure)
        heights = (3.2, 0.8 * len(sources))
        panels = figure.subplot_mosaic("abc\nddd", height_ratios=heights)
        draw_values(panels["a"], sources, found.values)
        draw_errors(panels["b"], sources)
        draw_changes(panels["c"], sources, found.compared.reason)
        draw_examples(panels["d"], found.compared.examples, [one.name for one in sources])
        figure.draw_without_rendering()
    return figure


def draw_values(axis: "Axes", sources: list[Source], values: dict[str, np.ndarray]) -> None:
    """Each source's values over the exact ones, at most `POINTS` of them."""
    exact = values["exact"].ravel()
    some = np.random.default_rng(0).permutation(exact.size)[:POINTS]
    for one, colour in zip(sources[1:], cycle(COLOURS), strict=False):
        axis.plot(
            exact[some],
            values[one.name].ravel()[some],
            ".",
            markersize=1.5,
            alpha=0.4,
            color=colour,
            label=one.name,
            rasterized=True,
        )
    low, high = exact.min(), exact.max()
    axis.plot([low, high], [low, high], color=GREY, linewidth=0.8)
    axis.set_xlabel("exact value")
    axis.set_ylabel("value")
    axis.set_title("Values of the circuits")
    if len(sources) > 1:
        axis.legend(loc="upper left", markerscale=5)


def draw_errors(axis: "Axes", sources: list[Source]) -> None:
    """Mean absolute error of each source; a ring is what its shots alone would leave."""
    for row, (one, colour) in enumerate(zip(sources[1:], cycle(COLOURS), strict=False)):
        axis.plot(one.mean_absolute_error, row, "o", color=colour)
        if one.standard_error is not None:
            typical = one.standard_error * np.sqrt(2 / np.pi)
            axis.plot(typical, row, "o", color=colour, fillstyle="none")
    label_rows(axis, [one.name for one in sources[1:]])
    axis.set_xlabel("mean absolute error (ring: by shots alone)")
    axis.set_title("Error of a value")


def draw_changes(axis: "Axes", sources: list[Source], reason: str | None) -> None:
    """Change of kid768 by each source, or of pixels where nobody measured that."""
    changes: dict[str, Estimate] = {one.name: one.change for one in sources if one.change}
    if changes:
        axis.set_title("Change of kid768")
        axis.axvline(0, color=GREY, linewidth=0.8)
    else:
        changes = {one.name: one.moved for one in sources[1:]}
        axis.set_title("Change of a pixel, grey levels of 255")
    if not changes:
        absent(axis, reason or "nothing to compare")
        return
    for row, (change, colour) in enumerate(zip(changes.values(), cycle(COLOURS), strict=False)):
        if change.value is not None:
            axis.plot(change.value, row, "o", color=colour)
        if change.interval is not None:
            axis.plot(change.interval, [row, row], color=colour, linewidth=2)
    label_rows(axis, list(changes))


def label_rows(axis: "Axes", names: list[str]) -> None:
    """A name a row, the first on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(left=min(0, axis.get_xlim()[0]))
