"""What pages are made of: sections, tables, charts, photographs, commands. All text is escaped."""

import base64
import io
import re
import shlex
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hqgan.report.svg import as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = re.compile(r"[-–−+<>\d.,%e \[\]()]{1,40}")
SHORT = 30  # characters of a cell that needs no room of its own
LINE = 76  # characters of a command that needs no second one
FINE = 64  # pixels; smaller photographs are enlarged


def paragraph(text: str, kind: str = "") -> str:
    """A plain text of the page; `kind` is a class of the style sheet."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def section(title: str, *parts: str) -> str:
    """A part of the page under a heading, which the contents list; nothing without any part."""
    there = [part for part in parts if part]
    if not there:
        return ""
    mark = re.sub(r"\W+", "-", title.lower()).strip("-")
    heading = f'<h2 id="{mark}">{escape(title)}</h2>'
    return f'<section aria-labelledby="{mark}">\n{heading}\n' + "\n".join(there) + "\n</section>"


def heading(title: str) -> str:
    """Of a part of a section."""
    return f"<h3>{escape(title)}</h3>"


def missing(sentence: str, command: str) -> str:
    """What stands in the place of a section: why it is empty, and the command that fills it."""
    return f'<p class="missing">{escape(sentence)} <code>{escape(command)}</code></p>'


def listed(texts: Sequence[str]) -> str:
    """Sentences as a list."""
    return "\n".join(["<ul>", *(f"<li>{escape(text)}</li>" for text in texts), "</ul>"])


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values."""
    lines = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return '<dl class="facts">' + "\n".join(lines) + "</dl>"


def scrolled(inside: str, label: str, kind: str = "wide") -> str:
    """What may be wider than a phone; the arrow keys scroll it."""
    name = escape(label)
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{name}">{inside}</div>'


def table(
    caption: str, heads: Sequence[str], lines: Sequence[Sequence[str]], kind: str = "wide"
) -> str:
    """A table of plain texts; the first cell of a line names it."""
    names = (escape(cell).replace("_", "_<wbr>") for cell in heads)
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(
        f'<tr><th scope="row">{escape(line[0])}</th>'
        + "".join(datum(cell) for cell in line[1:])
        + "</tr>"
        for line in lines
    )
    return scrolled(
        f"<table><caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table>",
        f"Table: {caption}",
        kind,
    )


def datum(cell: str) -> str:
    """A cell; numbers stay in one line, whatever the width, and sentences get some."""
    kind = ' class="text"' if len(cell) > SHORT else ""
    kind = ' class="n"' if NUMBERS.fullmatch(cell) else kind
    return f"<td{kind}>{escape(cell)}</td>"


def details(summary: str, inside: str, *, shown: bool = False, printed: bool = True) -> str:
    """A part that opens on demand; on paper it is open, or not there."""
    state = " open" if shown else ""
    state += "" if printed else ' class="screen"'
    return f"<details{state}><summary>{escape(summary)}</summary>\n{inside}</details>"


def command(text: str, label: str) -> str:
    """What is to be typed, a line an option where it is long; several commands stay as they are."""
    if len(text) > LINE and "\n" not in text:
        text = in_lines(text)
    named = f'role="group" aria-label="{escape(label)}"'
    return f'<pre class="command" {named}><code>{escape(text)}</code></pre>'


def in_lines(text: str) -> str:
    """The same command over several lines, as a shell reads it."""
    lines: list[list[str]] = [[]]
    for word in shlex.split(text):
        if word.startswith("--") and len(lines[0]) > 1:
            lines.append([])
        lines[-1].append(word)
    return " \\\n  ".join(shlex.join(line) for line in lines)


def chart(figure: "Figure", name: str, alt: str, caption: str = "") -> str:
    """A figure that is part of the page.

    Args:
        figure: drawn in `page.STYLE`.
        name: unlike that of any other figure of the page.
        alt: what it shows, its main numbers among it.
        caption: a visible line below; none by default.
    """
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    drawn = scrolled(as_svg(figure, name, alt), f"Chart: {name}")
    return f"<figure>{drawn}{below}</figure>"


def charts(drawn: Sequence[str]) -> str:
    """Small charts, as many side by side as there is room for."""
    return '<div class="charts">' + "\n".join(drawn) + "</div>" if drawn else ""


def data_uri(picture: bytes) -> str:
    """A PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def inline(picture: bytes, caption: str) -> str:
    """A PNG that is part of the page, on white."""
    return f'<img class="paper" alt="{escape(caption)}" src="{data_uri(picture)}">'


def photographs(images: np.ndarray, alt: str) -> str:
    """Images, uint8 (n, H, W, 3), in one row, as wide as there is room and no pixel smoothed."""
    strip = side_by_side(images)
    height, width = strip.shape[:2]
    return (
        f'<img class="photo" alt="{escape(alt)}" width="{width}" height="{height}" '
        f'style="max-width:{width * max(1, FINE // height)}px" src="{data_uri(png(strip))}">'
    )


def side_by_side(images: np.ndarray) -> np.ndarray:
    """Images (n, H, W, 3) in one row: (H, n W, 3)."""
    n, height, width = images.shape[:3]
    return images.transpose(1, 0, 2, 3).reshape(height, n * width, 3)


def png(image: np.ndarray) -> bytes:
    """One uint8 image (H, W, 3) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG")
    return buffer.getvalue()
