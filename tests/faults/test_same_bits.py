"""The same seed gives the same bits on one machine, whatever else differs between two processes.

The second process has another seed for Python's hashes, another working folder, time zone, language
and cache, and every folder is listed to it in another order.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.canonical import contents
from faults.commands import Place, augmentation, comparison, study, training
from faults.crashing import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SHUFFLED = """
import os, random

def in_another_order(listing, rng=random.Random(5)):
    def shuffled(*arguments):
        found = list(listing(*arguments))
        rng.shuffle(found)
        return found
    return shuffled

class Entries:
    def __init__(self, path=".", listing=in_another_order(os.scandir)):
        self.entries = iter(listing(path))
    def __iter__(self):
        return self.entries
    def __next__(self):
        return next(self.entries)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def close(self):
        pass

os.listdir, os.scandir = in_another_order(os.listdir), Entries
"""


def own_run(place: Place, folder: Path) -> Path:
    """A copy of the run for a command that writes into it."""
    shutil.copytree(place.run, folder / "run", ignore=shutil.ignore_patterns(".lock"))
    return folder / "run"


def sampling(place: Place, folder: Path) -> list[str]:
    return ["sample", str(place.run), "--per-class=4", f"--out={folder / 'out'}"]


def evaluation(place: Place, folder: Path) -> list[str]:
    return ["evaluate", str(own_run(place, folder)), "--n=80", "--privacy"]


def probing(place: Place, folder: Path) -> list[str]:
    return ["probe", str(own_run(place, folder)), "--n=12", f"--out={folder / 'out'}"]


def exporting(place: Place, folder: Path) -> list[str]:
    pytest.importorskip("onnx")
    return ["export", str(place.run), f"--out={folder / 'out'}"]


def on_a_device(place: Place, folder: Path) -> list[str]:
    pytest.importorskip("qiskit_ibm_runtime")
    numbers = ["--n=2", "--shots=100", "--backend=fake:manila"]
    return ["hardware", "sample", str(place.run), f"--out={folder / 'out'}", *numbers]


def noise(place: Place, folder: Path) -> list[str]:
    pytest.importorskip("qiskit_ibm_runtime")
    numbers = ["--n=4", "--backend=noise:fake_manila"]
    return ["hardware", "study", str(place.run), f"--out={folder / 'out'}", *numbers]


def in_out(command: Callable[[Place, Path], list[str]]) -> Callable[[Place, Path], list[str]]:
    return lambda place, folder: command(place, folder / "out")


COMMANDS = {
    "train": in_out(training),
    "sample": sampling,
    "evaluate": evaluation,
    "augment": in_out(augmentation),
    "compare": in_out(comparison),
    "study": in_out(study),
    "probe": probing,
    "export": exporting,
    "hardware sample": on_a_device,
    "hardware study": noise,
}


@pytest.fixture(scope="module")
def one(place: Place) -> Iterator[Server]:
    running = Server(
        place.folder,
        {"HQGAN_INCEPTION": "", "PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    )
    yield running
    running.close()


@pytest.fixture(scope="module")
def other(place: Place) -> Iterator[Server]:
    elsewhere = place.folder / "elsewhere"
    elsewhere.mkdir()
    environment = {
        "HQGAN_INCEPTION": "",
        "HQGAN_CACHE": str(elsewhere / "cache"),
        "PYTHONHASHSEED": "2",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "COLUMNS": "60",
    }
    running = Server(elsewhere, environment)
    yield running
    running.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_two_processes_make_the_same_of_one_seed(
    name: str, place: Place, one: Server, other: Server, figures: Counter[str]
) -> None:
    folder = place.folder / f"same-{name.replace(' ', '-')}"
    folder.mkdir()
    one.finish(COMMANDS[name](place, folder), folder)
    expected = contents(folder)
    assert expected
    shutil.rmtree(folder)
    folder.mkdir()
    other.finish(COMMANDS[name](place, folder), folder, before=[SHUFFLED])
    assert contents(folder) == expected
    figures["commands in surroundings of every kind: the same bits"] += 1


def test_two_threads_agree_with_each_other(
    place: Place, server: Server, figures: Counter[str]
) -> None:
    """Not with one thread: what is summed in two parts is rounded otherwise."""
    folder = place.folder / "two-threads"
    arguments = training(place, folder / "out")
    threads = "import torch\ntorch.set_num_threads(2)"
    server.finish(arguments, folder, before=[threads])
    expected = contents(folder)
    shutil.rmtree(folder)
    server.finish(arguments, folder, before=[threads])
    assert contents(folder) == expected
    figures["trainings with two threads: the same bits"] += 1
