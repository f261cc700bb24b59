"""Looking for copies in a run: what is compared with what, what is written, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.data import load_dataset
from hqgan.errors import DataError, RunError, UsageError
from hqgan.evaluation import Extractor, load_extractor
from hqgan.evaluation.copying import COPIES, NO_SIGN, TOO_FEW
from hqgan.evaluation.nearest import symmetries, thumbnails
from hqgan.models import find_snapshot
from hqgan.training import train
from hqgan.workflows.privacy import MARGIN, Privacy, privacy
from small_runs import CLASSES, SIZE, tiny_config, write_folders

N = 60
GREY = 1.0  # grey levels: a thumbnail of what was written against one in single precision


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("privacy") / "data", train=12, held_out=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    out = tmp_path_factory.mktemp("privacy") / "run"
    train(tiny_config(0.008, data=data), out)
    return out


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor(name="tiny")


@pytest.fixture(scope="module")
def found(run: Path, data: Path, extractor: Extractor) -> Privacy:
    return privacy(run, str(data), extractor, n=N)


def test_a_run_is_judged_attacked_and_written_down(found: Privacy, run: Path) -> None:
    record = json.loads(
        (next((run / "privacy").glob("snapshot-*-val")) / "privacy.json").read_text()
    )
    assert record == found.as_json()
    assert record["verdict"] in (COPIES, NO_SIGN, TOO_FEW)
    assert (record["split"], record["final"], record["n_fake"]) == ("val", False, N)
    attacks = [one["attack"] for one in record["membership"]]
    assert attacks == ["distance in pixels", "distance in features", "the critic"]
    assert record["warnings"] == []
    assert found.lines()[0] == record["sentence"]
    assert str(found.sheet) in found.lines()[-1]


def test_a_hold_out_that_shares_images_with_train_is_said(
    run: Path, data: Path, extractor: Extractor, tmp_path: Path
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    stolen = next((copy / "train" / CLASSES[0]).glob("*.png"))
    shutil.copy(stolen, copy / "val" / CLASSES[0] / "stolen.png")
    found = privacy(run, str(copy), extractor, n=N, out=tmp_path / "out")
    assert any("cannot show copying" in warning for warning in found.warnings)


def test_results_that_cannot_be_written_are_said_and_so_is_why(
    run: Path, data: Path, extractor: Extractor, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write to"):
        privacy(run, str(data), extractor, n=N, out=tmp_path / "file")


def test_the_sheet_shows_each_fake_beside_its_nearest_training_image(
    found: Privacy, data: Path
) -> None:
    known = load_dataset(str(data), "train", SIZE)
    sheet = np.asarray(Image.open(found.sheet))
    first = sheet[MARGIN : MARGIN + SIZE, MARGIN : MARGIN + 2 * SIZE]
    pair = found.found.pairs[0]
    assert known.ids[pair.train] == pair.train_id
    assert (first[:, SIZE:] == known.images[pair.train]).all()
    fake, real = thumbnails(np.stack([first[:, :SIZE], first[:, SIZE:]]))
    assert np.sqrt(np.square(fake - real).mean()) == pytest.approx(pair.distance, abs=GREY)
    over = np.square(symmetries(fake[None])[:, 0] - real).mean(axis=(1, 2, 3))
    assert over.argmin() == 0  # it is turned already


def test_a_snapshot_alone_goes_without_its_critic(
    run: Path, data: Path, extractor: Extractor, tmp_path: Path
) -> None:
    alone = shutil.copytree(find_snapshot(run), tmp_path / "alone")
    found = privacy(alone, str(data), extractor, n=N, out=tmp_path / "out")
    assert [one.attack for one in found.found.attacks] == [
        "distance in pixels",
        "distance in features",
    ]
    assert "its critic was not asked" in found.warnings[0]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "privacy.json",
        "worst.png",
    ]


def test_other_training_images_than_the_runs_own_are_warned_of(
    run: Path, data: Path, extractor: Extractor, tmp_path: Path
) -> None:
    fewer = shutil.copytree(data, tmp_path / "data")
    sorted(fewer.glob("train/*/*.png"))[0].unlink()
    found = privacy(run, str(fewer), extractor, n=N, out=tmp_path / "out")
    assert "trained on other images" in found.warnings[0]


def test_test_is_opened_on_record_only(
    run: Path, data: Path, extractor: Extractor, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--final"):
        privacy(run, str(data), extractor, split="test")
    found = privacy(run, str(data), extractor, split="test", final=True, n=N, out=tmp_path)
    assert found.as_json()["final"]
    assert found.found.split == "test"


def test_impossible_numbers_and_other_classes_are_refused(
    run: Path, data: Path, extractor: Extractor, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="n is 3"):
        privacy(run, str(data), extractor, n=3)
    with pytest.raises(DataError, match="was trained on"):
        privacy(run, str(write_folders(tmp_path / "other", ("a", "b"))), extractor)
    without = shutil.copytree(data, tmp_path / "without")
    shutil.rmtree(without / "test")
    with pytest.raises(DataError, match="no test image"):
        privacy(run, str(without), extractor, split="test", final=True)
