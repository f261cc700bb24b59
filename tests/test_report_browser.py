"""Every kind of page in a browser: on a phone and a screen, in the light and in the dark.

Nothing scrolls sideways but what is meant to, nothing is fetched, and axe finds nothing serious.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hqgan.pretrained import find_pretrained
from hqgan.report import hardware_study_page, report
from hqgan.report.study import study_page
from hqgan.workflows.hardware import study
from small_reports import NOBODY, compared, measured, ordered, trained
from small_runs import write_folders
from test_report_study import tabulated

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

CHROMIUM = Path(os.environ.get("HQGAN_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
KINDS = ("run", "pretrained", "comparison", "study", "hardware", "noise study", "probe")
WIDTHS = (390, 1280)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"there is no {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, by kind."""
    folder = tmp_path_factory.mktemp("pages")
    data = write_folders(folder / "data", train=24, held_out=24)
    run = measured(trained(folder / "run", data), data)
    noise = folder / "noise"
    hardware_study_page(study(run, NOBODY, backend="noise:fake_manila", n=1), noise)
    tables = folder / "study"
    study_page(tabulated(tables, groups=["skin"], fractions=[1.0, 0.5]), tables)
    folders = {
        "run": run,
        "pretrained": find_pretrained("ham10000-64"),
        "comparison": compared(folder / "comparison"),
        "study": tables,
        "hardware": ordered(run),
        "noise study": noise,
        "probe": run / "probe",
    }
    return {
        kind: report(place, folder / f"{kind.replace(' ', '-')}.html").file
        for kind, place in folders.items()
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_is_silent_alone_and_accessible(
    pages: dict[str, Path], browser: Any, kind: str, width: int, scheme: str
) -> None:
    said, asked = [], []
    tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    address = pages[kind].as_uri()
    tab.goto(address)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    found = axe_playwright.Axe().run(tab)
    serious = [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    tab.close()


@pytest.mark.parametrize("kind", KINDS)
def test_dark_pages_are_dark_and_printed_ones_are_light(
    pages: dict[str, Path], browser: Any, kind: str
) -> None:
    tab = browser.new_page(viewport={"width": 800, "height": 900}, color_scheme="dark")
    tab.goto(pages[kind].as_uri())
    paint = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg text')).fill"
    assert tab.evaluate(paint) == "rgb(20, 24, 29)"
    assert tab.evaluate(ink) == "rgb(228, 232, 236)"
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate(paint) == "rgb(255, 255, 255)"
    assert tab.evaluate(ink) == "rgb(27, 31, 36)"
    assert tab.evaluate("getComputedStyle(document.body).overflowX") == "visible"
    tab.close()


def test_wide_tables_scroll_by_keyboard_on_a_phone(pages: dict[str, Path], browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(pages["study"].as_uri())
    wide = tab.locator(".wide:has(table)").filter(has_text="All measures of every arm")
    assert wide.evaluate("part => part.scrollWidth > part.clientWidth")
    wide.focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("part => part.scrollLeft > 0", arg=wide.element_handle())
    tab.close()


def test_a_link_of_the_contents_goes_to_its_section(pages: dict[str, Path], browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(pages["run"].as_uri())
    tab.get_by_role("link", name="Memorisation").click()
    title = tab.get_by_role("heading", name="Memorisation")
    tab.wait_for_function(
        "part => part.getBoundingClientRect().top < 100", arg=title.element_handle()
    )
    tab.get_by_text("Nearest pairs").click()
    assert tab.get_by_text("of the usual distance").first.is_visible()
    tab.close()
