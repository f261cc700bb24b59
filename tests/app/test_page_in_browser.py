"""The page as visitors use it: a real server, a real browser, every button clicked.

Some tests begin where the one before ends: a page is opened once a theme, and a training costs half
a minute.
"""

import csv
import io
import os
import re
import shutil
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqgan.app.explaining import sites
from hqgan.app.generating import Order, make
from hqgan.app.model import open_model
from hqgan.data import lesions
from hqgan.pretrained import find_pretrained
from hqgan.workflows import sample
from open_page import a_page
from small_runs import write_folders

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PHONE = {"width": 390, "height": 844}
WAIT = 60_000  # ms, for one thing to appear on a busy machine
TRAINING = 170_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a page with some training images, and where its temporary files are."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("server")
    data = write_folders(tmp_path_factory.mktemp("data"))
    environment = {**os.environ, "TMPDIR": str(folder)}
    with a_page(environment, "--data", str(data), "--max-upload-mb", "2") as (address, process):
        yield address, folder
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not list(folder.glob("hqgan-app-*")), "temporary files stay behind"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


# A button on its way from one colour to another has contrasts that nobody sees.
AT_REST = """document.getAnimations().every(
    one => one.playState !== "running" || one.effect.getComputedTiming().iterations === Infinity
)"""


class Visit:
    """A page, with all the addresses it asked for and all errors it had."""

    def __init__(self, browser: Any, address: str, **options: Any):
        self.context = browser.new_context(accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.looked_at()

    def looked_at(self) -> None:
        """Wait until all about the chosen image is there."""
        self.page.wait_for_selector("#circuit img")
        self.page.wait_for_selector("#nearest :is(figure, .hq-note)")

    def make(self, count: int, name: str | None = None, seed: int | None = None) -> None:
        """Click what makes images, and wait for them."""
        page = self.page
        if name is not None:
            page.get_by_label("Class", exact=True).click()
            page.get_by_role("option", name=re.compile(f"^{name}")).click()
        if seed is not None:
            page.get_by_label("Seed").first.fill(str(seed))
        page.get_by_label("number input for Images", exact=True).fill(str(count))
        page.get_by_label("number input for Images", exact=True).press("Tab")
        before = page.locator("#said").inner_text()
        page.click("#make")
        page.wait_for_function(
            "before => document.querySelector('#said').innerText != before", arg=before
        )

    def wait_for_text(self, where: str, words: str, timeout: float = WAIT) -> str:
        """Wait until an element says something; returns all it says."""
        place = self.page.locator(where, has_text=re.compile(words))
        place.wait_for(timeout=timeout)
        return place.inner_text()

    def toast(self) -> str:
        """The sentence of an error, which is closed then."""
        toast = self.page.locator(".toast-body").first
        toast.wait_for()
        text = toast.inner_text()
        toast.get_by_test_id("toast-close").click()
        toast.wait_for(state="hidden")
        return text

    def violations(self) -> list[str]:
        """What axe finds serious or critical."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        self.page.wait_for_function(AT_REST)
        found = axe.Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="module")
def visit(browser: Any, server: tuple[str, Path]) -> Iterator[Visit]:
    one = Visit(browser, server[0], viewport={"width": 1200, "height": 900})
    yield one
    assert not one.errors
    one.context.close()


@pytest.fixture(scope="module")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of embedded lesions, as a visitor might pack them."""
    file = tmp_path_factory.mktemp("zip") / "lesions.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for kind, name in enumerate(lesions.CLASSES):
            for row in range(8):
                image = lesions.draw(kind, 48, lesions.seed_of("train", kind, row))
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, format="PNG")
                archive.writestr(f"my lesions/{name}/{row}.png", buffer.getvalue())
        archive.writestr("my lesions/notes.txt", "taken in May")
    return file


