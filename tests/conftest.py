"""What every test shares: one thread, repeatable inputs, its own cache, the way to real data."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Hooks that sum up what the fault tests did; a process that only hands out tests needs them too.
pytest_plugins = ["faults.figures"]

ROOT = Path(__file__).parents[1]

# Small tensors are faster on one thread, and several test processes then share the cores fairly.
torch.set_num_threads(1)

# No deadline: the first example of a property may compile a kernel. CI always draws the same.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that are paid for run where they are asked for, with `-m hardware`, and only there."""
    if "hardware" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("hardware"):
                item.add_marker(pytest.mark.skip(reason="is paid for; run it with -m hardware"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty HQGAN_CACHE for the session: nobody's real cache is read or written."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HQGAN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the repository, with real images and weights."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder 'shared' beside the repository")
    return folder


@pytest.fixture(scope="session")
def ham10000(request: pytest.FixtureRequest) -> Path:
    """A HAM10000 folder (metadata.csv and images): HQGAN_DATA, or shared/data/ham10000."""
    if folder := os.environ.get("HQGAN_DATA"):
        return Path(folder)
    return existing(request.getfixturevalue("shared") / "data" / "ham10000")


@pytest.fixture(scope="session")
def inception_weights(request: pytest.FixtureRequest) -> Path:
    """Inception up to mixed_7a as safetensors: HQGAN_INCEPTION, or the file in shared/weights."""
    if file := os.environ.get("HQGAN_INCEPTION"):
        return Path(file)
    name = "inception_2015-12-05_to_mixed7a.safetensors"
    return existing(request.getfixturevalue("shared") / "weights" / name)


def existing(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not in the shared folder")
    return path
