"""What the commands work on, and the figures that `make faults` prints at its end."""

from collections import Counter
from collections.abc import Iterator

import pytest

from faults.commands import Place, make_place
from faults.crashing import Server

FIGURES: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Counter()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def server(place: Place) -> Iterator[Server]:
    running = Server(place.folder, {"HQGAN_INCEPTION": ""})
    yield running
    running.close()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts by name; a test adds what it did."""
    return request.config.stash[FIGURES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counted = terminalreporter.config.stash[FIGURES]
    if counted:
        terminalreporter.section("faults survived")
    for name, count in sorted(counted.items()):
        terminalreporter.line(f"{count:7,}  {name}")
