"""A circuit as physicists draw it: wires, boxes with their angles, dots, and what is read out.

Times run to the right. Commuting CZ gates share columns where their lines do not cross, so a chain
is two columns wide. A long circuit goes on in the next row. Nothing is painted white: the figure
can lie on a dark page.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hqgan.quantum import Circuit
from hqgan.quantum.circuit import (
    Expectations,
    Operation,
    Probabilities,
    Slot,
    describe_readout,
)
from hqgan.report.page import COLOURS, GREY, STYLE, lay_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = Tensor | np.ndarray | Sequence[float]

INCH = 0.52  # of a unit: the distance of two wires
BOX, DOT = 1.0, 0.42  # widths of a column of boxes and of one of two-qubit gates, in units
LONGEST = 15.0  # units of a row of columns
LABEL, READ, BARS = 1.3, 1.75, 2.4  # widths of the qubits' names, of a value, of probabilities
EDGE = 0.36  # half of the height of a box; its width is a little more
KEY = 9.5  # width of the line that explains the boxes, units
INPUT, WEIGHT = COLOURS[0], COLOURS[1]
MOST_SAID = 32  # values that are told in words
FEW = 16  # outcomes that are written beside their bars


def circuit_figure(
    circuit: Circuit,
    *,
    weights: Numbers | None = None,
    inputs: Numbers | None = None,
    values: Numbers | None = None,
    title: str = "",
) -> "Figure":
    """Draw a circuit; boxes of inputs are filled, those of weights are not.

    Args:
        circuit: what is drawn.
        weights: (P,) learned angles, radians; None writes w0, w1, ...
        inputs: (I,) angles of one image, radians; None writes x0, x1, ...
        values: (V,) what is read out: expectation values in [-1, 1], drawn on a scale, or
            probabilities, drawn as bars; None names them.
        title: a line above.

    Raises:
        ValueError: numbers of another count than the circuit has.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    angles = {
        "weight": as_numbers("weights", weights, circuit.weights),
        "input": as_numbers("inputs", inputs, circuit.inputs),
    }
    read = as_numbers("values", values, circuit.outputs)
    rows = in_rows(columns_of(circuit))
    tail = readout_width(circuit)
    ends = [sum(map(width_of, row)) for row in rows]
    width = max(LABEL + max([*ends, ends[-1] + tail]) + 0.3, KEY)
    step = circuit.qubits + 0.7  # between two rows of columns
    height = step * len(rows) - 0.7
    above, below = (0.6 if title else 0.3), 0.6
    with rc_context({**STYLE, "figure.constrained_layout.use": False}):
        figure = Figure(figsize=(INCH * width, INCH * (height + above + below)))
        FigureCanvasAgg(figure)
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        axis.set_xlim(0, width)
        axis.set_ylim(height - 0.5 + below, -0.5 - above)
        if title:
            axis.text(0.1, -0.5 - above / 2, title, va="center", fontsize=10)
        for index, row in enumerate(rows):
            draw_row(axis, circuit, row, index * step, angles, first=index == 0)
        right = LABEL + ends[-1]
        draw_readout(axis, circuit, right, (len(rows) - 1) * step, read)
        axis.text(0.1, height - 0.5 + below / 2, key(circuit), va="center", fontsize=8)
        lay_out(figure)
    return figure


def as_numbers(name: str, given: Numbers | None, expected: int) -> list[float] | None:
    """The numbers as a list of `expected` floats."""
    if given is None:
        return None
    found = given.detach().cpu() if isinstance(given, Tensor) else torch.as_tensor(given)
    if found.shape != (expected,):
        raise ValueError(
            f"{name} have the shape {tuple(found.shape)}, but the circuit has {expected}"
        )
    return [float(value) for value in found]


Column = list[Operation]


def columns_of(circuit: Circuit) -> list[Column]:
    """Gates drawn above each other; a CZ gate slips past CZ gates, with which it commutes."""
    columns: list[Column] = []
    taken: list[set[int]] = []  # wires of each column that a gate or its line covers
    after = [0] * circuit.qubits  # the first column after the last gate a CZ cannot slip past
    for operation in circuit.operations:
        span = range(min(operation.wires), max(operation.wires) + 1)
        place = max(after[wire] for wire in operation.wires)
        if operation.gate != "cz":
            place = max(
                [place, *(i + 1 for i, wires in enumerate(taken) if wires & {*operation.wires})]
            )
        alone = len(span) > 1
        while place < len(columns) and (
            taken[place] & {*span} or (len(columns[place][0].wires) > 1) != alone
        ):
            place += 1
        while place >= len(columns):
            columns.append([])
            taken.append(set())
        columns[place].append(operation)
        taken[place] |= {*span}
        if operation.gate != "cz":
            for wire in operation.wires:
                after[wire] = place + 1
    return columns


