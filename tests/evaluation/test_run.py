"""Measuring a run: which snapshot against which split, what is recorded, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from hqgan.errors import DataError, RunError, UsageError
from hqgan.evaluation import Extractor, features, load_extractor, reference_class_mix
from hqgan.evaluation.run import Measurement, class_mixed_fakes, data_of, evaluate_run
from hqgan.models import load_snapshot
from hqgan.training import train
from random_inception import random_state
from small_runs import tiny_config, tiny_dataset, write_folders

KEYS = {
    *("recipe", "class", "value", "interval", "floor", "n_real", "n_fake", "split"),
    *("extractor", "seed"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the embedded lesions with two snapshots."""
    run = tmp_path_factory.mktemp("evaluate") / "run"
    for kimg in (0.008, 0.016):
        train(tiny_config(kimg), run)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, not measured yet."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor(name="tiny")


def recorded(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]


def test_the_newest_snapshot_is_measured_on_val_and_recorded(
    run: Path, extractor: Extractor
) -> None:
    (measured,) = evaluate_run(run, "embedded", extractor)
    assert measured.snapshot.name == "snapshot-00.016"
    assert measured.images_seen == 16
    first = measured.records[0]
    assert first.keys() >= KEYS
    assert (first["recipe"], first["split"]) == ("fd_tiny", "val")
    assert first["n_real"] == first["n_fake"] == 222
    assert first["value"] > first["floor"] > 0
    line = recorded(run)[0]
    assert line["value"] == first["value"]
    assert (line["snapshot"], line["final"]) == ("snapshot-00.016", False)


def test_the_same_seed_measures_the_same(run: Path, extractor: Extractor) -> None:
    one, two = (evaluate_run(run, "embedded", extractor, seed=4) for _ in range(2))
    other = evaluate_run(run, "embedded", extractor, seed=5)
    assert one[0].records == two[0].records
    assert one[0].records[0]["value"] != other[0].records[0]["value"]


def test_test_is_opened_with_final_only_and_that_is_recorded(
    run: Path, extractor: Extractor
) -> None:
    with pytest.raises(UsageError, match="repeat with --final"):
        evaluate_run(run, "embedded", extractor, split="test")
    assert not (run / "evaluation.jsonl").exists()
    (measured,) = evaluate_run(run, "embedded", extractor, split="test", final=True)
    assert measured.records[0]["split"] == "test"
    assert recorded(run)[0]["final"] is True
    (implied,) = evaluate_run(run, "embedded", extractor, final=True)
    assert implied.records == measured.records


def test_what_is_not_on_record_is_not_told_of_test(run: Path, extractor: Extractor) -> None:
    (run / "evaluation.jsonl").mkdir()
    assert evaluate_run(run, "embedded", extractor)
    with pytest.raises(
        RunError, match=r"on record only, and .*evaluation\.jsonl cannot be written"
    ):
        evaluate_run(run, "embedded", extractor, split="test", final=True)


def test_the_whole_inception_also_gives_the_numbers_of_its_first_part(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "INPUT_SIZE", 75)  # the smallest that Inception takes
    save_file(random_state(), tmp_path / "net.safetensors")
    wide = load_extractor(tmp_path / "net.safetensors", cache_dir=tmp_path)
    *_, measured = evaluate_run(run, "embedded", wide, curve=True, n=20)
    overall = [r["recipe"] for r in measured.records if r["class"] is None]
    manifold = ("precision", "recall", "density", "coverage")
    assert overall == [name + dim for dim in ("2048", "768") for name in ("fid", "kid", *manifold)]


def test_a_curve_measures_every_snapshot_in_order(run: Path, extractor: Extractor) -> None:
    measured = evaluate_run(run, "embedded", extractor, curve=True, n=200)
    assert [m.images_seen for m in measured] == [8, 16]
    assert {m.records[0]["n_fake"] for m in measured} == {200}
    assert {m.records[0]["floor"] for m in measured} == {None}
    with pytest.raises(RunError, match="no snapshots to draw a curve through"):
        evaluate_run(run / "snapshot-00.016", "embedded", extractor, curve=True)


