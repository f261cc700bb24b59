"""Figures as inline SVG: text stays text, black is the page's ink, and the paper shows through.

What is drawn in one of the style's colours takes that colour's name, so that a dark page and a
printed one can each have a shade of it that can be seen.
"""

import hashlib
import io
import re
import warnings
from html import escape
from typing import TYPE_CHECKING, Any

from hqgan.foreign import on_terminal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As matplotlib writes them, to the variables of `page.html_page`.
INKS = {
    "#000000": "currentColor",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--red)",
    "#009e73": "var(--green)",
    "#cc79a7": "var(--pink)",
    "#e69f00": "var(--yellow)",
    "#56b4e9": "var(--sky)",
    "#999999": "var(--grey)",
    "#d3e6f3": "var(--band)",
    "#eeeeee": "var(--rule)",
}
POINT = 4 / 3  # CSS pixels
PHONE = 340  # pixels; what is wider may be scrolled, and shrinks to READABLE of its size at most
READABLE = 0.75


def as_svg(figure: "Figure", name: str, alt: str) -> str:
    """An <svg> element for an HTML page, the same text each time.

    Args:
        figure: what is drawn.
        name: tells its ids from those of other figures of the page.
        alt: what it shows, in words.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that the font lacks
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="none")
    drawn = buffer.getvalue()
    width, height = (float(n) for n in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0])
    inside = on_terminal(drawn)
    inside = inside[inside.index("</metadata>") + len("</metadata>") : inside.rindex("</svg>")]
    inside = re.sub(r"<style.*?</style>|<!--.*?-->", "", inside, flags=re.DOTALL)
    inside = re.sub(r"(base64,)\s*([\w+/=\s]+)", lambda m: m[1] + re.sub(r"\s", "", m[2]), inside)
    inside = re.sub(r"\s*\n\s*", " ", inside).replace("xlink:href", "href").replace("> <", "><")
    inside = re.sub(r"font-family: [^;\"]+;? ?", "", inside)
    inside = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", inside)
    inside = re.sub(r"#[0-9a-f]{6}\b", lambda m: INKS.get(m[0], m[0]), inside)
    across = round(width * POINT)
    least = round(READABLE * across) if across > PHONE else 0
    size = f"width:100%;max-width:{across}px;min-width:{least}px"
    return (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="{size}">{own_ids(inside, name)}</svg>'
    )


def own_ids(drawn: str, name: str) -> str:
    """The drawing with ids that no other one has, and none that nothing refers to."""
    mark = "f" + hashlib.sha256((name + drawn).encode()).hexdigest()[:8]
    wanted = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', drawn))

    def renamed(found: re.Match[str]) -> str:
        return f' id="{mark}-{found[1]}"' if found[1] in wanted else ""

    drawn = re.sub(r' id="([^"]+)"', renamed, drawn)
    return re.sub(r'(url\(|href=")#', rf"\1#{mark}-", drawn)
