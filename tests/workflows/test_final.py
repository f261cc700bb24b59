"""Test is opened after val, once, on record, for the snapshots that val has seen."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from hqgan.errors import DataError, RunError, UsageError
from hqgan.report import comparison_page
from hqgan.training.runs import LOCK, acquire
from hqgan.workflows.compare import Plan, compare, plan
from hqgan.workflows.estimate import estimates
from hqgan.workflows.table import Comparison
from small_runs import SIZE, fingerprint, weights, write_folders

KIMG = 0.064
MODELS = ("hybridq", "dcgan")
SMALL = ("batch=8", "precision=float32")
# Without circuits, whose first use takes a minute to compile.
HYBRID = ("hybridq:generator.twin=zeros", "hybridq:critic.width=8")
MEASURED = ("cell-final.json", "fakes-final.npz")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folders(tmp_path_factory.mktemp("data"), train=12, held_out=8)
    for file in folder.glob("test/*/7.png"):  # as many images as val would hide a mix-up
        file.unlink()
    return folder


def planned(out: Path, data: Path, models: tuple[str, ...] = MODELS, **changes: object) -> Plan:
    settings = {"kimg": KIMG, "size": SIZE, "extractor": "tiny", "device": "cpu"} | changes
    own = [*(HYBRID if "hybridq" in models else ()), *settings.pop("assignments", ())]
    return plan(out, models, data=str(data), assignments=[*SMALL, *own], **settings)


@pytest.fixture(scope="module")
def on_val(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    out = tmp_path_factory.mktemp("compared") / "table"
    chosen = planned(out, data)
    table = compare(chosen)
    comparison_page(table, chosen, out)
    return out, table


@pytest.fixture(scope="module")
def on_test(
    on_val: tuple[Path, Comparison], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Comparison]:
    out = tmp_path_factory.mktemp("opened") / "table"
    shutil.copytree(on_val[0], out)
    chosen = planned(out, data, final=True)
    table = compare(chosen)
    comparison_page(table, chosen, out)
    return out, table


def test_nothing_of_val_changes_and_nothing_is_trained(
    on_val: tuple[Path, Comparison], on_test: tuple[Path, Comparison]
) -> None:
    before, after = fingerprint(on_val[0]), fingerprint(on_test[0])
    assert {name: after[name] for name in before} == before
    new = {f"{model}-seed0/{file}" for model in MODELS for file in MEASURED}
    new |= {f"comparison-final.{suffix}" for suffix in ("json", "csv", "html")}
    assert after.keys() - before.keys() == new | {"test-opened.json"}


def test_the_numbers_are_of_test_and_the_curves_of_val(
    on_val: tuple[Path, Comparison], on_test: tuple[Path, Comparison]
) -> None:
    table = on_test[1]
    assert (table.settings["split"], table.settings["n"]) == ("test", 21)
    assert table.settings["curve_split"] == "val"
    for one, other in zip(on_val[1].models, table.models, strict=True):
        assert {r["split"] for r in other["recipes"]} == {"test"}
        assert {r["n_real"] for r in other["recipes"] if r["class"] is None} == {21}
        assert other["curve"] == one["curve"]
        assert other["images_seen"] == one["images_seen"]
    assert table.models[1]["difference"] != on_val[1].models[1]["difference"]
    with np.load(on_test[0] / "dcgan-seed0" / "fakes-final.npz") as fakes:
        assert fakes["features"].shape[0] == 21
    page = (on_test[0] / "comparison-final.html").read_text()
    assert f"Test was opened once ({table.settings['test_opened'][0]['opened'][:10]})." in page
    assert "Test was opened" not in (on_test[0] / "comparison.html").read_text()


def test_the_opening_is_recorded_once_with_what_was_measured(
    on_test: tuple[Path, Comparison], data: Path
) -> None:
    out, table = on_test
    before = fingerprint(out)
    record = json.loads((out / "test-opened.json").read_text())
    (opening,) = record["openings"]
    assert opening["snapshots"] == {f"{m}-seed0": "snapshot-00.064" for m in MODELS}
    again = compare(planned(out, data, final=True))
    assert again == table
    assert fingerprint(out) == before


def test_a_model_that_joins_later_is_an_opening_of_its_own(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    trained = weights(out / "dcgan-seed0")
    joined = planned(out, data, (*MODELS, "dcgan+kit"), final=True)
    assert [e.state for e in estimates(joined)] == ["done", "done", "new", "done", "done", "new"]
    table = compare(joined)
    assert [model["model"] for model in table.models] == [*MODELS, "dcgan+kit"]
    first, second = table.settings["test_opened"]
    assert first == on_test[1].settings["test_opened"][0]
    assert list(second["snapshots"]) == ["dcgan+kit-seed0"]
    assert weights(out / "dcgan-seed0") == trained


def test_a_run_that_goes_on_is_measured_again_and_that_is_seen(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    table = compare(planned(out, data, ("dcgan",), kimg=2 * KIMG, final=True))
    assert table.models[0]["images_seen"] == 2000 * KIMG
    assert len(table.settings["test_opened"]) == 2
    known = table.settings["test_opened"][1]["snapshots"]
    assert known == {"dcgan-seed0": "snapshot-00.128"}


def test_a_run_trained_anew_to_the_same_length_is_an_opening_and_measured(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    shutil.rmtree(out / "dcgan-seed0")
    chosen = planned(out, data, final=True, assignments=["dcgan:critic.norm=none"])
    table = compare(chosen)
    first, second = table.settings["test_opened"]
    assert second["snapshots"] == {"dcgan-seed0": first["snapshots"]["dcgan-seed0"]}
    assert second["weights_sha256"] != {"dcgan-seed0": first["weights_sha256"]["dcgan-seed0"]}
    comparison_page(table, chosen, out)
    assert "Test was opened 2 times" in (out / "comparison-final.html").read_text()


def test_a_foreign_run_trained_anew_in_its_place_is_opened_and_measured_again(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "mine", tmp_path / "table"
    shutil.copytree(on_test[0] / "dcgan-seed0", run)
    first = compare(planned(out, data, (str(run),), final=True))
    other = planned(tmp_path / "other", data, ("dcgan",), assignments=["dcgan:critic.norm=none"])
    compare(other)
    shutil.rmtree(run)
    shutil.copytree(tmp_path / "other" / "dcgan-seed0", run)
    second = compare(planned(out, data, (str(run),), final=True))
    assert len(second.settings["test_opened"]) == 2
    assert second.models[0]["curve"] != first.models[0]["curve"]
    assert second.models[0]["recipes"] != first.models[0]["recipes"]


def test_records_from_before_weights_had_a_digest_are_used(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    for file in out.glob("*/cell*.json"):
        record = json.loads(file.read_text())
        del record["weights_sha256"]
        file.write_text(json.dumps(record))
    openings = json.loads((out / "test-opened.json").read_text())
    for opening in openings["openings"]:
        del opening["weights_sha256"]
    (out / "test-opened.json").write_text(json.dumps(openings))
    before = fingerprint(out)
    table = compare(planned(out, data, final=True))
    assert table.models == on_test[1].models
    assert len(table.settings["test_opened"]) == 1
    assert fingerprint(out) == before


def test_two_at_once_do_not_both_note_an_opening(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    chosen = planned(out, data, final=True)
    with acquire(out / LOCK), pytest.raises(RunError, match="another process"):
        compare(chosen)
    assert compare(chosen) == on_test[1]


def test_an_interrupted_opening_is_not_counted_twice(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    for file in MEASURED:
        (out / "dcgan-seed0" / file).unlink()
    table = compare(planned(out, data, final=True))
    assert table == on_test[1]


def test_a_lost_record_is_asked_for(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(on_test[0], out)
    (out / "test-opened.json").unlink()
    with pytest.raises(RunError, match=r"test-opened\.json.* is gone; restore it"):
        compare(planned(out, data, final=True))
    (out / "test-opened.json").write_text("[1]")
    with pytest.raises(RunError, match=r"test-opened\.json is damaged"):
        planned(out, data, final=True)


def test_other_test_images_or_another_number_of_fakes_are_refused(
    on_test: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "copy", tmp_path / "data"
    shutil.copytree(on_test[0], out)
    shutil.copytree(data, other)
    next(other.glob("test/*/6.png")).unlink()
    with pytest.raises(UsageError, match="other test images"):
        planned(out, other, final=True)
    record = json.loads((out / "test-opened.json").read_text()) | {"n": 20}
    (out / "test-opened.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"another number of generated images \(n 20, now 21"):
        planned(out, data, final=True)


def test_data_without_a_test_split_cannot_be_opened(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "test")
    with pytest.raises(DataError, match="no test image"):
        planned(tmp_path / "new", tmp_path / "data", final=True)
    assert not (tmp_path / "new").exists()


def test_a_final_cell_can_be_sent_to_a_worker(on_test: tuple[Path, Comparison], data: Path) -> None:
    for cell in planned(on_test[0], data, final=True).cells:
        assert pickle.loads(pickle.dumps(cell)) == cell
