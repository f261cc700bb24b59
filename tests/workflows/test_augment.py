"""Augmentation: what is written, that it continues, and what it refuses."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hqgan import cli
from hqgan.data import load_dataset, open_source
from hqgan.errors import DataError, HqganError, RunError, UsageError
from hqgan.foreign import in_markdown
from hqgan.training import Callbacks, train
from hqgan.training.loop import Interrupted
from hqgan.workflows import sample
from hqgan.workflows.augment import Augmented, augment
from small_images import write_csv, write_picture
from small_runs import CLASSES, NARROW, SIZE, fingerprint, tiny_config, write_folders

ROUNDING = 1  # grey level: float32 sums may run in another order in another batch
STEPS = 3  # of the judge
NO_CIRCUITS = "generator.twin=zeros"  # no kernel is compiled
OFF = {"copy_filter": False, "class_filter": False}  # they reject what is hardly trained
TRAINED = 0.016  # kimg
COUNTS = {"bkl": 6, "mel": 3, "nv": 2}  # training images
LESIONS = 2  # views of each lesion


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with lesions and splits; all training lesions but odd ones have two images."""
    folder = tmp_path_factory.mktemp("augment") / "data"
    rows = []
    for name, count in COUNTS.items():
        for split, images in (("train", count), ("val", 2), ("test", 2)):
            for number in range(images):
                image = f"{name}-{split}-{number}"
                write_picture(folder / f"{image}.png", len(rows), width=SIZE, height=SIZE)
                rows.append((image, name, split, f"{name}-{split}-lesion{number // LESIONS}"))
    write_csv(folder / "labels.csv", ("image_id", "dx", "split", "lesion_id"), rows)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("augment") / "run"
    train(tiny_config(TRAINED, NO_CIRCUITS, data=data), folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, run: Path) -> Augmented:
    """Every class filled up to the largest."""
    return augment(run, tmp_path_factory.mktemp("augment") / "out", **OFF)


