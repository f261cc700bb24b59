"""What the commands work on, and the processes that run them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.commands import Place, make_place
from faults.crashing import Server
from web_attacks import Controls, Page, a_page_under_attack, controls

PRELOADED = ("failing_io", "jumping_clock")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def server(place: Place) -> Iterator[Server]:
    running = Server(place.folder, {"HQGAN_INCEPTION": ""})
    yield running
    running.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with a_page_under_attack(tmp_path_factory.mktemp("page"), "--max-upload-mb", "1") as running:
        yield running


@pytest.fixture(scope="module")
def buttons(page: Page) -> Controls:
    return controls(page)


@pytest.fixture(scope="session")
def preloaded(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose commands' files can fail and whose clock can jump: `PRELOADED`, in C."""
    compiler = shutil.which("cc")
    if not compiler or sys.platform != "linux":
        pytest.skip("compiles what stands between a process and Linux")
    folder, here = tmp_path_factory.mktemp("preloaded"), Path(__file__).parent
    libraries = []
    for name in PRELOADED:
        library = folder / f"{name}.so"
        source = here / f"{name}.c"
        order = [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
        subprocess.run(order, check=True)
        libraries.append(str(library))
    running = Server(place.folder, {"HQGAN_INCEPTION": "", "LD_PRELOAD": ":".join(libraries)})
    yield running
    running.close()
