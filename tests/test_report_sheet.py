"""The picture of real and generated images: every class has its row, nothing is chosen by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.data import Dataset, load_dataset
from hqgan.errors import RunError
from hqgan.models import About, HybridQGenerator, load_snapshot, save_snapshot
from hqgan.report.pieces import side_by_side
from hqgan.report.sheet import COLUMNS, sample_sheet, sheet_figure, some_of

SIZE = 32


@pytest.fixture(scope="module")
def real() -> Dataset:
    return load_dataset("embedded", "val", SIZE)


@pytest.fixture(scope="module")
def run(real: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    generator = HybridQGenerator(classes=len(real.classes), size=SIZE, qubits=2)
    about = About("hybridq", real.classes, tuple(real.counts.tolist()), 1000, 0, "hybridq", "0")
    save_snapshot(generator, folder / "snapshot-000001", about)
    return folder


def test_each_class_has_a_row_with_real_images_left_and_generated_ones_right(
    run: Path, real: Dataset
) -> None:
    generator, about = load_snapshot(run)
    (axis,) = sheet_figure(generator, about, real, seed=0).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(real.classes)
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "real (val)",
        "generated after 1,000 images",
    ]
    (picture,) = axis.get_images()
    first = np.asarray(picture.get_array())[:SIZE]
    assert np.array_equal(first[:, : COLUMNS * SIZE], side_by_side(some_of(real, 0, 0)))


def test_real_images_are_drawn_by_the_seed_and_none_is_shown_twice(real: Dataset) -> None:
    shown = some_of(real, 1, 0)
    assert len(np.unique(shown.reshape(len(shown), -1), axis=0)) == COLUMNS
    assert not np.array_equal(shown, some_of(real, 1, 1))


def test_the_picture_lies_beside_the_snapshot_and_is_the_same_each_time(run: Path) -> None:
    file = sample_sheet(run, "embedded")
    assert file == run / "real-and-generated-000001-val.png"
    with Image.open(file) as image:
        assert image.width > 2 * COLUMNS * SIZE
    before = file.read_bytes()
    assert sample_sheet(run / "snapshot-000001", "embedded").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_a_run_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        sample_sheet(run, "embedded", out=tmp_path / "file" / "out")
