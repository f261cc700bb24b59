"""The page of `hqgan hardware sample`: the bill, the values, the images of the same latents."""

import json
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hqgan.evaluation.probes import Estimate, verdict
from hqgan.foreign import in_figure
from hqgan.report.page import (
    COLOURS,
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
from hqgan.report.pieces import chart, charts, heading, paragraph, photographs, section, table
from hqgan.report.probe_figure import absent, draw_examples, told
from hqgan.report.provenance import provenance, shell
from hqgan.report.stored import HARDWARE, read_hardware, read_object
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
HEADS = ("what was done", "value", "what it says")
POINTS = 20_000  # drawn values of a source


def hardware_page(found: Hardware) -> Path:
    """Write hardware.json, hardware.png and hardware.html beside the results; returns the last.

    Raises:
        RunError: where the folder cannot be written.
    """
    return save_page(found.folder, "hardware", found, hardware_figure(found), hardware_html)


def hardware_html(folder: Path) -> str:
    """The page of what `hardware_page`, and the job before it, left in a folder.

    Raises:
        RunError: it is not there, or damaged.
    """
    found = read_hardware(folder)
    settings, plain = found.settings, read_object(folder / HARDWARE)
    rows = [row for one in found.compared.sources for row in source_rows(one)]
    if found.compared.reason:
        rows.append(("kid768", "not measured", found.compared.reason))
    bills = list(bill_rows(found))
    drawn = [chart(panel(draw), f"{name}, hardware", words) for name, draw, words in panels(found)]
    circuits = {k: v.shape[0] * v.shape[1] for k, v in found.values.items()}.get("exact", 0)
    cost = [("images", f"{settings.n:,}"), ("circuits of each source", f"{circuits:,}")]
    cost += [] if found.shots is None else [("shots of a circuit", f"{found.shots:,}")]
    if found.bills:
        used = found.qpu_seconds
        cost.append(("QPU time", "the service did not say" if used is None else f"{used:.3g} s"))
    else:
        cost.append(("QPU time", "none: simulated here"))
    versions = {name: str(value) for name, value in dict(plain["versions"]).items()}
    body = "\n".join(
        [
            section("Charts", charts(drawn)),
            section("The same latents", *example_rows(found)),
            section("Numbers", table("Errors of each source", HEADS, said(rows))),
            section("The bill", table("What was asked for", HEADS, said(bills)) if bills else ""),
            provenance(
                cost,
                [("The order, as it was given:", order(folder, found))],
                versions,
                [("snapshot", found.snapshot)],
            ),
        ]
    )
    return html_page(f"{settings.n} images by {found.device}", body, how(found))


def how(found: Hardware) -> str:
    """What was compared with what."""
    settings = found.settings
    return (
        f"{settings.n} images of {found.snapshot}, seed {settings.seed}: the circuits of the same "
        "latents by each source, and all else of the generator as it is. Errors are against exact "
        f"values, whose mean absolute value is {found.compared.signal:.3g}; pixels in grey levels "
        "of 255; intervals are 95 %, by bootstrap over latents (kid768: also over lesions)."
    )


def order(folder: Path, found: Hardware) -> str:
    """The command of these settings; a device's asks for --yes before it pays."""
    try:
        snapshot: Any = json.loads((folder / "order.json").read_text(encoding="utf-8"))["snapshot"]
    except (OSError, ValueError, KeyError, TypeError):
        snapshot = found.snapshot
    s = found.settings
    return shell(
        *("hqgan", "hardware", "sample", snapshot, "--backend", s.backend, "--n", s.n),
        ("--shots", s.shots),
        ("--mitigation", None if s.mitigation == "none" else s.mitigation),
        None if s.pack else "--no-pack",
        ("--noise-model", s.noise_model),
        ("--images-per-job", s.images_per_job),
        ("--data", s.data),
        ("--label", s.label),
        *("--seed", s.seed, "--out", folder),
    )


def example_rows(found: Hardware) -> Iterator[str]:
    """The images of each source, a row each."""
    if not found.compared.examples.size:
        yield paragraph("images.png is not there any more.", "missing")
        return
    for one, images in zip(found.compared.sources, found.compared.examples, strict=True):
        yield heading(f"{TITLES.get(one.name, one.name)} ({one.what})")
        yield photographs(images, f"{len(images)} generated images, circuits by {one.what}")


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


def panels(found: Hardware) -> list[tuple[str, Callable[["Axes"], None], str]]:
    """Name of each panel, how it is drawn, and what it shows in words."""
    sources, reason = found.compared.sources, found.compared.reason
    others = sources[1:]
    changes = {one.name: one.change or one.moved for one in others}
    what = "kid768" if any(one.change for one in others) else "a pixel, grey levels of 255"
    return [
        (
            "Values of the circuits",
            lambda axis: draw_values(axis, sources, found.values),
            "Each source's values over the exact ones; correlations: "
            + told({"": {one.name: one.correlation or 0.0 for one in others}}),
        ),
        (
            "Error of a value",
            lambda axis: draw_errors(axis, sources),
            "Mean absolute error of a value: "
            + told({"": {one.name: one.mean_absolute_error for one in others}}),
        ),
        (
            "What it changes",
            lambda axis: draw_changes(axis, sources, reason),
            f"Change of {what}: {told({'': changes})}",
        ),
    ]


def panel(draw: Callable[["Axes"], None]) -> "Figure":
    """A figure of one panel."""
    with small_figure() as (figure, axis):
        draw(axis)
    return figure


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
        axes = figure.subplot_mosaic("abc\nddd", height_ratios=heights)
        for letter, (_, draw, _) in zip("abc", panels(found), strict=True):
            draw(axes[letter])
        draw_examples(axes["d"], found.compared.examples, [one.name for one in sources])
        lay_out(figure)
    return figure


def draw_values(axis: "Axes", sources: list[Source], values: dict[str, np.ndarray]) -> None:
    """Each source's values over the exact ones, at most `POINTS` of them."""
    axis.set_xlabel("exact value")
    axis.set_ylabel("value")
    axis.set_title("Values of the circuits")
    if "exact" not in values:
        absent(axis, "values.npz is not there")
        return
    exact = values["exact"].ravel()
    some = np.random.default_rng(0).permutation(exact.size)[:POINTS]
    for one, colour, mark in zip(sources[1:], cycle(COLOURS), cycle(MARKS)):
        axis.plot(
            exact[some],
            values[one.name].ravel()[some],
            mark,
            markersize=1.5,
            alpha=0.4,
            color=colour,
            label=in_figure(one.name),
            rasterized=True,
        )
    low, high = exact.min(), exact.max()
    axis.plot([low, high], [low, high], color=GREY, linewidth=0.8)
    if len(sources) > 1:
        axis.legend(loc="upper left", markerscale=5)


def draw_errors(axis: "Axes", sources: list[Source]) -> None:
    """Mean absolute error of each source; a ring is what its shots alone would leave."""
    for row, (one, colour) in enumerate(zip(sources[1:], cycle(COLOURS))):
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
    axis.set_yticks(range(len(names)), list(map(in_figure, names)))
    axis.set_ylim(len(names) - 0.5, -0.5)
    left, right = axis.get_xlim()
    left = min(0, left)
    axis.set_xlim(left, right + 0.05 * (right - left))
