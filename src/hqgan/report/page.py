"""What all pages share: the document around their sections, and the style of their figures.

A page needs nothing but itself: no network, no script, no font. It can be read on a phone, on
paper, in the light and in the dark.
"""

import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hqgan
from hqgan.report.style import SHEET
from hqgan.writing import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, str, str]  # what was done, value with interval, what it says

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
MARKS = "os^DvP"  # one a colour, for whoever sees no colours
DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 3)))
GREY = "#999999"
ON_PICTURE = "#111111"  # text on a coloured cell, which stays as it is on a dark page
DPI = 110
MADE_BY = "Made by hqgan"
PURPOSE = "Synthetic images, for research; not for diagnosis."


def html_page(title: str, body: str, lead: str = "") -> str:
    """A whole page: title, a sentence, contents, the sections of `body`."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    links = "".join(f'<li><a href="#{mark}">{name}</a></li>' for mark, name in found)
    contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(found) > 2 else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{SHEET}</style></head><body>
<header><h1>{escape(title)}</h1>
{f'<p class="lead">{escape(lead)}</p>' if lead else ""}
</header>
{contents}
<main>
{body}
</main>
<footer><p>{PURPOSE} {MADE_BY} {hqgan.__version__}.</p></footer>
</body></html>
"""


def as_png(figure: "Figure") -> bytes:
    """The picture of a figure, the same bytes each time."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph")
        paper: dict[str, Any] = {"facecolor": "white", "metadata": {"Software": None}}
        figure.savefig(buffer, format="png", dpi=DPI, **paper)
    return buffer.getvalue()


def save_page(
    folder: Path, name: str, content: Any, figure: "Figure", html: Callable[[Path], str]
) -> Path:
    """Write NAME.json, of `content.as_json()`, NAME.png, and what `html` makes of the folder."""
    page = folder / f"{name}.html"
    with writing_to(folder):
        numbers = json.dumps(content.as_json(), indent=2)
        page.with_suffix(".json").write_text(numbers + "\n", encoding="utf-8")
        page.with_suffix(".png").write_bytes(as_png(figure))
        page.write_text(html(folder), encoding="utf-8")
    return page


def lay_out(figure: "Figure") -> None:
    """Place everything, while the style is in force."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.draw_without_rendering()


@contextmanager
def small_figure(width: float = 3.5, height: float = 2.6) -> Iterator[tuple["Figure", Any]]:
    """A figure of one panel, in inches, in the one style; laid out when it is left."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure, figure.subplots()
        lay_out(figure)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make the folder; what cannot be written there is a RunError."""
    with writing(f"to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        yield


def said(rows: Sequence[Row]) -> list[list[str]]:
    """Rows as lines of a table."""
    return [list(row) for row in rows]
