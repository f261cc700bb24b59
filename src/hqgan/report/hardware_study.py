"""The page of `hqgan hardware study`: quality over noise, over shots, under mitigation."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hqgan.evaluation.probes import Estimate, verdict
from hqgan.foreign import in_figure
from hqgan.pretrained import pretrained_names
from hqgan.report.page import (
    COLOURS,
    DASHES,
    GREY,
    MARKS,
    STYLE,
    Row,
    html_page,
    lay_out,
    said,
    save_page,
    small_figure,
)
from hqgan.report.pieces import chart, charts, paragraph, section, table
from hqgan.report.probe_figure import told
from hqgan.report.provenance import provenance, shell, versions_of
from hqgan.report.stored import read_noise_study
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

LONGEST_NAME = 20  # characters of a run in a legend
NAME = "noise-study"


def hardware_study_page(found: NoiseStudy, folder: Path) -> Path:
    """Write folder/noise-study.json, .png and .html; returns the last.

    Raises:
        RunError: where the folder cannot be written.
    """
    return save_page(folder, NAME, found, study_figure(found), hardware_study_html)


def hardware_study_html(folder: Path) -> str:
    """The page of what `hardware_study_page` left in a folder.

    Raises:
        RunError: it is not there, or damaged.
    """
    found = read_noise_study(folder)
    rows = [row for one in found.runs for row in run_rows(one)]
    differences = [
        (f"kid768 of {run} less that of the first run, {name}", str(change), lesser(change))
        for run, changes in found.differences.items()
        for name, change in changes.items()
    ]
    reasons = [one.compared.reason for one in found.runs[:1] if one.compared.reason]
    drawn = [
        chart(figure, f"{label} over {column.title}", words(found, column, measure, label))
        for measure, label in measures(judged(found))
        for column in columns()
        for figure in [study_chart(found, column, measure, label)]
    ]
    heads = ("condition", "value", "images")
    paths = [Path(one.run) for one in found.runs]
    conditions = sum(len(one.compared.sources) for one in found.runs)
    packaged = dict.fromkeys(pretrained_names(), "--pretrained")
    body = "\n".join(
        [
            section("Charts", charts(drawn)),
            section(
                "Numbers",
                *(paragraph(f"kid768 is not measured: {why}.") for why in reasons),
                table("A row a run and condition", heads, said(rows)),
                table("Runs against the first", ("what", "difference", "what it says"), differences)
                if differences
                else "",
            ),
            provenance(
                [
                    ("images generated", f"{found.n * conditions:,}"),
                    ("QPU time", "none: simulated"),
                ],
                [
                    (
                        "The study, as it was made:",
                        shell(
                            *("hqgan", "hardware", "study"),
                            packaged.get(found.runs[0].run),
                            found.runs[0].run,
                            *(("--against", one.run) for one in found.runs[1:]),
                            *("--backend", f"noise:{found.device}", "--n", found.n),
                            *("--seed", found.seed, "--out", folder),
                        ),
                    )
                ],
                versions_of([*paths, *(path.parent for path in paths)]),
            ),
        ]
    )
    return html_page(f"What the noise of {found.device} does", body, how(found))


def how(found: NoiseStudy) -> str:
    """What was varied."""
    return (
        f"The same {found.n} latents (seed {found.seed}) under the noise of {found.device}, "
        "simulated: its strength times 0.5 to 4 without shot noise; at its own strength with a "
        f"finite number of shots; and {MITIGATED_SHOTS} shots with errors mitigated (trex: ideal "
        "read-out; zne: two-qubit gates run 1, 3 and 5 times, three times the shots). Errors are "
        "against exact values; intervals are 95 %, by bootstrap, paired where it is a change. Each "
        "interval stands for itself; none is corrected for their number."
    )


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
    """A column for each thing that is varied, a row a measure, a colour a run."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(measures(judged(found)))
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 3 * len(rows) + 0.5))
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(rows), 3, sharey="row")
        for row, (measure, label) in enumerate(rows):
            axes[row, 0].set_ylabel(label)
            for axis, column in zip(axes[row], columns(), strict=True):
                draw(axis, found.runs, column, measure)
        for axis, column in zip(axes[-1], columns(), strict=True):
            axis.set_xlabel(column.title)
        axes[0, 0].legend()
        lay_out(figure)
    return figure