def test_pictures_are_there_at_once_and_nothing_comes_from_elsewhere(
    visit: Visit, server: tuple[str, Path]
) -> None:
    assert visit.page.locator("#gallery img").count() == 8
    notice = visit.page.locator("#notice").inner_text()
    assert "Synthetic images, for research, not for diagnosis." in notice
    assert "HAM10000 (CC BY-NC 4.0)" in notice
    strangers = [url for url in visit.asked if not url.startswith((server[0], "data:", "blob:"))]
    assert not strangers


def test_the_notice_stays_in_sight(visit: Visit) -> None:
    visit.page.mouse.wheel(0, 5000)
    visit.page.wait_for_function("scrollY > 100")
    box = visit.page.locator(".hq-notice").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 50
    visit.page.mouse.wheel(0, -5000)


def test_what_is_ordered_comes_and_is_what_hqgan_sample_makes(visit: Visit, tmp_path: Path) -> None:
    visit.make(2, "every class", 11)
    assert "14 images of every class, seed 11, exact values" in visit.wait_for_text("#said", "14")
    with visit.page.expect_download() as download:
        visit.page.click("#download")
    assert download.value.suggested_filename == "hqgan-every-class-seed11.zip"
    download.value.save_as(tmp_path / "images.zip")
    sample(find_pretrained("ham10000-64"), tmp_path / "sampled", per_class=2, seed=11)
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
        assert len(rows) == 14
        for row in rows:
            with (
                Image.open(io.BytesIO(archive.read(row["file"]))) as image,
                Image.open(tmp_path / "sampled" / row["file"]) as expected,
            ):
                assert np.array_equal(image, expected)
        assert "CC BY-NC 4.0" in archive.read("README.md").decode()


def test_a_chosen_picture_shows_its_circuits_streams_and_nearest_image(visit: Visit) -> None:
    visit.make(3, "nv", 0)
    visit.wait_for_text("#streams", "nv 0")
    visit.page.locator("#gallery button").nth(1).click()
    streams = visit.wait_for_text("#streams", "nv 1")
    assert "quantum stream off (zeros)" in streams
    assert "quantum stream of another image" in streams
    nearest = visit.wait_for_text("#nearest", "nv 1")
    assert re.search(r"nearest of these data, real: \w+, distance \d+\.\d", nearest)
    visit.page.wait_for_selector('#circuit img[alt*="of nv 1"]')
    visit.page.get_by_label("Circuit", exact=True).click()
    visit.page.get_by_role("option", name="Site 16: row 4, column 4").click()
    visit.page.wait_for_selector('#circuit img[alt^="Site 16: row 4, column 4, of nv 1"]')
    shown = re.findall(r"[+-]\d\.\d{3}", visit.page.locator("#circuit").inner_text())
    model = open_model(find_pretrained("ham10000-64"), "")
    site = sites(model, make(model, Order("nv", 3, 0)), 1)[15]
    z, x = site.values.unflatten(0, (2, 6))
    rows = zip(site.inputs.tolist(), z.tolist(), x.tolist(), strict=True)
    assert shown == [f"{number:+.3f}" for row in rows for number in row]


def test_shots_and_noise_are_chosen_with_their_numbers(visit: Visit) -> None:
    visit.page.get_by_label("shots", exact=True).check()
    visit.page.get_by_label("Shots", exact=True).fill("32")
    visit.make(2, seed=1)
    assert "32 shots of each circuit" in visit.wait_for_text("#said", "seed 1")
    visit.page.get_by_label("exact values").check()
    visit.page.get_by_label("Shots", exact=True).wait_for(state="hidden")


def test_a_walk_is_a_strip_between_two_seeds(visit: Visit) -> None:
    visit.page.click("#walk")
    visit.page.wait_for_selector("#strip img")
    words = visit.page.locator("#strip figcaption").all_inner_texts()
    assert (words[0], words[-1], len(words)) == ("seed 0", "seed 1", 8)
    alt = visit.page.locator("#strip img").first.get_attribute("alt")
    assert "Synthetic image" in alt


