"""The figure of `hqgan probe`: eight panels, a colour a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hqgan.evaluation.probes import Estimate, GeneratorProbe, Probe
from hqgan.foreign import in_figure
from hqgan.report.page import COLOURS, DASHES, GREY, MARKS, STYLE, lay_out, small_figure
from hqgan.report.pieces import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Run = TypeVar("Run")

# The panels, a letter for each twelfth of the width.
LAYOUT = "aaabbbccdddd\neeefffggghhh"
EXAMPLES = "d"  # the panel of images, which a page shows as such

Panel = tuple[str, Callable[["Axes"], None], str]  # letter, how it is drawn, what it shows


def panels(probe: Probe) -> list[Panel]:
    """All panels; what each shows is said in words, with its main numbers."""
    first = probe.generators[0]
    runs = dict(zip(names(probe), probe.generators, strict=True))
    shares = {name: one.shares.first for name, one in runs.items() if one.shares}
    gates = {name: one.gate for name, one in runs.items() if one.gate}
    ranks = {name: f"{one.jacobian.rank}" for name, one in runs.items()}
    points = first.circuits.gradients if first.circuits else []
    states = first.circuits.expressibility if first.circuits else []
    return [
        (
            "a",
            lambda axis: draw_changes(axis, runs, probe.recipe),
            f"Change of {probe.recipe} where the circuits' values are replaced. "
            + told({name: one.changes for name, one in runs.items()}),
        ),
        (
            "b",
            lambda axis: draw_shares(axis, runs),
            f"Share of the variance of the pixels that each stream explains. {told(shares)}",
        ),
        (
            "c",
            lambda axis: draw_gate(axis, runs),
            "The learned gate of each quantum channel, sorted. "
            + told({name: {"from": min(g), "to": max(g)} for name, g in gates.items()}),
        ),
        (
            EXAMPLES,
            lambda axis: draw_examples(axis, probe.examples, ["as is", *first.changes]),
            "Images of the same latents, as they are and after each replacement.",
        ),
        (
            "e",
            lambda axis: draw_features(axis, first),
            "Spectra of the streams' features, effective ranks: "
            + told({"": {name: one.rank for name, one in first.features.items()}}),
        ),
        (
            "f",
            lambda axis: draw_jacobians(axis, runs),
            "Spectrum of d image / d latent, effective rank: " + told({"": ranks}),
        ),
        (
            "g",
            lambda axis: draw_gradients(axis, first),
            "Variance of the first weight's gradient over qubits. "
            + told(
                {
                    f"{init}, layers {layers}": {
                        f"{p.qubits} qubits": p.variance
                        for p in points
                        if (p.init, p.layers) == (init, layers)
                    }
                    for init, layers in dict.fromkeys((p.init, p.layers) for p in points)
                }
            ),
        ),
        (
            "h",
            lambda axis: draw_fidelities(axis, first),
            "Fidelities of random pairs of states, KL divergence from those of Haar-random ones: "
            + told({"": {f"{one.angles} weights": one.divergence for one in states}}),
        ),
    ]


def told(numbers: Mapping[str, Mapping[str, Estimate | float | str]]) -> str:
    """Numbers in words, by name and part."""

    def written(value: Estimate | float | str) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    texts = []
    for name, parts in numbers.items():
        inside = ", ".join(f"{part} {written(value)}" for part, value in parts.items())
        texts.append(f"{name}: {inside}." if name else f"{inside}.")
    return " ".join(texts) or "Nothing is known."


def probe_figure(probe: Probe) -> "Figure":
    """Interventions, variance shares, gate, images; below them ranks and what circuits can do."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(15, 7.5))
        FigureCanvasAgg(figure)
        axes = figure.subplot_mosaic(LAYOUT)
        for letter, draw, _ in panels(probe):
            draw(axes[letter])
            title = axes[letter].get_title(loc="left")
            axes[letter].set_title(f"({letter}) {title}", loc="left")
        lay_out(figure)  # layout and texts, while the style is in force
    return figure


