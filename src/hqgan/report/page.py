"""What all pages share: three files, and the style of their figures.

A page is NAME.json, NAME.png and NAME.html in one folder; the HTML holds the picture and needs
nothing else.
"""

import base64
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqgan.errors import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, str, str]  # what was done, value with interval, what it says

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
GREY = "#999999"
DPI = 110


def write_page(
    folder: Path,
    name: str,
    title: str,
    text: str,
    rows: Sequence[Row],
    figure: "Figure",
    content: Any,
) -> Path:
    """Write the three files of a page; `content` has the method `as_json`."""
    picture = as_png(figure)
    cells = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    body = f"""<p>{escape(text)}</p>
{inline(picture, title)}
<table><tr><th>What was done</th><th>Value</th><th>What it says</th></tr>
{cells}
</table>"""
    with writing_to(folder):
        numbers = json.dumps(content.as_json(), indent=2)
        (folder / f"{name}.json").write_text(numbers + "\n", encoding="utf-8")
        (folder / f"{name}.png").write_bytes(picture)
        (folder / f"{name}.html").write_text(html_page(title, body), encoding="utf-8")
    return folder / f"{name}.html"


def html_page(title: str, body: str) -> str:
    """A whole page, in the one style."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem }}
img {{ max-width: 100% }} table {{ border-collapse: collapse }}
.wide {{ overflow-x: auto; font-size: 13px }} .wide td {{ white-space: nowrap }}
td, th {{ padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; text-align: left;
  vertical-align: top }}
</style></head><body>
<h1>{escape(title)}</h1>
{body}
</body></html>
"""


def as_png(figure: "Figure") -> bytes:
    """The picture of a figure, the same bytes each time."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def inline(picture: bytes, caption: str) -> str:
    """A picture that is part of the page."""
    data = base64.b64encode(picture).decode()
    return f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make the folder; what cannot be written there is a RunError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error
