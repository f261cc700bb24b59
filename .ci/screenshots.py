"""Takes the pictures of the report and of the web page: docs/images/report.png and app.png.

Usage: HQGAN_DATA=HAM10000 python .ci/screenshots.py     (`make screenshots`; needs Chromium)
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PACKAGED = "ham10000-64"
WIDTH = 1280
LARGEST = 300_000  # bytes of a picture
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
HQGAN = (sys.executable, "-m", "hqgan.cli")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 1100})
        file = Path(folder) / "report.html"
        subprocess.run([*HQGAN, "report", "--pretrained", PACKAGED, "--out", file], check=True)
        page.goto(file.as_uri())
        keep(page, "report", 1100)
        command = [*HQGAN, "app", "--pretrained", PACKAGED, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as serving:
            try:
                page.goto(address(serving))
                page.get_by_role("button", name="Make images").click()
                page.get_by_text("Angles and expectation values").wait_for(timeout=120_000)
                page.wait_for_timeout(1500)  # pictures fade in
                keep(page, "app", 2200)
            finally:
                serving.terminate()
        browser.close()


def address(serving: "subprocess.Popen[str]") -> str:
    """Where the page is, as the command says it."""
    assert serving.stderr is not None
    for line in serving.stderr:
        if "http://" in line:
            return "http://" + line.partition("http://")[2].split()[0]
    sys.exit("hqgan app ended before it said its address")


def keep(page: Page, name: str, height: int) -> None:
    """The upper part of a page, in 128 colours."""
    file = IMAGES / f"{name}.png"
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)
    if (size := file.stat().st_size) > LARGEST:
        sys.exit(f"{file} has {size:,} bytes, more than {LARGEST:,}")


if __name__ == "__main__":
    main()