def panel_charts(probe: Probe) -> list[str]:
    """The panels but that of the images, each as a chart of its own."""
    drawn = []
    for letter, draw, words in panels(probe):
        if letter != EXAMPLES:
            with small_figure() as (figure, axis):
                draw(axis)
            drawn.append(chart(figure, f"{axis.get_title(loc='left')}, probe", words))
    return drawn


def names(probe: Probe) -> list[str]:
    """Short names of the runs: the preset, with the folder where a preset occurs twice."""
    presets = [one.preset for one in probe.generators]
    return [
        in_figure(
            one.preset if presets.count(one.preset) == 1 else f"{one.preset} ({Path(one.run).name})"
        )
        for one in probe.generators
    ]


def draw_changes(axis: "Axes", runs: Mapping[str, GeneratorProbe], recipe: str) -> None:
    """Change of the distance by each intervention."""
    draw_rows(axis, {name: one.changes for name, one in runs.items()})
    axis.set_xlabel(in_figure(f"change of {recipe}"))
    axis.set_title("Circuits' values replaced")
    if len(runs) > 1:  # the colours hold for the other panels too
        axis.set_ylim(top=-0.6 - 0.2 * len(runs))
        axis.legend(loc="upper right")


def draw_shares(axis: "Axes", runs: Mapping[str, GeneratorProbe]) -> None:
    """First-order shares as dots, total ones as rings."""
    shares = {name: one.shares for name, one in runs.items()}
    draw_rows(
        axis,
        {
            name: {**found.first, "interaction": found.interaction} if found else {}
            for name, found in shares.items()
        },
    )
    for (found, place), colour, mark in zip(rows_of(shares), cycle(COLOURS), cycle(MARKS)):
        for row, total in enumerate(found.total.values() if found else ()):
            if total.value is not None:
                axis.plot(total.value, row + place, mark, color=colour, fillstyle="none")
    axis.set_xlim(-0.05, 1.0)
    axis.set_xlabel("share of variance (ring: with interactions)")
    axis.set_title("Variance of the pixels")


def rows_of(runs: Mapping[str, Run]) -> Iterator[tuple[Run, float]]:
    """Each run's values, and how far off the middle of a row they are drawn."""
    for index, one in enumerate(runs.values()):
        yield one, 0.6 * (index - (len(runs) - 1) / 2) / len(runs)


