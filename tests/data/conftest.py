"""What tests of data share: a cache of their own and folders of small images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from small_images import write_picture


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's own cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HQGAN_CACHE", str(folder))
    return folder


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """A function (mel=10, nv=20) -> folder of class folders with that many images."""

    def make(**counts: int) -> Path:
        folder = tmp_path / "folders"
        seed = 0
        for name, count in counts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                write_picture(folder / name / f"{number:03d}.png", seed)
                seed += 1
        return folder

    return make
