"""A whole comparison of narrow models on a few images, and everything it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from hqgan.config import load_config
from hqgan.errors import DataError, RunError, UsageError
from hqgan.training import train
from hqgan.workflows.compare import Plan, Row, compare, plan
from hqgan.workflows.estimate import estimates
from hqgan.workflows.table import Comparison
from small_runs import SIZE, fingerprint, no_file_descriptors, write_folders

KIMG = 0.064
SMALL = ("batch=8", "precision=float32")
MODELS = ("hybridq", "twin-zeros", "dcgan", "dcgan+kit")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("data"), train=12, held_out=8)


def planned(out: Path, data: Path, models: tuple[str, ...] = MODELS, **changes: object) -> Plan:
    settings = {"kimg": KIMG, "size": SIZE, "extractor": "tiny", "device": "cpu"} | changes
    assignments = (*SMALL, *settings.pop("assignments", ()))
    return plan(out, models, data=str(data), assignments=assignments, **settings)


@pytest.fixture(scope="module")
def compared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    out = tmp_path_factory.mktemp("compared") / "table"
    return out, compare(planned(out, data, seeds=2))


def test_each_model_has_a_row_in_the_order_asked_for(compared: tuple[Path, Comparison]) -> None:
    _, table = compared
    assert [row["model"] for row in table.models] == list(MODELS)
    for row in table.models:
        assert row["seeds"] == [0, 1]
        assert row["images_seen"] == 1000 * KIMG
        assert row["generator_parameters"] > 0
        assert row["critic_parameters"] > 0
        assert row["macs_per_image"] > 0
        assert row["images_per_second"] > 0
        assert row["curve"][-1]["images_seen"] == 1000 * KIMG


def test_only_models_with_circuits_have_quantum_costs(compared: tuple[Path, Comparison]) -> None:
    _, table = compared
    circuits = {row["model"]: row["circuits_per_image"] for row in table.models}
    assert circuits == {"hybridq": 16, "twin-zeros": 0, "dcgan": 0, "dcgan+kit": 0}


def test_all_but_hybridq_have_a_difference_to_it(compared: tuple[Path, Comparison]) -> None:
    _, table = compared
    assert table.models[0]["difference"] is None
    for row in table.models[1:]:
        low, high = row["difference"]["interval"]
        assert low < row["difference"]["value"] < high
    assert len(table.sentences) == len(MODELS) - 1


def test_a_row_may_see_fewer_images_with_fewer_seeds_and_settings_of_its_own(
    data: Path, tmp_path: Path
) -> None:
    mine = Row("dcgan", kimg=KIMG / 2, seeds=1, settings=("augmentation.strength=0.5",))
    found = planned(tmp_path / "new", data, ("twin-zeros", mine), seeds=2)
    cells = [(c.name, c.config.kimg, c.config.augmentation.strength) for c in found.cells]
    kit = found.cells[0].config.augmentation.strength
    assert cells == [
        ("twin-zeros-seed0", KIMG, kit),
        ("twin-zeros-seed1", KIMG, kit),
        ("dcgan-seed0", KIMG / 2, 0.5),
    ]


def test_a_curve_has_no_more_fakes_than_the_table(data: Path, tmp_path: Path) -> None:
    found = planned(tmp_path / "new", data, curve_n=10_000)
    assert found.settings["curve_n"] == found.settings["n"] == len(found.reference)


def test_the_csv_has_a_line_a_model(compared: tuple[Path, Comparison]) -> None:
    lines = compared[1].as_csv().splitlines()
    assert len(lines) == 1 + len(MODELS)
    assert lines[0].startswith("model,")
    assert "fd_tiny" in lines[0]


def test_what_is_done_is_used_and_what_was_interrupted_continues(
    compared: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out, table = compared
    mine = tmp_path / "copy"
    shutil.copytree(out, mine)
    before = fingerprint(mine / "hybridq-seed0")
    shutil.rmtree(mine / "dcgan-seed1")
    (mine / "dcgan-seed0" / "cell.json").unlink()
    again = compare(planned(mine, data, seeds=2))
    assert fingerprint(mine / "hybridq-seed0") == before
    timing = ("images_per_second", "sampling_images_per_second", "training_seconds")
    for one, other in zip(table.models, again.models, strict=True):
        assert {k: v for k, v in one.items() if k not in timing} == {
            k: v for k, v in other.items() if k not in timing
        }


def test_a_larger_table_takes_over_the_cells_of_a_smaller_one(
    compared: tuple[Path, Comparison], data: Path
) -> None:
    out, _ = compared
    states = [e.state for e in estimates(planned(out, data, (*MODELS, "twin-random"), seeds=2))]
    assert states == ["done"] * 8 + ["new"] * 2


def test_a_run_trained_elsewhere_is_measured_as_it_is(
    compared: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "mine"
    overrides = {"data.path": str(data), "size": SIZE, "kimg": KIMG, "device": "cpu"}
    train(load_config("dcgan", None, overrides, SMALL), run)
    before = fingerprint(run)
    table = compare(planned(tmp_path / "table", data, ("hybridq", str(run))))
    assert [row["model"] for row in table.models] == ["hybridq", "mine"]
    own = json.loads((compared[0] / "dcgan-seed0" / "cell.json").read_text())
    assert table.models[1]["curve"] == own["curve"]
    assert fingerprint(run) == before


def test_a_foreign_run_that_goes_on_is_measured_again(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "mine"
    for kimg in (KIMG, 2 * KIMG):
        overrides = {"data.path": str(data), "size": SIZE, "kimg": kimg, "device": "cpu"}
        train(load_config("dcgan", None, overrides, SMALL), run)
        table = compare(planned(tmp_path / "table", data, (str(run),)))
        assert table.models[0]["images_seen"] == 1000 * kimg


def test_two_rows_of_one_name_are_refused(
    compared: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    shutil.copytree(compared[0] / "dcgan-seed0", tmp_path / "a" / "dcgan")
    for models in (("dcgan", str(tmp_path / "a" / "dcgan")),):
        with pytest.raises(UsageError, match="two rows would be called 'dcgan'"):
            planned(tmp_path / "new", data, models)


def test_by_time_each_model_trains_as_long(data: Path, tmp_path: Path) -> None:
    seconds = 1.0
    models = ("dcgan", "twin-zeros")
    table = compare(planned(tmp_path / "t", data, models, kimg=None, budget=seconds))
    for row in table.models:
        assert row["images_seen"] > 0
        assert seconds <= row["training_seconds"] < 3 * seconds


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"models": ("hybridq", "dcgn")}, UsageError, "unknown model 'dcgn'.*mean 'dcgan'"),
        ({"models": ()}, UsageError, "name the models"),
        ({"kimg": None}, UsageError, "--kimg N .* or --budget"),
        ({"budget": 5.0}, UsageError, "--kimg N .* or --budget"),
        ({"size": 48}, UsageError, "size is 48"),
        ({"seeds": 0}, UsageError, "seeds is 0"),
        ({"n": 1}, UsageError, "n is 1"),
        ({"n": 0}, UsageError, "n is 0"),
        ({"kimg": 0}, UsageError, "kimg is 0"),
        ({"kimg": None, "budget": 0.0}, UsageError, "budget is 0"),
        ({"assignments": ("seed=3",)}, UsageError, "another seed than the others"),
        ({"assignments": ("dcgan:kimg=5",)}, UsageError, "another kimg than the others"),
        ({"assignments": ("init.run=other",)}, UsageError, "another init.run than the others"),
        ({"assignments": ("dcgn:batch=4",)}, UsageError, "not at hand.*Did you mean 'dcgan'"),
        ({"split": "train"}, UsageError, "measured on val"),
        ({"split": "test"}, UsageError, "--final"),
        ({"split": "val", "final": True}, UsageError, "--final"),
        ({"models": (Row("dcgan", seeds=0),)}, UsageError, "seeds is 0"),
        ({"models": (Row("dcgan", kimg=0),)}, UsageError, "kimg is 0"),
        ({"models": (Row("dcgan", settings=("seed=3",)),)}, UsageError, "another seed than"),
        ({"final": True, "n": 60_000}, UsageError, "n is 60000"),
        ({"models": ("mosaiq",)}, DataError, "mosaiq needs at least 41 .* has 36"),
    ],
)
def test_what_cannot_be_is_refused_before_any_training(
    data: Path, tmp_path: Path, changes: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        planned(tmp_path / "new", data, changes.pop("models", MODELS), **changes)
    assert not (tmp_path / "new").exists()


def test_other_data_split_or_recipe_do_not_share_a_table(
    compared: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out, _ = compared
    other = write_folders(tmp_path / "other", train=13, held_out=8)
    for changes, said in (
        ({"data": other}, "data_checksum"),
        ({"n": 20}, "n: 24 -> 20"),
        ({"kimg": None, "budget": 3.0}, "by: 'images' -> 'time'"),
    ):
        with pytest.raises(UsageError, match=said):
            planned(out, changes.pop("data", data), **changes)


def test_a_run_of_other_data_or_another_size_does_not_share_a_table(
    compared: tuple[Path, Comparison], data: Path, tmp_path: Path
) -> None:
    out, _ = compared
    run = str(out / "dcgan-seed0")
    other = write_folders(tmp_path / "other", train=13, held_out=8)
    with pytest.raises(DataError, match="trained on other images"):
        planned(tmp_path / "new", other, ("hybridq", run))
    with pytest.raises(DataError, match="trained on other images"):
        planned(tmp_path / "new", data, ("hybridq", run), size=64)


def test_a_folder_of_something_else_is_not_touched(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("important")
    with pytest.raises(RunError, match="not empty and not a comparison"):
        planned(tmp_path, data)


def test_where_nothing_can_be_written_is_said(data: Path) -> None:
    with pytest.raises(RunError, match="cannot write to /proc/table"):
        compare(planned(Path("/proc/table"), data, ("dcgan",)))


@pytest.mark.parametrize("content", ["{", "[1]", "7"])
def test_damaged_settings_are_said_to_be(data: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(RunError, match=r"settings\.json is damaged"):
        planned(tmp_path, data, ("dcgan",))


def test_a_cell_trained_with_other_settings_is_not_used(
    compared: tuple[Path, Comparison], data: Path
) -> None:
    with pytest.raises(UsageError, match=r"dcgan-seed0 was trained with another .*critic\.norm"):
        planned(compared[0], data, ("dcgan",), assignments=("dcgan:critic.norm=none",))


def test_a_model_with_settings_of_its_own_may_join(
    compared: tuple[Path, Comparison], data: Path
) -> None:
    mine = ("mosaiq:generator.components=5",)
    found = planned(compared[0], data, ("dcgan", "mosaiq"), assignments=mine)
    assert [cell.done() is None for cell in found.cells] == [False, True]


def test_a_cell_that_cannot_be_read_is_not_taken_for_undone(
    compared: tuple[Path, Comparison], data: Path
) -> None:
    (cell,) = planned(compared[0], data, ("dcgan",)).cells
    with no_file_descriptors(), pytest.raises(OSError, match="Too many open files"):
        cell.done()


def test_an_estimate_has_hours_for_each_cell(data: Path, tmp_path: Path) -> None:
    found = list(estimates(planned(tmp_path / "new", data, ("hybridq", "dcgan"))))
    assert [e.cell for e in found] == ["hybridq-seed0", "dcgan-seed0"]
    assert all(e.training_hours > 0 and e.measuring_hours > 0 for e in found)
    assert not (tmp_path / "new").exists()