def draw_rows(axis: "Axes", runs: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Estimates as dots with their intervals, a row each, runs below each other within a row."""
    styles = zip(cycle(COLOURS), cycle(MARKS))
    for name, (estimates, place), (colour, mark) in zip(runs, rows_of(runs), styles, strict=False):
        for row, each in enumerate(estimates.values()):
            if each.value is not None:
                label = None if row else name
                axis.plot(each.value, row + place, mark, color=colour, label=label, markersize=5)
            if each.interval:
                axis.plot(each.interval, [row + place] * 2, color=colour, linewidth=2)
    labels = list(dict.fromkeys(label for estimates in runs.values() for label in estimates))
    if not labels:
        absent(axis, "nothing is known")
        return
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)


def draw_gate(axis: "Axes", runs: Mapping[str, GeneratorProbe]) -> None:
    """The gate of each channel, sorted."""
    axis.set_title("Learned gate")
    gates = [one.gate for one in runs.values()]
    if not any(gates):
        absent(axis, "no gate in this fusion")
        return
    for gate, colour, mark in zip(gates, cycle(COLOURS), cycle(MARKS)):
        if gate is not None:
            axis.plot(range(1, len(gate) + 1), sorted(gate), f"{mark}-", markersize=4, color=colour)
    axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle="--", label="at the start")
    axis.set_ylim(0, 1)
    axis.set_xlabel("quantum channel, sorted")
    axis.legend()


def draw_examples(axis: "Axes", examples: np.ndarray, labels: Sequence[str]) -> None:
    """Images (rows, columns, S, S, 3): the same latents in each row."""
    if not examples.size:
        absent(axis, "the images are not there")
        return
    rows, columns, height, width, _ = examples.shape
    sheet = examples.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    axis.imshow(sheet, interpolation="none")
    axis.set_yticks([height * (row + 0.5) for row in range(rows)], labels)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("The same latents")


def draw_features(axis: "Axes", one: GeneratorProbe) -> None:
    """Spectra of the streams, scaled to 1."""
    for index, (name, spectrum) in enumerate(one.features.items()):
        spectrum_line(axis, spectrum.singular_values, f"{name}: {spectrum.rank}", index)
    axis.set_title("Stream features, effective rank")


def draw_jacobians(axis: "Axes", runs: Mapping[str, GeneratorProbe]) -> None:
    """Spectra of the Jacobian, scaled to 1, a line a run."""
    for index, (name, one) in enumerate(runs.items()):
        spectrum_line(axis, one.jacobian.singular_values, f"{name}: {one.jacobian.rank}", index)
    axis.set_title("d image / d latent, effective rank")


def spectrum_line(axis: "Axes", values: Sequence[float], label: str, index: int) -> None:
    """Singular values over the largest one; what is zero is left out."""
    positive = [value for value in values if value > 0]
    axis.semilogy(
        range(1, len(positive) + 1),
        [value / values[0] for value in positive],
        color=COLOURS[index % len(COLOURS)],
        linestyle=DASHES[index % len(DASHES)],
        label=label,
    )
    axis.set_ylim(1e-4, 1.5)
    axis.set_xlabel("index")
    axis.set_ylabel("singular value / largest")
    axis.legend(loc="lower left")


def draw_gradients(axis: "Axes", one: GeneratorProbe) -> None:
    """Gradient variance over qubits, a line for each depth, dashed for uniform weights."""
    axis.set_title("Gradient of the first weight")
    points = one.circuits.gradients if one.circuits else []
    if not points:
        absent(axis, "no circuit family")
        return
    for index, layers in enumerate(sorted({point.layers for point in points})):
        for init, line in (("small", "-"), ("uniform", "--")):
            chosen = [p for p in points if (p.layers, p.init) == (layers, init)]
            axis.semilogy(
                [p.qubits for p in chosen],
                [p.variance.value for p in chosen],
                f"{MARKS[index % len(MARKS)]}{line}",
                markersize=4,
                color=COLOURS[index % len(COLOURS)],
                label=f"{layers} layer{'s' * (layers > 1)}" if init == "small" else None,
            )
    lowest = min(p.variance.value or 1.0 for p in points)
    axis.set_ylim(min(lowest / 2, 1e-2), 1)
    axis.set_xlabel("qubits (line: small weights, dashed: uniform)")
    axis.set_ylabel("variance")
    axis.legend(loc="lower left", ncols=2)


def draw_fidelities(axis: "Axes", one: GeneratorProbe) -> None:
    """Fidelities of pairs of states, beside those of Haar-random states."""
    axis.set_title("Fidelity of random pairs of states")
    found = one.circuits.expressibility if one.circuits else []
    if not found:
        absent(axis, "no circuits")
        return
    edges = np.linspace(0, 1, len(found[0].haar) + 1)
    for index, each in enumerate(found):
        label = f"{each.angles} weights: KL {each.divergence:.3g}"
        axis.stairs(each.histogram, edges, color=COLOURS[index], label=label, linewidth=1.5)
    axis.stairs(found[0].haar, edges, color=GREY, label="Haar-random", linestyle="--")
    axis.set_yscale("log")
    axis.set_ylim(0.5 / found[0].pairs, 1)
    axis.set_xlabel("fidelity")
    axis.set_ylabel("share of pairs")
    axis.legend()


def absent(axis: "Axes", why: str) -> None:
    """Say in an empty panel why it is empty."""
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes)