def test_what_cannot_be_made_is_said_in_a_sentence(visit: Visit) -> None:
    visit.page.get_by_label("Class", exact=True).click()
    visit.page.get_by_role("option", name="every class").click()
    visit.page.get_by_label("number input for Images", exact=True).fill("20")
    visit.page.click("#make")
    text = visit.toast()
    assert "20 images of each of 7 classes are 140, but 64 are made at once" in text
    visit.make(4, "df", 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_tabs_are_accessible_and_fit_a_phone(
    browser: Any, server: tuple[str, Path], scheme: str
) -> None:
    visit = Visit(browser, server[0], viewport=PHONE, color_scheme=scheme)
    visit.page.click("#walk")
    visit.page.wait_for_selector("#strip img")
    assert visit.violations() == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visit.page.get_by_role("tab", name="Your images").click()
    visit.page.wait_for_selector("#upload")
    assert visit.violations() == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visit.context.close()


def test_a_hostile_zip_is_refused_in_words(visit: Visit, tmp_path: Path) -> None:
    visit.page.get_by_role("tab", name="Your images").click()
    file = tmp_path / "evil.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mel/../../../evil.png", b"x")
    visit.page.set_input_files("#upload input[type=file]", file)
    text = visit.wait_for_text("#findings", "leads out of it")
    assert str(tmp_path) not in text
    assert visit.page.locator("#train").is_hidden()


def test_a_zip_beyond_the_limit_is_refused(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "large.zip"
    file.write_bytes(os.urandom(2_500_000))
    visit.page.set_input_files("#upload input[type=file]", file)
    assert re.search("large|size|exceed", visit.toast(), re.IGNORECASE)


def test_own_images_are_looked_at_and_trained_on_and_used(visit: Visit, own_images: Path) -> None:
    page = visit.page
    page.set_input_files("#upload input[type=file]", own_images)
    found = visit.wait_for_text("#findings", "keratosis")
    assert "Left in the zip, for they are no images: my lesions/notes.txt." in found
    assert visit.violations() == []
    kimg = page.get_by_label("number input for Thousands of images to train on")
    kimg.fill("0.2")
    kimg.press("Tab")
    page.click("#train")
    visit.wait_for_text("#progress", "Preparing for|Running for")
    assert page.locator("#progress progress").count() == 1
    visit.wait_for_text("#progress", "Finished: 200 images", TRAINING)
    assert page.locator("#progress img").get_attribute("alt") == (
        "Samples after 200 images, one row a class"
    )
    assert visit.violations() == []
    with page.expect_download() as download:
        page.click("#save")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {"run/config.yaml", "run/state.pt", "run/README.md"} <= set(archive.namelist())
    page.click("#use")
    page.get_by_role("heading", name="your generator").wait_for()
    assert "4 images of keratosis, seed 2" in visit.wait_for_text("#said", "keratosis")
    assert "nearest training image, real" in visit.wait_for_text("#nearest", "keratosis 0")
    assert "licence of the images it was trained on" in page.locator("#notice").inner_text()


def test_a_cancelled_training_says_how_to_go_on(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab", name="Your images").click()
    kimg = page.get_by_label("number input for Thousands of images to train on")
    kimg.fill("20")
    kimg.press("Tab")
    page.click("#train")
    visit.wait_for_text("#progress", "Running for", TRAINING)
    page.click("#cancel")
    text = visit.wait_for_text("#progress", "Stopped", TRAINING)
    assert "hqgan train --config run/config.yaml" in text
    assert page.locator("#save").is_visible()
    assert page.locator("#train").is_enabled()
    page.click("#back")
    page.get_by_role("heading", name="ham10000-64").wait_for()


def test_a_visitors_files_are_gone_with_the_server_and_foreign_ones_never_served(
    visit: Visit, server: tuple[str, Path]
) -> None:
    address, folder = server
    (own,) = folder.glob("hqgan-app-*")
    assert own.stat().st_mode & 0o077 == 0
    sessions = [path for path in own.glob("session-*") if path.is_dir()]
    assert sessions
    for path in (f"{sessions[0]}", "/etc/passwd", str(Path(__file__).absolute())):
        assert visit.context.request.get(f"{address}/gradio_api/file={path}").status == 403
