"""Sampling: how many of which class, the same again for the same seed, nothing overwritten."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.errors import RunError, UsageError
from hqgan.models import About
from hqgan.quantum.kernel.op import FusedCircuit
from hqgan.training import train
from hqgan.workflows import sample
from hqgan.workflows.sample import class_mix, spare_compilation
from small_images import write_picture
from small_runs import CLASSES, SIZE, tiny_config, tiny_dataset

ROUNDING = 1  # grey level: float32 sums may run in another order in another batch


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "run"
    train(tiny_config(0.016), folder, tiny_dataset())
    return folder


def counted(out: Path) -> dict[str, int]:
    return {folder.name: len(list(folder.iterdir())) for folder in out.iterdir() if folder.is_dir()}


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


def test_every_class_gets_its_number_and_there_is_an_overview(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    steps: list[tuple[int, int]] = []
    result = sample(run, out, per_class=3, progress=lambda *at: steps.append(at))
    assert result.per_class == counted(out) == dict.fromkeys(CLASSES, 3)
    assert result.files == 9
    assert (result.out, result.grid) == (str(out), str(out / "grid.png"))
    assert pixels(out / "mel" / "00002.png").shape == (SIZE, SIZE, 3)
    assert pixels(out / "grid.png").shape[0] == 3 * SIZE + 2 * 2  # rows with thin gaps
    assert steps[-1] == (9, 9)


def test_n_follows_the_class_mix_of_the_training_data(run: Path, tmp_path: Path) -> None:
    assert sample(run, tmp_path / "out", n=10).per_class == {"bkl": 5, "mel": 3, "nv": 2}


def test_n_may_be_smaller_than_the_number_of_classes(run: Path, tmp_path: Path) -> None:
    result = sample(run, tmp_path / "out", n=1)
    assert result.per_class == {"bkl": 1, "mel": 0, "nv": 0}
    assert Path(result.grid).is_file()


def test_the_mix_may_be_that_of_other_data(run: Path, tmp_path: Path) -> None:
    for name, count in (("mel", 1), ("nv", 3)):
        for number in range(count):
            write_picture(tmp_path / "like" / name / f"{number}.png", number)
    result = sample(run, tmp_path / "out", n=8, like=str(tmp_path / "like"))
    assert result.per_class == {"bkl": 0, "mel": 2, "nv": 6}


def test_a_class_the_run_does_not_know_is_refused(run: Path, tmp_path: Path) -> None:
    for name in ("mel", "scc"):
        write_picture(tmp_path / "like" / name / "0.png", 0)
    with pytest.raises(UsageError, match=r"has the class 'scc'.*bkl, mel, nv"):
        sample(run, tmp_path / "out", n=8, like=str(tmp_path / "like"))
    assert not (tmp_path / "out").exists()


def test_a_larger_order_repeats_the_smaller_one(run: Path, tmp_path: Path) -> None:
    few, many, other = tmp_path / "few", tmp_path / "many", tmp_path / "other"
    sample(run, few, per_class=2, seed=1)
    sample(run, many, per_class=5, seed=1)
    sample(run, other, per_class=2, seed=2)
    for name in CLASSES:
        for file in ("00000.png", "00001.png"):
            again, new = pixels(many / name / file), pixels(other / name / file)
            assert np.abs(pixels(few / name / file) - again).max() <= ROUNDING
            assert np.abs(pixels(few / name / file) - new).max() > 10


def test_the_same_order_gives_the_same_files(run: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        sample(run, tmp_path / out, per_class=2)
    for file in (tmp_path / "one").rglob("*.png"):
        assert (
            file.read_bytes()
            == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
        )


def test_few_images_do_not_wait_for_the_circuit_kernel(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(run, tmp_path / "plain", per_class=2)
    monkeypatch.setattr(sys.modules[spare_compilation.__module__], "FEW", 5)
    sample(run, tmp_path / "kernel", per_class=2)
    for file in (tmp_path / "plain").rglob("0000*.png"):
        same = pixels(tmp_path / "kernel" / file.relative_to(tmp_path / "plain"))
        assert np.abs(pixels(file) - same).max() <= ROUNDING

    def compiled(*_: object) -> None:
        raise AssertionError("the kernel ran")

    monkeypatch.setattr(FusedCircuit, "__call__", compiled)
    sample(run, tmp_path / "few", n=5)
    with pytest.raises(AssertionError, match="the kernel ran"):
        sample(run, tmp_path / "many", n=6)


def test_without_a_number_every_class_gets_eight(run: Path, tmp_path: Path) -> None:
    sample(run, tmp_path / "out")
    assert counted(tmp_path / "out") == dict.fromkeys(CLASSES, 8)


def test_nothing_is_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty; nothing is overwritten"):
        sample(run, tmp_path, per_class=1)
    with pytest.raises(RunError, match="is not empty"):
        sample(run, tmp_path / "note.txt", per_class=1)
    assert [f.name for f in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"per_class": 1, "n": 1}, "either --per-class N or --n N"),
        ({"per_class": 0}, "is 0, but must be at least 1"),
        ({"n": -3}, "is -3, but must be at least 1"),
        ({"like": "embedded"}, "--like sets the class mix of --n"),
        ({"per_class": 1, "like": "embedded"}, "--like sets the class mix of --n"),
    ],
)
def test_an_impossible_order_is_refused(
    run: Path, tmp_path: Path, order: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sample(run, tmp_path / "out", **order)


def test_a_run_without_a_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no snapshot"):
        sample(tmp_path, tmp_path / "out", per_class=1)


def test_more_images_than_the_disk_holds_are_refused_before_the_first(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"3,000,000,000 images .* GB left; ask for fewer"):
        sample(run, tmp_path / "out", per_class=10**9)
    assert not (tmp_path / "out").exists()


def test_the_mix_sums_to_n() -> None:
    about = About("hybridq", CLASSES, (10, 6, 4), 0, 0, "hybridq", "")
    for n in range(1, 30):
        assert sum(class_mix(about, n, None)) == n
