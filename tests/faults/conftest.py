"""What the commands work on, and the process that runs them."""

from collections.abc import Iterator

import pytest

from faults.commands import Place, make_place
from faults.crashing import Server


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def server(place: Place) -> Iterator[Server]:
    running = Server(place.folder, {"HQGAN_INCEPTION": ""})
    yield running
    running.close()
