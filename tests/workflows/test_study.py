"""A whole study of narrow models on a few images, and everything it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hqgan.errors import DataError, RunError, UsageError
from hqgan.protocol import Protocol
from hqgan.report import study_page
from hqgan.training.runs import LOCK, acquire
from hqgan.workflows.executor import Executor
from hqgan.workflows.settings import begin
from hqgan.workflows.study import Plan, StudyResult, plan, study
from hqgan.workflows.study.cells import ClassifierCell, GeneratorCell, PoolCell
from hqgan.workflows.study.estimate import estimates
from hqgan.workflows.study.plan import OPENED
from small_images import write_picture
from small_runs import CLASSES, NARROW, SIZE, fingerprint, no_file_descriptors, write_folders

TRAIN, HELD_OUT = 12, 8  # images of each class
UNFILTERED = {"class_filter": False, "copy_filter": False}
ARMS = {
    "real": {"augmentation": "none"},
    "hybridq": {"generator": "hybridq", "ratio": ["median", 0.5], **UNFILTERED},
    "filtered": {"generator": "hybridq", "ratio": 0.25},
    "alone": {"generator": "hybridq", "ratio": 1.0, "real": False, **UNFILTERED},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes; of the first one there are more training images."""
    folder = write_folders(tmp_path_factory.mktemp("data"), train=TRAIN, held_out=HELD_OUT)
    for number in range(TRAIN):
        file = folder / "train" / CLASSES[0] / f"more-{number}.png"
        write_picture(file, 77_000 + number, width=SIZE, height=SIZE)
    return folder


def protocol(data: Path, **changes: object) -> Protocol:
    values = {
        "data": str(data),
        "size": SIZE,
        "seeds": 2,
        "fractions": [1.0, 0.5],
        "classifier": {"steps": 8, "batch": 8},
        "generators": {"kimg": 0.032, "set": ["batch=8", "precision=float32", *NARROW]},
        "arms": ARMS,
        "primary": {"comparisons": [["hybridq@0.5", "real"], ["alone", "real"]]},
        "extractor": "tiny",
        "device": "cpu",
    }
    return Protocol.model_validate(values | changes)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, StudyResult]:
    chosen = plan(protocol(data), tmp_path_factory.mktemp("study") / "out")
    return chosen, study(chosen)


def test_every_arm_classifier_and_fraction_has_a_row(done: tuple[Plan, StudyResult]) -> None:
    _, result = done
    arms = ["real", "hybridq@median", "hybridq@0.5", "filtered", "alone"]
    expected = [(arm, f) for f in (1.0, 0.5) for arm in arms]
    assert [(row["arm"], row["fraction"]) for row in result.arms] == expected
    for row in result.arms:
        assert row["seeds"] == 2
        assert np.sum(row["confusion"]) == 2 * len(CLASSES) * HELD_OUT
        assert 0 <= row["measures"]["accuracy"]["value"] <= 1