def test_fakes_have_the_class_mix_of_the_reference(run: Path) -> None:
    generator, _ = load_snapshot(run)
    reference = tiny_dataset(counts=(8, 4, 2, 2), classes=("a", "b", "c", "d"))
    images, labels = class_mixed_fakes(generator, reference, 8, seed=0)
    assert images.shape == (8, 32, 32, 3)
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [4, 2, 1, 1]
    assert reference_class_mix(reference.labels, 4, 8).tolist() == [4, 2, 1, 1]


def test_data_of_other_classes_are_refused(run: Path, extractor: Extractor, tmp_path: Path) -> None:
    data = write_folders(tmp_path / "data")
    with pytest.raises(DataError, match=r"has the classes bkl, mel, nv, but .* was trained on"):
        evaluate_run(run, str(data), extractor)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"split": "train"}, "split is 'train'"),
        ({"split": "val", "final": True}, "--final opens the test split, and nothing else"),
        ({"n": 1}, "n is 1, but a distance is taken of 2 to 50,000"),
        ({"n": 10**9}, "n is 1000000000, but"),
    ],
)
def test_an_impossible_order_is_refused(
    run: Path, extractor: Extractor, order: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate_run(run, "embedded", extractor, **order)


def test_the_data_of_a_run_are_in_its_configuration(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_of(run) == data_of(run / "snapshot-00.016") == ("embedded", None)
    alone = tmp_path / "alone" / "snapshot"
    shutil.copytree(run / "snapshot-00.016", alone)
    monkeypatch.delenv("HQGAN_DATA", raising=False)
    with pytest.raises(UsageError, match="name data with --data, or in HQGAN_DATA"):
        data_of(alone)
    monkeypatch.setenv("HQGAN_DATA", "/images")
    assert data_of(alone) == ("/images", None)
    assert data_of(run) == ("embedded", None)
    with pytest.raises(RunError, match="does not exist"):
        data_of(tmp_path / "typo")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("embedded", str(tmp_path / "gone")))
    with pytest.raises(DataError, match=r"not at .*gone any more; say with --data"):
        data_of(run)


def test_the_table_says_why_a_number_is_missing() -> None:
    there = {
        "recipe": "kid768",
        "class": "mel",
        "value": 0.25,
        "interval": [0.2, 0.3],
        "floor": 0.01,
        "n_real": 44,
        "n_fake": 44,
    }
    absent = {"recipe": "fid768", "class": None, "value": None, "reason": "too few images"}
    lines = list(Measurement(Path("s"), 8, [there, absent]).lines())
    assert lines[1].split() == ["kid768", "mel", "0.25", "[0.2,", "0.3]", "0.01", "44", "44"]
    assert lines[2].split() == ["fid768", "all", "-", "too", "few", "images"]
    assert "kid768: kernel distance of 768 Inception features" in lines[3]
    assert lines[5].split()[:3] == ["floor:", "the", "same"]


def test_a_table_without_intervals_has_no_column_for_them() -> None:
    record = {
        "recipe": "fd_tiny",
        "class": None,
        "value": 0.25,
        "interval": None,
        "floor": 0.01,
        "n_real": 44,
        "n_fake": 45,
    }
    head, row, *_ = Measurement(Path("s"), 8, [record]).lines()
    assert head.split() == ["recipe", "class", "value", "floor", "real", "fake"]
    assert row.split() == ["fd_tiny", "all", "0.25", "0.01", "44", "45"]
    assert len(head) == len(row) <= 80
    head, row, *_ = Measurement(Path("s"), 8, [record, record | {"interval": [0, 1]}]).lines()
    assert "95 % interval" in head
    assert len(head) == len(row)
