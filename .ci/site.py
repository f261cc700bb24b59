"""Checks the built documentation: whole, and nothing in it is loaded from elsewhere.

Usage: python .ci/site.py [FOLDER]      (site; what `make docs` runs last)

Links to other places are for readers to follow. What a browser loads by itself (scripts, styles,
fonts, pictures, frames) must lie in the folder, and must be there.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
LOADS = {  # element -> attributes whose address the browser fetches
    "script": ("src",),
    "img": ("src", "srcset"),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "input": ("src",),
}
FETCHED_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
}
STYLE_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Loaded(HTMLParser):
    """What a page loads (`loads`), links to (`links`) and can be linked to at (`anchors`)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        for name in LOADS.get(tag, ()):
            if given.get(name):
                parts = given[name].split(",") if name == "srcset" else [given[name]]
                self.loads += [part.split()[0] for part in parts]
        if tag == "link" and FETCHED_LINKS & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loads += addresses(given.get("style", ""))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.loads += addresses(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = None


def addresses(style: str) -> list[str]:
    return [a or b for a, b in STYLE_ADDRESS.findall(style)]


def main(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    if not pages:
        sys.exit(f"there are no pages in {site}; run `make docs`")
    found = list(faults(site, pages))
    if found:
        sys.exit("\n".join(found))
    print(f"{len(pages)} pages, nothing loaded from elsewhere, every link and anchor there")


def faults(site: Path, pages: list[Path]) -> Iterator[str]:
    """A sentence for each thing that is loaded from elsewhere, missing, or linked in vain."""
    read = {page: Loaded(page.read_text(encoding="utf-8")) for page in pages}
    for page, loaded in read.items():
        if page.name == "404.html":
            continue  # its links are absolute, for it is shown at any address
        name = page.relative_to(site)
        for address in loaded.loads:
            yield from missing(site, page, address, f"{name} loads")
        for link in loaded.links:
            where = urlsplit(link)
            if where.scheme or where.netloc:
                continue
            yield from missing(site, page, link, f"{name} links to")
            target = (page.parent / unquote(where.path)).resolve() if where.path else page
            known = read.get(target)
            if known and where.fragment and unquote(where.fragment) not in known.anchors:
                yield f"{name} links to {link}, which has no such anchor"
    for style in site.rglob("*.css"):
        for address in addresses(style.read_text(encoding="utf-8")):
            yield from missing(site, style, address, f"{style.relative_to(site)} loads")


def missing(site: Path, page: Path, address: str, what: str) -> Iterator[str]:
    where = urlsplit(address)
    if where.scheme == "data" or (not where.path and not where.netloc):
        return
    if where.scheme or where.netloc:
        yield f"{what} {address}, which is not part of the site"
    elif not (page.parent / unquote(where.path)).exists():
        yield f"{what} {address}, which is not there"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
