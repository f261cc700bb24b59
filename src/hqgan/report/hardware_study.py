"""The page of `hqgan hardware study`: quality over noise, over shots, under mitigation."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from hqgan.evaluation.probes import Estimate, verdict
from hqgan.report.page import COLOURS, GREY, STYLE, Row, write_page
from hqgan.workflows.hardware import NoiseStudy, Source
from hqgan.workflows.hardware.study import (
    MITIGATED_SHOTS,
    MITIGATIONS,
    SHOTS,
    STRENGTHS,
    Studied,
    mitigation,
    shots,
    strength,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "noise-study"


def hardware_study_page(found: NoiseStudy, folder: Path) -> Path:
    """Write folder/noise-study.json, .png and .html; returns the last.

    Raises:
        RunError: where the folder cannot be written.
    """
    text = (
        f"The same {found.n} latents (seed {found.seed}) under the noise of {found.device}, "
        "simulated: its strength times 0.5 to 4 without shot noise; at its own strength with a "
        f"finite number of shots; and {MITIGATED_SHOTS} shots with errors mitigated (trex: ideal "
        "read-out; zne: two-qubit gates run 1, 3 and 5 times, three times the shots). Errors are "
        "against exact values; intervals are 95 %, by bootstrap, paired where it is a change. Each "
        "interval stands for itself; none is corrected for their number."
    )
    rows = [row for one in found.runs for row in run_rows(one)]
    for run, changes in found.differences.items():
        rows += [
            (f"kid768 of {run} less that of the first run, {name}", str(change), lesser(change))
            for name, change in changes.items()
        ]
    for one in found.runs[:1]:
        if one.compared.reason:
            rows.append(("kid768", "not measured", one.compared.reason))
    title = f"What the noise of {found.device} does"
    return write_page(folder, NAME, title, text, rows, study_figure(found), found)


def run_rows(one: Studied) -> Iterator[Row]:
    """A row a condition."""
    for source in one.compared.sources:
        correlation = "" if source.correlation is None else f", r {source.correlation:.4f}"
        error = f"error {source.mean_absolute_error:.4g}{correlation}"
        moved = f"pixels {source.moved} of 255"
        measured = "" if source.distance is None else f"kid768 {source.distance}; "
        changed = (
            ""
            if source.change is None
            else f"; kid768 changes by {source.change}: {verdict(source.change)}"
        )
        yield (f"{one.run} ({one.preset}), {source.name}", f"{measured}{error}", moved + changed)


def lesser(change: Estimate) -> str:
    """What a difference between two runs allows to say."""
    if not change.excludes_zero:
        return "the interval holds 0 or there is none: no difference is shown"
    assert change.interval is not None
    return "further from real images" if change.interval[0] > 0 else "nearer to real images"


def study_figure(found: NoiseStudy) -> "Figure":
    """Three panels of quality, three of the error of a value; a colour a run."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    judged = found.runs[0].compared.sources[0].distance is not None
    columns = (
        ("noise, times the device's", (0.0, *STRENGTHS), strength, False),
        ("shots", SHOTS, shots, True),
        (f"mitigation, {MITIGATED_SHOTS} shots", MITIGATIONS, mitigation, False),
    )
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 7))
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 3, sharey="row")
        for column, (title, places, name, logarithmic) in enumerate(columns):
            names = [name(place) for place in places]  # type: ignore[operator]
            at = list(range(len(places))) if isinstance(places[0], str) else list(places)
            for row, (measure, label) in enumerate(measures(judged)):
                axis = axes[row, column]
                draw(axis, found.runs, at, names, measure)
                axis.set_xlabel(title)
                if logarithmic:
                    axis.set_xscale("log", base=2)
                if isinstance(places[0], str):
                    axis.set_xticks(at, list(map(str, places)))
                if not column:
                    axis.set_ylabel(label)
        axes[0, 0].legend()
        figure.draw_without_rendering()
    return figure


def measures(judged: bool) -> tuple[tuple[Callable[[Source], Estimate | None], str], ...]:
    """What the two rows of panels show."""
    first = (
        (lambda one: one.distance, "kid768")
        if judged
        else (lambda one: one.moved, "change of a pixel, of 255")
    )
    return first, (lambda one: Estimate(one.mean_absolute_error, None, 0), "error of a value")


def draw(
    axis: "Axes",
    runs: Sequence[Studied],
    at: Sequence[float],
    names: Sequence[str],
    measure: Callable[[Source], Estimate | None],
) -> None:
    """A line a run with its intervals, and dashed what it is with exact values."""
    width = (max(at) - min(at)) * 0.004
    for index, (one, colour) in enumerate(zip(runs, cycle(COLOURS), strict=False)):
        estimates = [measure(one.at(name)) for name in names]
        values = [None if e is None else e.value for e in estimates]
        places = [x + width * index for x in at]
        axis.plot(places, values, "o-", color=colour, markersize=4, label=f"{one.run}")
        for x, estimate in zip(places, estimates, strict=True):
            if estimate is not None and estimate.interval is not None:
                axis.plot([x, x], estimate.interval, color=colour, linewidth=1.2)
        exact = measure(one.compared.sources[0])
        if exact is not None and exact.value is not None:
            axis.axhline(exact.value, color=colour, linewidth=0.8, linestyle="--", alpha=0.6)
    axis.grid(axis="y", color=GREY, alpha=0.2)