def study_chart(found: NoiseStudy, column: "Column", measure: "Measure", label: str) -> "Figure":
    """One of these panels by itself."""
    with small_figure() as (figure, axis):
        draw(axis, found.runs, column, measure)
        axis.set_ylabel(label)
        axis.set_xlabel(column.title)
        axis.tick_params(axis="x", labelsize=8)
        if len(found.runs) > 1:
            axis.legend()
    return figure


def words(found: NoiseStudy, column: "Column", measure: "Measure", label: str) -> str:
    """What a panel shows."""
    numbers = {}
    for one in found.runs:
        estimates = [measure(one.at(name)) for name in column.names]
        numbers[one.run] = {
            place: estimate
            for place, estimate in zip(column.labels, estimates, strict=True)
            if estimate is not None
        }
    return f"{label} over {column.title}. {told(numbers)}"


def judged(found: NoiseStudy) -> bool:
    """Whether kid768 was measured."""
    return found.runs[0].compared.sources[0].distance is not None


class Column(NamedTuple):
    """What is varied: where its conditions stand, what is written there, and their names."""

    title: str
    places: list[float]
    labels: list[str]
    names: list[str]


def columns() -> list[Column]:
    """Noise, shots, mitigation."""
    factors = [0.0, *STRENGTHS]
    return [
        Column(
            "noise, times the device's",
            factors,
            [f"{factor:g}" for factor in factors],
            [strength(factor) for factor in factors],
        ),
        Column(
            "shots, at the device's noise",
            [math.log2(number) for number in SHOTS],
            [f"{number:,}" for number in SHOTS],
            [shots(number) for number in SHOTS],
        ),
        Column(
            f"mitigation, {MITIGATED_SHOTS:,} shots at the device's noise",
            [float(place) for place in range(len(MITIGATIONS))],
            list(MITIGATIONS),
            [mitigation(methods) for methods in MITIGATIONS],
        ),
    ]


Measure = Callable[[Source], Estimate | None]


def measures(judged: bool) -> Iterator[tuple[Measure, str]]:
    """What the rows of panels show."""
    if judged:
        yield lambda one: one.distance, "kid768"
        yield lambda one: one.change or ZERO, "change of kid768, paired"
    else:
        yield lambda one: one.moved, "change of a pixel, of 255"
    yield lambda one: Estimate(one.mean_absolute_error, None, 0), "error of a value"


ZERO = Estimate(0.0, None, 0)  # what exact values change


def legend_name(one: Studied, runs: Sequence[Studied]) -> str:
    """The folder of a run, which is told from others of that name by its number; never long.

    A legend with a whole path in it would leave no room for the curves.
    """
    name = Path(one.run).name
    name = (
        in_figure(name) if len(name) <= LONGEST_NAME else in_figure(f"{name[: LONGEST_NAME - 1]}…")
    )
    alike = [other for other in runs if Path(other.run).name == Path(one.run).name]
    return name if len(alike) == 1 else f"{name} ({runs.index(one) + 1})"


def draw(axis: "Axes", runs: Sequence[Studied], column: Column, measure: Measure) -> None:
    """A line a run with its intervals, and dashed what it is with exact values."""
    width = (max(column.places) - min(column.places)) * 0.015
    styles = zip(cycle(COLOURS), cycle(MARKS), cycle(DASHES))
    for index, (one, (colour, mark, dash)) in enumerate(zip(runs, styles, strict=False)):
        estimates = [measure(one.at(name)) for name in column.names]
        drawn = [
            (place + width * index, estimate.value, estimate.interval)
            for place, estimate in zip(column.places, estimates, strict=True)
            if estimate is not None and estimate.value is not None
        ]
        if not drawn:
            continue
        axis.plot(
            [place for place, _, _ in drawn],
            [value for _, value, _ in drawn],
            marker=mark,
            linestyle=dash,
            color=colour,
            markersize=4,
            label=legend_name(one, runs),
        )
        for place, _, interval in drawn:
            if interval is not None:
                axis.plot([place, place], interval, color=colour, linewidth=1.2)
        exact = measure(one.compared.sources[0])
        if exact is not None and exact.value is not None:
            axis.axhline(exact.value, color=colour, linewidth=0.8, linestyle=":", alpha=0.8)
    axis.set_xticks(column.places, column.labels)
    axis.grid(axis="y", color=GREY, alpha=0.2)