def width_of(column: Column) -> float:
    """Units that a column takes."""
    return DOT if len(column[0].wires) > 1 else BOX


def in_rows(columns: Sequence[Column]) -> list[list[Column]]:
    """The columns in rows of at most LONGEST units, one row at least, about equally long."""
    total = sum(map(width_of, columns))
    count = max(1, -(-total // LONGEST))
    rows: list[list[Column]] = [[]]
    for column in columns:
        if sum(map(width_of, rows[-1])) + width_of(column) > max(total / count, BOX) + BOX:
            rows.append([])
        rows[-1].append(column)
    return rows


def draw_row(
    axis: "Axes",
    circuit: Circuit,
    row: Sequence[Column],
    top: float,
    angles: dict[str, list[float] | None],
    *,
    first: bool,
) -> None:
    """The wires and gates of a row; wires are drawn between the boxes, not behind them."""
    right = LABEL + sum(map(width_of, row)) + 0.15
    free = [LABEL - 0.15] * circuit.qubits  # where the wire goes on after its last box
    for wire in range(circuit.qubits):
        name = f"q{lowered(wire)} |0⟩" if first else f"q{lowered(wire)}"
        axis.text(LABEL - 0.25, top + wire, name, ha="right", va="center")
    left = LABEL
    for column in row:
        middle = left + width_of(column) / 2
        for operation in column:
            if len(operation.wires) > 1:
                draw_pair(axis, operation, middle, top)
                continue
            wire = operation.wires[0]
            line(axis, [free[wire], middle - EDGE - 0.06], [top + wire] * 2)
            free[wire] = middle + EDGE + 0.06
            draw_box(axis, operation, middle, top + wire, angles)
        left += width_of(column)
    for wire in range(circuit.qubits):
        line(axis, [free[wire], right], [top + wire] * 2)


def line(axis: "Axes", xs: Sequence[float], ys: Sequence[float]) -> None:
    """A piece of wire, or the line of a gate of two wires."""
    axis.plot(xs, ys, color="black", linewidth=0.8, solid_capstyle="butt")


def draw_box(
    axis: "Axes",
    operation: Operation,
    x: float,
    y: float,
    angles: dict[str, list[float] | None],
) -> None:
    """One gate of one wire: its name, and below it its angle."""
    from matplotlib.patches import Rectangle

    angle, colour = operation.angle, "black"
    text = None if angle is None or isinstance(angle, Slot) else f"{angle:.2f}"
    if isinstance(angle, Slot):
        colour = INPUT if angle.source == "input" else WEIGHT
        known = angles[angle.source]
        text = f"{angle.source[0] if angle.source == 'weight' else 'x'}{angle.index}"
        text = text if known is None else f"{known[angle.index]:.2f}".replace("-", "−")
    corner, wide, high = (x - EDGE - 0.06, y - EDGE), 2 * (EDGE + 0.06), 2 * EDGE
    if colour == INPUT:
        axis.add_patch(Rectangle(corner, wide, high, facecolor=colour, alpha=0.25, linewidth=0))
    axis.add_patch(
        Rectangle(
            corner,
            wide,
            high,
            fill=False,
            edgecolor=colour,
            linewidth=1.0,
            linestyle="--" if colour == WEIGHT else "-",
        )
    )
    if text is None:
        axis.text(x, y, operation.gate.upper(), ha="center", va="center", fontsize=8)
    else:
        axis.text(x, y - 0.14, operation.gate.upper(), ha="center", va="center", fontsize=7)
        axis.text(x, y + 0.16, text, ha="center", va="center", fontsize=7)


def draw_pair(axis: "Axes", operation: Operation, x: float, top: float) -> None:
    """A gate of two wires: dots and a line; the target of a CNOT is a circle with a cross."""
    a, b = (top + wire for wire in operation.wires)
    line(axis, [x, x], [a, b])
    axis.plot(x, a, "o", color="black", markersize=4)
    if operation.gate == "cz":
        axis.plot(x, b, "o", color="black", markersize=4)
    else:
        axis.plot(x, b, "o", color="black", markersize=8, fillstyle="none", markeredgewidth=0.8)
        axis.plot(x, b, "+", color="black", markersize=8, markeredgewidth=0.8)


def places_of(readout: Expectations) -> list[tuple[int, str, list[int]]]:
    """For each observable its column of the read-out, its name and the wires it is read from."""
    taken: list[set[int]] = []
    places = []
    for word in readout.observables:
        wires = [wire for wire, letter in enumerate(word) if letter != "I"]
        span = set(range(wires[0], wires[-1] + 1))
        # ZZ of the wires 0 and 1 is written between them: only words of one wire stand in line.
        column = next((i for i, used in enumerate(taken) if not used & span), len(taken))
        if column == len(taken):
            taken.append(set())
        taken[column] |= span
        name = "".join(f"{word[wire]}{lowered(wire)}" for wire in wires)
        places.append((column, f"⟨{name}⟩", wires))
    return places


def lowered(number: int) -> str:
    """A number as it stands below a line."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def readout_width(circuit: Circuit) -> float:
    """Units to the right of the last gate."""
    if isinstance(circuit.readout, Probabilities):
        return 1.0 + BARS
    return READ * (1 + max(column for column, _, _ in places_of(circuit.readout)))


def draw_readout(
    axis: "Axes", circuit: Circuit, left: float, top: float, values: list[float] | None
) -> None:
    """What is measured at the right end of the wires."""
    if isinstance(circuit.readout, Probabilities):
        draw_probabilities(axis, circuit, circuit.readout, left, top, values)
        return
    for index, (column, name, wires) in enumerate(places_of(circuit.readout)):
        x, y = left + 0.3 + READ * column, top + sum(wires) / len(wires)
        if len(wires) > 1:
            axis.plot([x, x], [top + wires[0], top + wires[-1]], color=GREY, linewidth=1.5)
        if values is None:
            axis.text(x + 0.15, y, name, va="center")
            continue
        said = f"{name} {values[index]:+.2f}".replace("-", "−")
        axis.text(x + 0.15, y - 0.14, said, va="center", fontsize=8)
        gauge(axis, x + 0.2, READ - 0.55, y + 0.22, values[index])


def gauge(axis: "Axes", left: float, width: float, y: float, value: float) -> None:
    """A value in [-1, 1] on a line with a tick at 0."""
    middle = left + width / 2
    axis.plot([left, left + width], [y, y], color=GREY, linewidth=0.8)
    axis.plot([middle, middle], [y - 0.08, y + 0.08], color=GREY, linewidth=0.8)
    end = middle + np.clip(value, -1, 1) * width / 2
    axis.plot([middle, end], [y, y], color="black", linewidth=1.8, solid_capstyle="butt")
    axis.plot(end, y, "o", color="black", markersize=3)


def draw_probabilities(
    axis: "Axes",
    circuit: Circuit,
    readout: Probabilities,
    left: float,
    top: float,
    values: list[float] | None,
) -> None:
    """Which wires are measured, which are kept only when found in 0, and the outcomes as bars."""
    for wire in readout.ancillas:
        axis.text(left + 0.25, top + wire, "→ 0", va="center", fontsize=8)
    for wire in readout.wires:
        axis.plot(left + 0.4, top + wire, ">", color="black", markersize=4)
    x = left + 1.0
    bits = len(readout.wires)
    if values is None:
        middle = top + (circuit.qubits - 1) / 2
        axis.text(x, middle, f"P of {2**bits} outcomes", va="center", fontsize=8)
        return
    high = circuit.qubits / len(values)
    for outcome, value in enumerate(values):
        y = top - 0.5 + high * (outcome + 0.5)
        axis.barh(y, value / max(values) * (BARS - 1.2), high * 0.7, left=x + 0.7, color="black")
        if len(values) <= FEW:
            name = f"{outcome:0{bits}b}"
            axis.text(x + 0.6, y, name, ha="right", va="center", fontsize=min(7, 30 * high))
    likeliest = int(np.argmax(values))
    axis.text(
        x + 0.7,
        top - 0.58,
        f"P({likeliest:0{bits}b}) = {values[likeliest]:.2f}",
        va="bottom",
        fontsize=7,
    )


def key(circuit: Circuit) -> str:
    """What the boxes mean."""
    parts = []
    if circuit.inputs:
        parts.append("filled: angles from the latent (x)")
    if circuit.weights:
        parts.append("dashed: learned angles (w)")
    return "; ".join([*parts, "radians"]) if parts else ""


def in_words(circuit: Circuit, values: Numbers | None = None) -> str:
    """What a drawing of it shows, for whoever cannot see it."""
    text = (
        f"Circuit of {circuit.qubits} qubit{'s' * (circuit.qubits > 1)}: "
        f"{len(circuit.operations)} gates, {circuit.two_qubit_gates} of them on two qubits, "
        f"{circuit.inputs} angles from the latent, {circuit.weights} learned angles; it reads "
        f"{describe_readout(circuit.readout)}"
    )
    read = as_numbers("values", values, circuit.outputs)
    if read is None:
        return text
    numbers = ", ".join(f"{value:.2f}" for value in read[:MOST_SAID])
    return f"{text}: {numbers}{', and so on' if len(read) > MOST_SAID else ''}"