def manifest(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


def test_every_class_is_filled_up_to_the_largest(made: Augmented) -> None:
    out = Path(made.out)
    assert made.per_class == dict.fromkeys(CLASSES, 6)
    assert made.synthetic == {"bkl": 0, "mel": 3, "nv": 4}
    assert made.files == 18
    assert {f.name for f in out.iterdir()} == {
        *CLASSES,
        *("README.md", "augment.json", "manifest.csv"),
    }
    for name in CLASSES:
        files = [f.name for f in (out / name).iterdir()]
        assert len(files) == 6
        assert sum(f.startswith("real-") for f in files) == COUNTS[name]
        assert sum(f.startswith("synthetic-") for f in files) == made.synthetic[name]
    assert Path(made.grid).is_file()
    assert out not in Path(made.grid).parents


def test_real_images_are_those_of_train_and_synthetic_ones_those_of_sample(
    made: Augmented, data: Path, run: Path, tmp_path: Path
) -> None:
    out = Path(made.out)
    real = load_dataset(data, "train", SIZE)
    rows = manifest(out)
    by_id = {row["id"]: row for row in rows if row["synthetic"] == "false"}
    assert set(by_id) == set(real.ids.tolist())
    for name, image, lesion in zip(real.ids, real.images, real.groups, strict=True):
        np.testing.assert_array_equal(pixels(out / by_id[name]["file"]), image)
        assert by_id[name]["lesion"] == lesion
    sample(run, tmp_path / "sampled", per_class=20)
    synthetic = [row["file"] for row in rows if row["synthetic"] == "true"]
    assert len(synthetic) == 7
    for file in synthetic:
        twin = tmp_path / "sampled" / file.replace("synthetic-", "")
        assert np.abs(pixels(out / file) - pixels(twin)).max() <= ROUNDING


def test_the_manifest_has_a_line_for_every_image(made: Augmented, data: Path) -> None:
    out = Path(made.out)
    rows = manifest(out)
    files = sorted(f.relative_to(out).as_posix() for f in out.glob("*/*.png"))
    assert sorted(row["file"] for row in rows) == files
    assert {row["split"] for row in rows} == {"train"}
    train_ids = set(load_dataset(data, "train", SIZE).ids.tolist())
    for row in rows:
        assert row["class"] == Path(row["file"]).parent.name
        about = [row[key] for key in ("seed", "snapshot", "nearest", "distance")]
        if row["synthetic"] == "true":
            assert row["seed"] == "0"
            assert len(row["snapshot"]) == 64
            assert row["nearest"] in train_ids
            assert float(row["distance"]) > 0
        else:
            assert about == [""] * 4
        assert row["confidence"] == ""  # nobody judged


def test_read_back_it_is_a_training_set_that_keeps_lesions_together(
    made: Augmented, data: Path
) -> None:
    source = open_source(made.out)
    assert source.counts()["train"] == made.per_class
    assert not source.split("val")
    assert not source.split("test")
    assert source.classes == CLASSES
    assert not source.skipped
    again, real = load_dataset(made.out, "train", SIZE), load_dataset(data, "train", SIZE)
    kept = again.metadata["synthetic"] == "false"
    assert sorted(again.groups[kept].tolist()) == sorted(real.groups.tolist())
    assert len(set(again.groups[~kept].tolist())) == 7
    with pytest.raises(DataError, match="has no val image"):
        load_dataset(made.out, "val", SIZE)


def test_the_card_says_what_it_is(made: Augmented, data: Path) -> None:
    card = (Path(made.out) / "README.md").read_text(encoding="utf-8")
    _, head, body = card.split("---\n", 2)
    fields = yaml.safe_load(head)
    assert fields["task_categories"] == ["image-classification"]
    assert "synthetic" in fields["tags"]
    assert "| mel | 3 | 3 | 3 |" in body
    assert load_dataset(data, "train", SIZE).checksum in body
    for words in ("not for diagnosis", "prove nothing", "licence", "Seed"):
        assert words in body
    assert "- Recognition: not asked for." in body


def test_the_same_command_gives_the_same_files(made: Augmented, run: Path, tmp_path: Path) -> None:
    again = augment(run, tmp_path / "out", **OFF)
    assert fingerprint_of_images(Path(again.out)) == fingerprint_of_images(Path(made.out))
    assert manifest(Path(again.out)) == manifest(Path(made.out))
    other = augment(run, tmp_path / "other", **OFF, seed=1)
    assert fingerprint_of_images(Path(other.out)) != fingerprint_of_images(Path(made.out))


def test_what_is_complete_is_left_alone(run: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", list[str]()
    first = augment(run, out, **OFF)
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    second = augment(run, out, **OFF, callbacks=Callbacks(message=told.append))
    assert asdict(first) == asdict(second)
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*")} == before
    assert f"{out} is complete already" in told


@pytest.mark.parametrize("where", ["judge", "mel"])
def test_an_interrupted_job_continues_to_the_same_files(
    run: Path, tmp_path: Path, where: str
) -> None:
    options = {"judge_steps": STEPS, "copy_filter": False, "per_class": 8}

    def kill(stage: str, done: int, total: int) -> None:
        if stage == where:
            raise KeyboardInterrupt

    whole = augment(run, tmp_path / "whole", **options)
    out = tmp_path / "out"
    with pytest.raises(Interrupted, match="the same command continues"):
        augment(run, out, **options, callbacks=Callbacks(stage=kill))
    assert not (out / "manifest.csv").exists()
    before = {f: f.stat().st_mtime_ns for f in out.glob("*/*.png")}
    stages: set[str] = set()
    again = augment(
        run, out, **options, callbacks=Callbacks(stage=lambda name, *at: stages.add(name))
    )
    assert fingerprint_of_images(out) == fingerprint_of_images(Path(whole.out))
    assert manifest(out) == manifest(Path(whole.out))
    assert again.balanced_accuracy == whole.balanced_accuracy
    assert {f: f.stat().st_mtime_ns for f in before} == before
    assert ("judge" in stages) == (where == "judge")  # kept, it is not trained again
    assert bool(before) == (where == "mel")


def test_files_that_were_lost_are_made_again(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    augment(run, out, **OFF)
    before = fingerprint(out)
    (out / "mel" / "synthetic-00000.png").unlink()
    shutil.rmtree(out / "nv")
    augment(run, out, **OFF)
    assert fingerprint(out) == before


@pytest.mark.parametrize("lost", ["manifest.csv", "README.md", "mel/synthetic-00000.png"])
def test_a_complete_job_that_lost_or_broke_a_file_mends_it(
    run: Path, tmp_path: Path, lost: str
) -> None:
    out = tmp_path / "out"
    augment(run, out, **OFF)
    whole = fingerprint(out)
    (out / lost).unlink()
    if lost.endswith("png"):
        (out / lost).write_bytes(b"\x89PNG")
    augment(run, out, **OFF)
    assert fingerprint(out) == whole


def test_an_image_that_the_manifest_does_not_name_is_pointed_at(run: Path, tmp_path: Path) -> None:
    augment(run, tmp_path / "out", **OFF)
    shutil.copy(tmp_path / "out" / "mel" / "real-00000.png", tmp_path / "out" / "nv" / "mine.png")
    refuse(RunError, r"does not name, the first is nv/mine\.png", run, tmp_path / "out", **OFF)


def test_a_data_set_that_was_moved_says_where_it_is_now(run: Path, tmp_path: Path) -> None:
    augment(run, tmp_path / "out", **OFF)
    for name in ("out", "out-run"):
        (tmp_path / name).rename(tmp_path / name.replace("out", "moved"))
    assert augment(run, tmp_path / "moved", **OFF).out == str(tmp_path / "moved")


def test_other_settings_of_the_generator_are_not_taken_for_a_finished_job(
    data: Path, tmp_path: Path
) -> None:
    augment(tiny_config(TRAINED, NO_CIRCUITS, data=data), tmp_path / "out", **OFF)
    other = tiny_config(TRAINED, NO_CIRCUITS, "critic.width=4", data=data)
    refuse(UsageError, "critic.width: 8 -> 4", other, tmp_path / "out", **OFF)


def test_names_of_classes_cannot_break_the_card() -> None:
    assert in_markdown("<b>a|b\n") == "&lt;b&gt;a\\|b"


def test_a_generator_is_trained_beside_the_data_set_and_its_training_continues(
    data: Path, tmp_path: Path
) -> None:
    config = tiny_config(TRAINED, NO_CIRCUITS, data=data)

    def stop(text: str) -> None:
        if text.startswith("training"):
            raise Interrupted("stopped")

    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        augment(config, out, **OFF, callbacks=Callbacks(message=stop))
    assert not out.exists()
    result = augment(config, out, **OFF)
    assert Path(result.snapshot).parent == tmp_path / "out-run" / "generator"
    assert result.per_class == dict.fromkeys(CLASSES, 6)
    with pytest.raises(UsageError, match=r"was begun otherwise \(kimg: 0.016 -> 0.032\)"):
        augment(tiny_config(0.032, NO_CIRCUITS, data=data), out, **OFF)
    assert len(list((tmp_path / "out-run" / "generator").glob("snapshot-*"))) == 1


def test_the_judge_speaks_and_its_rejections_are_counted(run: Path, tmp_path: Path) -> None:
    told: list[str] = []
    tell = Callbacks(message=told.append)
    options = {"judge_steps": STEPS, "copy_filter": False, "per_class": 8}
    result = augment(run, tmp_path / "out", **options, callbacks=tell)
    assert result.balanced_accuracy is not None
    assert any(f"balanced accuracy on val is {result.balanced_accuracy:.3f}" in t for t in told)
    for report in result.reports:
        assert report["kept"] + report["unrecognised"] == report["made"]
        if report["kept"] < report["asked"]:
            assert any(
                t.startswith(f"{report['name']} got {report['kept']}") for t in result.warnings
            )
            assert report["made"] == 20 * report["asked"]
    judged = [row for row in manifest(tmp_path / "out") if row["synthetic"] == "true"]
    assert judged
    assert all(float(row["confidence"]) > 1 / 3 for row in judged)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"balanced accuracy on val {result.balanced_accuracy:.3f}" in card


def test_near_copies_by_the_measure_of_val_are_left_out(run: Path, tmp_path: Path) -> None:
    told: list[str] = []
    result = augment(
        run, tmp_path / "out", class_filter=False, callbacks=Callbacks(message=told.append)
    )
    card = (tmp_path / "out" / "README.md").read_text()
    threshold = float(card.partition("Thresholds: bkl ")[2].split()[0])
    distances = [row["distance"] for row in manifest(tmp_path / "out") if row["distance"]]
    assert all(float(distance) > threshold for distance in distances)
    for report in result.reports:
        assert report["kept"] + report["near_copies"] == report["made"]
    short = [report["name"] for report in result.reports if report["kept"] < report["asked"]]
    assert [text.split()[0] for text in result.warnings] == short
    assert all(f"warning: {text}" in told for text in result.warnings)


def test_without_filters_nothing_is_left_out(run: Path, tmp_path: Path) -> None:
    result = augment(run, tmp_path / "out", per_class=9, **OFF)
    assert result.per_class == dict.fromkeys(CLASSES, 9)
    assert all(r["made"] == r["kept"] == r["asked"] for r in result.reports)
    assert all(row["distance"] for row in manifest(tmp_path / "out") if row["seed"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": 0}, "number of images per class is 0, but must be from 1"),
        ({"per_class": 5, "balance": "max"}, "--per-class 5 and --balance max both say"),
        ({"balance": "mean"}, "the balance is 'mean'; expected max or median"),
        ({"judge_steps": 0}, "the judge's steps are 0"),
        ({"per_class": 2}, "there is nothing to add to bkl 6, mel 3, nv 2"),
        ({"per_class": 10**30}, "but must be from 1"),
        ({"per_class": 10**9}, "GB left; ask for fewer"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_an_impossible_order_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path, options: dict, message: str
) -> None:
    refuse(UsageError, message, run, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_refused_and_left_alone(run: Path, tmp_path: Path) -> None:
    for name in ("out", "new-run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "note.txt").write_text("mine")
    before = fingerprint(tmp_path)
    refuse(RunError, "out is not empty and not of an augmentation", run, tmp_path / "out")
    refuse(RunError, "new-run is not empty and not of an augm", run, tmp_path / "new")
    refuse(RunError, "is a file; --out must name a folder", run, tmp_path / "out" / "note.txt")
    assert fingerprint(tmp_path) == before


def test_a_begun_job_takes_no_other_settings(made: Augmented, run: Path) -> None:
    before = fingerprint(Path(made.out))
    out = Path(made.out)
    refuse(UsageError, r"begun otherwise \(seed: 0 -> 5\)", run, out, **OFF, seed=5)
    refuse(UsageError, r"begun otherwise \(counts: ", run, out, **OFF, per_class=9)
    refuse(UsageError, r"begun otherwise \(class_filter: None -> ", run, out, copy_filter=False)
    assert fingerprint(out) == before


def test_a_data_set_within_its_own_data_is_refused(data: Path, run: Path) -> None:
    refuse(UsageError, "lies within the data", run, data / "augmented")
    refuse(UsageError, "lies within", run, data, data=str(data / "labels.csv"))


def test_lesions_in_two_splits_are_refused(data: Path, run: Path, tmp_path: Path) -> None:
    torn = copied(data, tmp_path)
    edit(torn, "mel-test-0,mel,test,mel-test-lesion0", "mel-test-0,mel,test,mel-train-lesion0")
    refuse(
        DataError,
        "1 lesion is .mel-train-lesion0. in both train and test",
        run,
        tmp_path / "out",
        data=str(torn),
    )


def test_an_image_in_two_splits_is_refused(data: Path, run: Path, tmp_path: Path) -> None:
    double = copied(data, tmp_path)
    shutil.copy(double / "nv-train-1.png", double / "nv-val-0.png")
    refuse(
        DataError, "nv-train-1 .train. = nv-val-0 .val.", run, tmp_path / "out", data=str(double)
    )


def test_data_without_val_is_refused_unless_there_are_no_filters(
    made: Augmented, run: Path, tmp_path: Path
) -> None:
    refuse(
        DataError,
        "has no val image, by which the filters are set",
        run,
        tmp_path / "out",
        data=made.out,
    )
    result = augment(run, tmp_path / "out", data=made.out, per_class=7, **OFF)
    assert result.per_class == dict.fromkeys(CLASSES, 7)


def test_a_run_of_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    other = write_folders(tmp_path / "other", ("mel", "nv", "scc"))
    refuse(
        DataError,
        "makes bkl, mel, nv, but the data has .* mel, nv, scc",
        run,
        tmp_path / "out",
        data=str(other),
    )


def test_a_run_that_saw_test_images_is_refused(data: Path, run: Path, tmp_path: Path) -> None:
    swapped = copied(data, tmp_path)
    edit(swapped, "nv-train-0,nv,train,nv-train-lesion0", "nv-train-0,nv,test,nv-train-lesion0")
    edit(swapped, "nv-train-1,nv,train,nv-train-lesion0", "nv-train-1,nv,test,nv-train-lesion0")
    edit(swapped, "nv-test-0,nv,test,nv-test-lesion0", "nv-test-0,nv,train,nv-test-lesion0")
    edit(swapped, "nv-test-1,nv,test,nv-test-lesion0", "nv-test-1,nv,train,nv-test-lesion0")
    message = "was trained on 2 test images of these data, the first is nv-train-0"
    refuse(DataError, message, run, tmp_path / "out", data=str(swapped))
    config = tiny_config(TRAINED, NO_CIRCUITS, f"init.run={run}", data=swapped)
    refuse(DataError, message, config, tmp_path / "out")
    # ... and so is one that was fine-tuned from it.
    grandchild = tmp_path / "grandchild"
    train(config, grandchild)
    refuse(DataError, message, grandchild, tmp_path / "out", data=str(swapped))


def test_what_a_run_was_trained_on_may_be_unknown_and_is_then_said(
    data: Path, run: Path, tmp_path: Path
) -> None:
    other = write_folders(tmp_path / "other", train=3, held_out=2)
    stranger = augment(run, tmp_path / "known", data=str(other), per_class=4, **OFF)
    assert any("None of them is in val or test" in text for text in stranger.warnings)
    moved = tmp_path / "moved"
    shutil.copytree(next(run.glob("snapshot-*")), moved)
    unknown = augment(moved, tmp_path / "unknown", data=str(other), per_class=4, **OFF)
    assert any("is not known" in text for text in unknown.warnings)
    assert unknown.warnings[0] in (tmp_path / "unknown" / "README.md").read_text()


def test_a_class_without_val_images_is_said_so(data: Path, run: Path, tmp_path: Path) -> None:
    folder = copied(data, tmp_path)
    for number in range(2):
        edit(folder, f"nv-val-{number},nv,val,nv-val-lesion0", "")
    result = augment(run, tmp_path / "out", data=str(folder), **OFF)
    assert "val has no image of nv" in result.warnings[0]


@pytest.fixture
def hqgan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hqgan", "augment", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return command


def test_the_command_trains_augments_and_prints_rates(hqgan, data: Path, tmp_path: Path) -> None:
    settings = [f"--set={s}" for s in (*NARROW, NO_CIRCUITS, "batch=8", "precision=float32")]
    code, out, err = hqgan(
        *(f"--data={data}", f"--out={tmp_path / 'out'}", "--size=32", f"--kimg={TRAINED}"),
        *(
            "--device=cpu",
            "--balance=median",
            "--no-class-filter",
            "--no-copy-filter",
            "--json",
            *settings,
        ),
    )
    assert code == 0, err
    told = json.loads(out)
    assert told["per_class"] == {"bkl": 6, "mel": 3, "nv": 3}
    assert {"files", "per_class", "out"} <= set(told)
    assert "near-copies" in err
    assert "train split only" in err


def test_the_command_refuses_a_run_that_is_to_be_trained(hqgan, run: Path) -> None:
    code, out, err = hqgan(f"--run={run}", "--kimg=5")
    assert (code, out) == (2, "")
    assert "--run takes a generator as it is, and --kimg would train one" in err


def fingerprint_of_images(out: Path) -> dict[str, str]:
    return {name: digest for name, digest in fingerprint(out).items() if name.endswith(".png")}


def refuse(
    error: type[HqganError], message: str, source: object, out: Path, **options: object
) -> None:
    with pytest.raises(error, match=message):
        augment(source, out, **options)


def copied(data: Path, where: Path) -> Path:
    return shutil.copytree(data, where / "data")


def edit(data: Path, old: str, new: str) -> None:
    """Change a line of the label table."""
    file = data / "labels.csv"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
