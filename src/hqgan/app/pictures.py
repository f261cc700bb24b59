"""Pictures as parts of the page: each with a text for those who do not see it, none a file."""

from collections.abc import Sequence
from html import escape

import numpy as np

from hqgan.report import pieces
from hqgan.report.page import COLOURS
from hqgan.report.pieces import data_uri, png
from hqgan.training.runs import LOSSES

WIDTH, HEIGHT, LEFT, BELOW = 360, 170, 40, 26  # of the chart, in its own units


def figure(image: np.ndarray, alt: str, caption: str) -> str:
    """An image with words below it."""
    return (
        f'<figure class="hq-figure"><img src="{data_uri(png(image))}" alt="{escape(alt)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def side_by_side(figures: Sequence[str], kind: str = "") -> str:
    """Figures in a row, which breaks where the screen ends."""
    return f'<div class="hq-row {kind}">{"".join(figures)}</div>'


def wide_drawing(picture: bytes, alt: str, name: str) -> str:
    """A wide drawing that is never shrunk beyond reading: it scrolls, also by keyboard."""
    image = f'<img class="hq-drawing" src="{data_uri(picture)}" alt="{escape(alt)}">'
    return pieces.scrolled(image, name, "hq-scroll")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table whose first column names its rows."""
    return pieces.table(caption, head, rows, "hq-scroll")


def sentences(texts: Sequence[str], kind: str = "") -> str:
    """Sentences as a list, or the one by itself."""
    if len(texts) == 1:
        return f'<p class="hq-note {kind}">{escape(texts[0])}</p>'
    return f'<ul class="hq-note {kind}">{"".join(f"<li>{escape(t)}</li>" for t in texts)}</ul>'


def code(text: str, name: str) -> str:
    """A command, to be copied."""
    return (
        f'<pre class="hq-code" role="region" tabindex="0" aria-label="{escape(name)}">'
        f"<code>{escape(text)}</code></pre>"
    )


def loss_chart(records: Sequence[dict[str, float]]) -> str:
    """The losses over the images seen, as an SVG in the page's own colours; empty for one point."""
    names = [name for name in LOSSES if any(name in record for record in records)]
    if len(records) < 2 or not names:
        return ""
    seen = [float(record["images_seen"]) for record in records]
    values = [float(r[name]) for r in records for name in names if name in r]
    low, high = min([0.0, *values]), max([*values, 1e-6])

    def x(images: float) -> float:
        return LEFT + (WIDTH - LEFT - 8) * images / seen[-1]

    def y(value: float) -> float:
        return 8 + (HEIGHT - BELOW - 8) * (high - value) / (high - low)

    lines, keys = [], []
    for number, name in enumerate(names):
        colour = COLOURS[number]
        points = " ".join(
            f"{x(images):.1f},{y(float(record[name])):.1f}"
            for images, record in zip(seen, records, strict=True)
            if name in record
        )
        dash = ' stroke-dasharray="6 3"' if number % 2 else ""
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        keys.append(
            f'<span class="hq-key"><svg width="28" height="8" aria-hidden="true"><line x1="0" '
            f'x2="28" y1="4" y2="4" stroke="{colour}" stroke-width="3"{dash}/></svg> '
            f"{LOSSES[name]}</span>"
        )
    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="currentColor" '
        f'stroke-opacity=".2"/><text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2g}'
        "</text>"
        for v in (low, (low + high) / 2, high)
    )
    last = ", ".join(f"{LOSSES[n]} {records[-1][n]:.3g}" for n in names if n in records[-1])
    alt = f"Losses after {seen[-1]:,.0f} images: {last}"
    return (
        f'<figure class="hq-chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alt)}">{grid}{"".join(lines)}'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">0</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 6}" text-anchor="end">{seen[-1]:,.0f} images seen'
        f"</text></svg><figcaption>Losses: {' '.join(keys)}</figcaption></figure>"
    )
