"""What all pages share: three files, and the style of their figures.

A page is NAME.json, NAME.png and NAME.html in one folder; the HTML holds the picture and needs
nothing else.
"""

import base64
import io
import json
from collections.abc import Sequence
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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    picture = buffer.getvalue()
    cells = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem }}
img {{ width: 100% }} table {{ border-collapse: collapse }}
td, th {{ padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; text-align: left;
  vertical-align: top }}
</style></head><body>
<h1>{escape(title)}</h1>
<p>{escape(text)}</p>
<img alt="{escape(title)}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">
<table><tr><th>What was done</th><th>Value</th><th>What it says</th></tr>
{cells}
</table>
</body></html>
"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = json.dumps(content.as_json(), indent=2)
        (folder / f"{name}.json").write_text(numbers + "\n", encoding="utf-8")
        (folder / f"{name}.png").write_bytes(picture)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error
    return folder / f"{name}.html"