def test_each_arm_trains_on_the_images_it_names(done: tuple[Plan, StudyResult]) -> None:
    rows = {row["arm"]: row for row in done[1].arms if row["fraction"] == 1.0}
    real = [2 * TRAIN, TRAIN, TRAIN]
    assert (rows["real"]["real"], rows["real"]["synthetic"]) == (real, [0, 0, 0])
    assert rows["hybridq@median"]["synthetic"] == [0, 0, 0]
    assert rows["hybridq@0.5"]["synthetic"] == [TRAIN, TRAIN // 2, TRAIN // 2]
    assert (rows["alone"]["real"], rows["alone"]["synthetic"]) == ([0, 0, 0], real)


def test_at_a_fraction_generator_and_classifier_see_the_same_lesions(
    done: tuple[Plan, StudyResult],
) -> None:
    generators = [cell for cell in done[0].cells if isinstance(cell, GeneratorCell)]
    assert len(generators) == 4  # two seeds, two fractions
    for cell in generators:
        seen = cell.done()["real_images"]
        assert seen == 4 * TRAIN * cell.fraction == len(cell.train_split())
        checksum = json.loads(next(cell.folder.glob("run/snapshot-*/hqgan.json")).read_text())
        assert checksum["data_checksum"] == cell.train_split().checksum


def test_each_seed_has_a_generator_and_a_draw_of_its_own(done: tuple[Plan, StudyResult]) -> None:
    whole, half = (
        [c for c in done[0].cells if isinstance(c, GeneratorCell) and c.fraction == fraction]
        for fraction in (1.0, 0.5)
    )
    weights = [next(c.folder.glob("run/snapshot-*/model.safetensors")) for c in whole]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    assert set(half[0].train_split().ids) != set(half[1].train_split().ids)


def test_arms_with_the_same_filters_share_their_images(done: tuple[Plan, StudyResult]) -> None:
    pools = [cell for cell in done[0].cells if isinstance(cell, PoolCell)]
    assert len(pools) == 8  # two kinds of filter, two seeds, two fractions
    cells = {c.arm_name: c for c in done[0].classifiers if c.seed == 0 and c.fraction == 1.0}
    few, _, synthetic = cells["hybridq@0.5"].images()
    many, _, _ = cells["alone"].images()
    added = {image.tobytes() for image in few[synthetic]}
    assert len(added) == synthetic.sum()
    assert added <= {image.tobytes() for image in many}


def test_only_primary_comparisons_have_p_values(done: tuple[Plan, StudyResult]) -> None:
    primary = [one for one in done[1].comparisons if one["primary"]]
    rest = [one for one in done[1].comparisons if not one["primary"]]
    assert [(one["arm"], one["against"]) for one in primary] == [
        ("hybridq@0.5", "real"),
        ("alone", "real"),
    ]
    assert all(one["sign_flip_p"] is not None for one in primary)
    assert not any("p" in one for one in rest)
    # Three more arms at the whole, less the two tested; four at the half.
    assert len(rest) == 2 + 4
    assert all("exploratory" in one["sentence"] for one in rest)


def test_too_few_seeds_for_any_test_are_said_before_anything_else(
    done: tuple[Plan, StudyResult],
) -> None:
    first = next(done[1].lines())
    assert "nothing can become significant" in first
    assert "better" not in done[1].sentence
    assert "worse" not in done[1].sentence


def test_the_controls_say_how_synthetic_images_are_told_apart_and_what_was_dropped(
    done: tuple[Plan, StudyResult],
) -> None:
    whole = next(g for g in done[1].generators if g["fraction"] == 1.0)
    for kind in whole["filters"]:
        told = kind["detectability"]["value"]
        assert told is None or 0.5 < told <= 1  # noise after 32 images
        for one in kind["per_class"]:
            assert one["kept"] <= one["made"]
            assert one["class"] in CLASSES


def test_the_json_holds_plain_numbers_only(done: tuple[Plan, StudyResult]) -> None:
    text = json.dumps(done[1].as_json(), allow_nan=False)
    assert {"arms", "comparisons", "minimum_detectable_effect", "sentence"} <= json.loads(
        text
    ).keys()


def test_finished_cells_are_not_done_again(done: tuple[Plan, StudyResult]) -> None:
    chosen, result = done
    before = fingerprint(chosen.study.out)
    again = study(plan(chosen.study.protocol, chosen.study.out))
    assert again.as_json() == result.as_json()
    assert fingerprint(chosen.study.out) == before


def test_a_cell_that_cannot_be_read_is_not_taken_for_undone(
    done: tuple[Plan, StudyResult],
) -> None:
    with no_file_descriptors(), pytest.raises(OSError, match="Too many open files"):
        done[0].classifiers[0].done()


def test_a_cell_that_is_lost_comes_back_the_same(
    done: tuple[Plan, StudyResult], tmp_path: Path
) -> None:
    chosen, result = done
    copy = tmp_path / "copy"
    shutil.copytree(chosen.study.out, copy)
    lost = next(c for c in chosen.classifiers if c.arm_name == "filtered")
    assert isinstance(lost, ClassifierCell)
    shutil.rmtree(copy / lost.folder.relative_to(chosen.study.out))
    again = study(plan(chosen.study.protocol, copy))
    assert again.as_json()["arms"] == result.as_json()["arms"]


def test_test_is_opened_by_final_alone_and_on_record(
    done: tuple[Plan, StudyResult], tmp_path: Path
) -> None:
    chosen, result = done
    copy = tmp_path / "copy"
    shutil.copytree(chosen.study.out, copy)
    assert not list(copy.rglob("test.npy"))
    assert not (copy / OPENED).exists()
    final = study(plan(chosen.study.protocol, copy), final=True)
    assert (final.split, final.final, result.split) == ("test", True, "val")
    assert json.loads((copy / OPENED).read_text())["opened"]


def test_a_table_cut_short_by_a_kill_is_computed_again(
    done: tuple[Plan, StudyResult], tmp_path: Path
) -> None:
    chosen, result = done
    copy = tmp_path / "copy"
    shutil.copytree(chosen.study.out, copy)
    cut = next(copy.rglob("val.npy"))
    cut.write_bytes(cut.read_bytes()[:100])
    again = study(plan(chosen.study.protocol, copy))
    assert again.as_json()["arms"] == result.as_json()["arms"]


def test_an_arm_that_cannot_be_trained_does_not_cost_the_others(data: Path, tmp_path: Path) -> None:
    arms = {name: ARMS[name] for name in ("real", "alone")}
    # Grey noise after 32 images is nearer to real images than real ones are: none is left.
    arms["none-left"] = {"generator": "hybridq", "class_filter": False, "real": False}
    pairs = {"comparisons": [["alone", "real"], ["none-left", "real"]]}
    chosen = plan(
        protocol(data, arms=arms, primary=pairs, seeds=1, fractions=[1.0]), tmp_path / "out"
    )
    result = study(chosen)
    rows = {row["arm"]: row["measures"]["accuracy"]["value"] for row in result.arms}
    assert rows["none-left"] is None
    assert rows["real"] is not None
    assert rows["alone"] is not None
    lost = next(one for one in result.comparisons if one["arm"] == "none-left")
    assert "the filters left no synthetic image" in lost["sentence"]
    assert any("none-left failed" in text for text in result.warnings)
    assert any("fewer than their ratio says" in text for text in result.warnings)
    study_page(result, tmp_path / "page")
    assert list(result.lines())


def test_data_that_are_gone_for_a_while_are_no_result(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    arms = {"real": ARMS["real"], "plain": {"augmentation": "none", "balance": "oversampling"}}
    pairs = {"comparisons": [["plain", "real"]]}
    chosen = plan(
        protocol(copy, arms=arms, primary=pairs, seeds=1, fractions=[1.0]), tmp_path / "out"
    )
    copy.rename(tmp_path / "away")
    with pytest.raises(DataError):
        study(chosen)
    (tmp_path / "away").rename(copy)
    assert not any("failed" in text for text in study(chosen).warnings)


def test_without_a_test_split_a_study_can_only_look(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "images"
    rows = ["file,class,split,id,lesion"]
    for split in ("train", "val"):
        for file in sorted((data / split).rglob("*.png")):
            name = file.relative_to(data)
            rows.append(f"{name},{file.parent.name},{split},{name},{name}")
    shutil.copytree(data, table)
    (table / "manifest.csv").write_text("\n".join(rows) + "\n")
    chosen = plan(protocol(table), tmp_path / "out")
    assert any("no test split" in text for text in chosen.warnings)
    with pytest.raises(DataError, match="--final"):
        study(chosen, final=True)
    assert not (tmp_path / "out").exists()


def test_two_processes_do_not_work_at_one_study(data: Path, tmp_path: Path) -> None:
    chosen = plan(protocol(data), tmp_path / "out")
    chosen.study.out.mkdir()
    with acquire(chosen.study.out / LOCK), pytest.raises(RunError, match="another process"):
        study(chosen)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=0", "another seed"),
        ("size=64", "another size"),
        ("kimg=5", "another kimg"),
        ("data.path=elsewhere", "another data.path"),
        ("init.run=elsewhere", "another init.run"),
        ("hybird:batch=4", "Did you mean 'hybridq'"),
    ],
)
def test_generators_differ_in_nothing_that_a_study_shares(
    data: Path, tmp_path: Path, setting: str, message: str
) -> None:
    recipe = {"kimg": 0.032, "set": [setting]}
    with pytest.raises(UsageError, match=message):
        plan(protocol(data, generators=recipe), tmp_path / "out")


@pytest.mark.parametrize("file", ["cell.json", "pool.npz", "model.safetensors", "classifier.json"])
def test_what_was_damaged_or_lost_is_done_again(
    done: tuple[Plan, StudyResult], tmp_path: Path, file: str
) -> None:
    chosen, result = done
    copy = tmp_path / "copy"
    shutil.copytree(chosen.study.out, copy)
    for place in list(copy.glob(f"pools/*/{file}")) + list(copy.glob(f"classifiers/**/{file}")):
        place.write_text("[]") if file == "cell.json" else place.unlink()
    again = study(plan(chosen.study.protocol, copy))
    assert again.as_json()["arms"] == result.as_json()["arms"]


def test_without_its_copy_of_the_protocol_a_study_still_knows_it(
    done: tuple[Plan, StudyResult], data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done[0].study.out, copy)
    (copy / "protocol.yaml").unlink()
    with pytest.raises(UsageError, match="made otherwise"):
        plan(protocol(data, seeds=3), copy)
    (copy / "protocol.yaml").write_text("arms: {}")
    with pytest.raises(RunError, match="the study's own copy"):
        plan(protocol(data), copy)


def test_test_that_was_opened_without_a_record_stays_closed(
    done: tuple[Plan, StudyResult], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done[0].study.out, copy)
    study(plan(done[0].study.protocol, copy), final=True)
    (copy / OPENED).unlink()
    with pytest.raises(RunError, match="opened in this study before"):
        study(plan(done[0].study.protocol, copy), final=True)


def test_test_images_that_changed_since_the_study_began_are_refused(
    done: tuple[Plan, StudyResult], data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    next((copy / "test" / CLASSES[0]).glob("*.png")).unlink()
    with pytest.raises(UsageError, match="test_checksum"):
        plan(protocol(copy), done[0].study.out)


def test_a_study_within_its_data_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="lies within the data"):
        plan(protocol(data), data / "train" / "study")


def test_a_dry_run_names_every_cell_and_does_none(data: Path, tmp_path: Path) -> None:
    chosen = plan(protocol(data, fractions=[1.0], seeds=1), tmp_path / "out")
    found = list(estimates(chosen))
    assert [one.cell for one in found] == [cell.name for cell in chosen.cells]
    assert all(one.hours > 0 for one in found if not one.cell.startswith("pools"))
    assert not (tmp_path / "out").exists()


def test_a_study_keeps_the_precision_that_its_threads_began_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On hardware with bfloat16, which this may lack."""
    monkeypatch.setattr("hqgan.training.classification.has_bf16", lambda device: True)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    out, workers = tmp_path / "out", Executor("processes", 1)
    chosen = plan(protocol(data), out, executor=workers)
    assert set(chosen.settings["precision"].values()) == {"float32"}
    begin(out, chosen.settings)
    plan(protocol(data), out, executor=workers)
    with pytest.raises(UsageError, match=r"'float32'.*'bf16'.*continue with the --executor"):
        plan(protocol(data), out)  # here, in one thread


def test_a_study_that_has_begun_keeps_its_protocol(
    done: tuple[Plan, StudyResult], data: Path
) -> None:
    with pytest.raises(UsageError, match=r"seeds: 2 -> 3.*fixed"):
        plan(protocol(data, seeds=3), done[0].study.out)


def test_other_data_under_the_same_name_are_refused(
    done: tuple[Plan, StudyResult], data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    write_picture(copy / "train" / CLASSES[1] / "0.png", 5, width=SIZE, height=SIZE)
    with pytest.raises(UsageError, match="train_checksum"):
        plan(protocol(copy), done[0].study.out)


def test_a_strange_folder_is_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not a study"):
        plan(protocol(data), tmp_path)


def test_an_image_in_two_splits_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    shutil.copy(copy / "train" / CLASSES[1] / "3.png", copy / "test" / CLASSES[1] / "stolen.png")
    with pytest.raises(DataError, match="stolen"):
        plan(protocol(copy), tmp_path / "out")


def test_unknown_classifiers_and_columns_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="resnet-smal"):
        plan(protocol(data, classifiers=["resnet-smal"]), tmp_path / "out")
    with pytest.raises(UsageError, match="fitzpatrick"):
        plan(protocol(data, groups=["fitzpatrick"]), tmp_path / "out")


def test_too_little_data_for_a_batch_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    large = {"kimg": 0.2, "set": ["batch=64", "precision=float32", *NARROW]}
    with pytest.raises(DataError, match="fewer than one batch"):
        plan(protocol(data, generators=large), tmp_path / "out")
