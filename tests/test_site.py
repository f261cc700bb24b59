"""The check of the built documentation sees what a browser would fetch, and what is missing."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = runpy.run_path(str(ROOT / ".ci" / "site.py"))


def page_of(tmp_path: Path, body: str) -> list[str]:
    page = tmp_path / "index.html"
    page.write_text(f'<html><body><h2 id="here">x</h2>{body}</body></html>')
    return list(SITE["faults"](tmp_path, [page]))


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://unpkg.com/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="https://img.shields.io/badge.svg">',
        '<img srcset="https://a.example/x.png 2x">',
        '<div style="background: url(https://a.example/x.png)"></div>',
        '<style>@import "https://fonts.example/css";</style>',
        '<svg><image href="https://a.example/x.png"/></svg>',
        '<iframe src="https://a.example/"></iframe>',
    ],
)
def test_what_is_loaded_from_elsewhere_is_seen(body: str, tmp_path: Path) -> None:
    (fault,) = page_of(tmp_path, body)
    assert "not part of the site" in fault


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://arxiv.org/abs/2506.21015">a link to follow</a>',
        '<a href="#here">an anchor</a>',
        '<a href="index.html#here">the same</a>',
        '<img src="data:image/png;base64,AA==">',
        "<p>https://example.org</p>",
    ],
)
def test_what_is_not_loaded_is_left_alone(body: str, tmp_path: Path) -> None:
    assert page_of(tmp_path, body) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="#nowhere">x</a>', "no such anchor"),
        ('<a href="other.html">x</a>', "not there"),
        ('<img src="gone.png">', "not there"),
    ],
)
def test_what_is_missing_is_seen(body: str, said: str, tmp_path: Path) -> None:
    (fault,) = page_of(tmp_path, body)
    assert said in fault


def test_a_style_sheet_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example/x.woff2') }")
    assert "fonts.example" in page_of(tmp_path, "")[0]


def test_an_empty_folder_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make docs"):
        SITE["main"](tmp_path)
