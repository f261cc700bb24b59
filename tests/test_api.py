"""`from hqgan import ...`: quick to import, and the same things as the commands."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import hqgan
from hqgan import cli
from hqgan.errors import DataError, HqganError, RunError, UsageError
from hqgan.models import load_snapshot
from small_runs import CLASSES, same, weights, write_folders

NARROW = {
    "critic__width": 8,
    "generator__qubits": 2,
    "generator__circuit_layers": 1,
    "batch": 8,
    "device": "cpu",
    "precision": "float32",
    "size": 32,
    "quiet": True,
}
QUICK = 0.1  # seconds for `import hqgan`


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("api") / "data")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> "hqgan.api.Trained":
    return hqgan.train(data, tmp_path_factory.mktemp("api") / "run", kimg=0.032, **NARROW)


def test_importing_hqgan_loads_nothing_and_is_quick() -> None:
    program = (
        "import sys, time; began = time.perf_counter(); import hqgan; "
        "print(time.perf_counter() - began); "
        "print(*({'torch', 'numpy', 'pydantic', 'hqgan.models'} & set(sys.modules)))"
    )
    times = []
    for _ in range(3):  # of a busy machine the best
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        seconds, modules = said.stdout.decode().split("\n")[:2]
        assert modules == ""
        times.append(float(seconds))
        if times[-1] < QUICK:
            return
        time.sleep(0.5)
    raise AssertionError(f"import hqgan took {times} s")


def test_every_public_name_is_listed_and_there() -> None:
    expected = {"HybridQGenerator", "QuantumLayer", "train", "evaluate", "load", "sample"}
    assert expected | {"layered", "__version__"} <= set(dir(hqgan))
    for name in hqgan.PUBLIC:
        assert getattr(hqgan, name).__name__ == name
    with pytest.raises(AttributeError, match=r"no attribute 'tran'; it has .*train"):
        hqgan.tran  # noqa: B018
    with pytest.raises(ImportError):
        from hqgan import tran  # noqa: F401


def test_a_run_is_trained_and_stands_for_its_folder(
    run: "hqgan.api.Trained", tmp_path: Path
) -> None:
    assert run.images_seen == 32
    assert Path(run.snapshot).parent == Path(run)
    assert "32 images seen" in repr(run)
    assert '<img alt="generated' in run._repr_html_()
    generator = run.load()
    assert generator.about.classes == CLASSES
    images = generator(torch.randn(2, generator.z_dim), torch.tensor([0, 2]))
    assert images.shape == (2, 3, 32, 32)
    assert same(generator, load_snapshot(Path(run))[0])


def test_it_is_the_run_that_the_command_trains(
    run: "hqgan.api.Trained", data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        *("train", "--size=32", "--batch=8", "--kimg=0.032", f"--data={data}", "--device=cpu"),
        *(f"--set={s}" for s in ("critic.width=8", "generator.qubits=2", "precision=float32")),
        *("--set=generator.circuit_layers=1", f"--out={tmp_path / 'run'}"),
    ]
    monkeypatch.setattr(sys, "argv", ["hqgan", *command])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert weights(tmp_path / "run") == weights(Path(run))


def test_it_is_measured_and_shows_a_table(
    run: "hqgan.api.Trained", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)
    found = hqgan.evaluate(run, n=12, quiet=True)
    assert found["fd_tiny"]["n_real"] == 12
    assert found.records == found.measurements[-1].records
    assert "fd_tiny" in repr(found)
    assert "<table>" in found._repr_html_()
    with pytest.raises(KeyError, match="'fid' was not measured; measured were fd_tiny"):
        found["fid"]
    assert "| val | fd_tiny | all |" in (Path(run.snapshot) / "README.md").read_text()
    with pytest.raises(UsageError, match="--final"):
        hqgan.evaluate(run, split="test")
    final = hqgan.evaluate(run, n=12, final=True, quiet=True)
    assert {record["split"] for record in final.records} == {"test"}
    assert "a small fixed net (tiny" in repr(final)


def test_images_are_written_and_shown(run: "hqgan.api.Trained", tmp_path: Path) -> None:
    drawn = hqgan.sample(run, tmp_path / "out", per_class=2, quiet=True)
    assert drawn.files == 6
    assert len(list(Path(drawn).rglob("*.png"))) == 7
    assert "6 images in" in repr(drawn)
    assert "data:image/png;base64," in drawn._repr_html_()
    with pytest.raises(RunError, match="is not empty"):
        hqgan.sample(run, tmp_path / "out", per_class=2)
    packaged = hqgan.sample("ham10000-64", tmp_path / "packaged", n=3, quiet=True)
    assert "HAM10000 (CC BY-NC 4.0)" in repr(packaged)


def test_load_takes_a_run_a_snapshot_a_name_and_says_what_else_there_is(
    run: "hqgan.api.Trained", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert same(hqgan.load(str(Path(run))), hqgan.load(Path(run.snapshot)))
    assert hqgan.load("ham10000-64").about.origin.data == "HAM10000"
    with pytest.raises(UsageError, match="known are ham10000-64"):
        hqgan.load("ham")
    with pytest.raises(RunError, match="does not exist"):
        hqgan.load(tmp_path / "absent")


def test_what_is_loaded_is_shared_with_the_card_of_its_run(
    run: "hqgan.api.Trained", tmp_path: Path
) -> None:
    hqgan.load(run).save_pretrained(tmp_path / "copy")
    card = (tmp_path / "copy" / "README.md").read_text()
    assert "`critic.width: 32 -> 8`" in card
    assert "| training time |" in card
    assert hqgan.load(tmp_path / "copy").about == load_snapshot(Path(run))[1]


def test_wrong_words_are_errors_of_ours(data: Path, tmp_path: Path) -> None:
    for wrong in ({"preset": "hybird"}, {"generator__qubit": 3}, {"size": 48}, {"kimgs": 3}):
        with pytest.raises(UsageError):
            hqgan.train(data, tmp_path / "run", **wrong)
    with pytest.raises(DataError):
        hqgan.train(tmp_path / "typo", tmp_path / "run", **NARROW)
    with pytest.raises(HqganError, match="loggers"):
        hqgan.train(data, tmp_path / "run", loggers=["comet"])
    with pytest.raises(HqganError, match=r"loggers\.0 is 'comet'"):
        hqgan.train(data, tmp_path / "run", loggers="comet")
    assert not (tmp_path / "run").exists()
