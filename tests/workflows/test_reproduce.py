"""Named tables: the packaged ones hold together, and a small one is run row by row."""

import json
import shlex
from pathlib import Path

import pytest
import torch

from hqgan import tables
from hqgan.config import load_config
from hqgan.errors import HqganError, UsageError
from hqgan.report import comparison_page
from hqgan.tables import Claim, Row, Table, read_table, table_names
from hqgan.training.trainer import build_models
from hqgan.workflows.compare import Plan
from hqgan.workflows.reproduce import commands, plan, reproduce
from small_images import write_csv, write_picture
from small_runs import SIZE, fingerprint, write_folders

KIMG = 0.064
SMALL = ["batch=8", "precision=float32"]
HAM10000_CLASSES = 7
COLUMN = "three_partition_label"
UNKNOWN = "0" * 64


def small_table(**changes: object) -> Table:
    """hybridq without its circuits, whose first use takes a minute to compile, and two rivals."""
    rows = [
        Row(model="hybridq", set=[*SMALL, "generator.twin=zeros", "critic.width=8"]),
        Row(model="dcgan", set=SMALL, paper=Claim(says="worse images | here", evidence="C")),
        Row(model="wgan-gp", set=SMALL, kimg=KIMG / 2, seeds=1),
    ]
    known = {
        "name": "small",
        "title": "A small table",
        "data": "PICTURES",
        "data_checksum": UNKNOWN,
        "extractor": "tiny",
        "size": SIZE,
        "kimg": KIMG,
        "seeds": 2,
        "rows": rows,
    }
    return Table(**(known | changes))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("data"), train=12, held_out=8)


def planned(out: Path, data: Path, table: Table, **changes: object) -> Plan:
    return plan(table, out, data=str(data), device="cpu", **changes)


def test_three_tables_come_with_the_package() -> None:
    assert {"ham10000-64", "ham10000-32-twins", "ham10000-128"} <= set(table_names())


@pytest.mark.parametrize("name", table_names())
def test_a_packaged_table_can_be_trained(name: str) -> None:
    table = read_table(name)
    assert table.name == name
    assert table.rows[0].model == "hybridq"  # whom the others are compared with
    for row in table.rows:
        overrides = {"size": table.size, "kimg": row.kimg or table.kimg}
        config = load_config(row.model, None, overrides, row.set)
        with torch.device("meta"):  # shapes without memory
            generator, _ = build_models(config, HAM10000_CLASSES)
        assert generator.size == table.size


@pytest.mark.parametrize(
    "name",
    [
        name if read_table(name).size == SIZE else pytest.param(name, marks=pytest.mark.slow)
        for name in table_names()
    ],
)
def test_a_checksum_is_of_the_images_at_the_size_of_the_table(name: str, ham10000: Path) -> None:
    from hqgan.data import load_dataset

    table = read_table(name)
    assert load_dataset(ham10000, "train", table.size).checksum == table.data_checksum


def test_rows_are_computed_one_by_one_and_stay_in_the_table(data: Path, tmp_path: Path) -> None:
    table = small_table()
    first = planned(tmp_path, data, table, rows=["dcgan"])
    assert [cell.name for cell in first.cells] == ["dcgan-seed0", "dcgan-seed1"]
    half = reproduce(first, table)
    assert half.settings["table"]["missing"] == ["hybridq", "wgan-gp"]
    assert half.models[0]["difference"] is None
    before = fingerprint(tmp_path / "dcgan-seed0")
    reproduce(planned(tmp_path, data, table, rows=["hybridq"]), table)
    whole = reproduce(planned(tmp_path, data, table, rows=["wgan-gp"]), table)
    assert fingerprint(tmp_path / "dcgan-seed0") == before
    assert whole.settings["table"]["missing"] == []
    assert [model["model"] for model in whole.models] == ["hybridq", "dcgan", "wgan-gp"]
    assert [model["seeds"] for model in whole.models] == [[0, 1], [0, 1], [0]]
    assert [model["kimg"] for model in whole.models] == [KIMG, KIMG, KIMG / 2]
    assert whole.models[1]["paper"] == {"says": "worse images | here", "evidence": "C"}
    assert whole.models[2]["paper"] is None
    equal, shorter = whole.sentences
    assert "images against" not in equal
    assert shorter.endswith(", after 32 images against 64.")
    warning = whole.settings["table"]["warning"]
    assert "not the images of the table small" in warning
    assert f"has {UNKNOWN[:16]};" in warning

    final = planned(tmp_path, data, table, rows=["hybridq", "dcgan"], final=True)
    opened = reproduce(final, table)
    assert opened.settings["table"]["missing"] == ["wgan-gp"]
    pages = comparison_page(opened, final, tmp_path)
    assert tmp_path / "small-final.md" in pages
    text = (tmp_path / "small-final.md").read_text()
    page = (tmp_path / "comparison-final.html").read_text()
    assert "Not run yet: wgan-gp." in page
    assert "hqgan reproduce small --row dcgan --data DATA --out DIR --final" in text
    assert r"worse images \| here (C)" in text
    assert "Not run yet: wgan-gp." in text
    assert warning in text
    saved = json.loads((tmp_path / "comparison-final.json").read_text())
    assert saved["models"][1]["commands"] == commands(table, table.rows[1], True)


def test_a_model_with_seeds_missing_says_how_many_it_has(data: Path, tmp_path: Path) -> None:
    table = small_table(seeds=1)
    reproduce(planned(tmp_path, data, table, rows=["hybridq"]), table)
    more = small_table(seeds=3)
    chosen = planned(tmp_path, data, more, rows=["wgan-gp"])
    found = reproduce(chosen, more)
    assert [model["seeds"] for model in found.models] == [[0], [0]]
    assert found.settings["table"]["missing"] == ["dcgan"]
    assert found.settings["table"]["missing_seeds"] == {"hybridq": [1, 2]}
    comparison_page(found, chosen, tmp_path)
    for file in ("small.md", "comparison.html"):
        text = (tmp_path / file).read_text()
        assert text.count("1 of 3 seeds") == 1
        assert "Not run yet: dcgan; hybridq with seeds 1, 2." in text


def test_a_table_of_inception_is_not_begun_without_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)
    monkeypatch.setenv("HQGAN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(HqganError, match=r"HQGAN_INCEPTION, or .*--inception-weights download"):
        planned(tmp_path / "new", data, small_table(extractor="inception768"))
    assert not (tmp_path / "new").exists()


def test_the_column_of_the_classes_can_be_chosen(tmp_path: Path) -> None:
    names = [f"{number:032x}" for number in range(60)]
    rows = [[name, number % 3, "a", "bc"[number % 2]] for number, name in enumerate(names)]
    columns = ["md5hash", "fitzpatrick_scale", "label", COLUMN]
    data = write_csv(tmp_path / "fitzpatrick17k.csv", columns, rows)
    for seed, name in enumerate(names):
        write_picture(tmp_path / f"{name}.jpg", seed, width=SIZE, height=SIZE)
    table = small_table()
    chosen = planned(tmp_path / "new", data, table, label=COLUMN)
    assert chosen.dataset.classes == ("b", "c")
    assert {cell.config.data.label for cell in chosen.cells} == {COLUMN}
    for command in commands(table, table.rows[1], False, COLUMN):
        assert f"--label {COLUMN}" in command


def test_data_of_the_table_raise_no_warning(data: Path, tmp_path: Path) -> None:
    row = [Row(model="dcgan", set=SMALL, seeds=1, kimg=0.016)]
    checksum = planned(tmp_path, data, small_table(rows=row)).dataset.checksum
    mine = small_table(rows=row, data_checksum=checksum)
    found = reproduce(planned(tmp_path, data, mine), mine)
    assert found.settings["table"]["warning"] is None


def test_both_commands_of_a_row_name_it_and_what_it_has_of_its_own() -> None:
    table = small_table()
    named, plain = commands(table, table.rows[2], False)
    assert shlex.split(named)[:5] == ["hqgan", "reproduce", "small", "--row", "wgan-gp"]
    assert "--kimg 0.032 --seeds 1 --set batch=8 --set precision=float32" in plain
    assert all(c.endswith("--final") for c in commands(table, table.rows[0], True))
    assert "--inception-weights" not in named + plain
    inception = small_table(extractor="inception768")
    for command in commands(inception, inception.rows[2], False):
        assert command.endswith("--inception-weights download")


def test_a_row_made_by_itself_stays_out_of_the_folder_of_the_table() -> None:
    table = small_table()
    folders = set()
    for row in table.rows:
        _, plain = commands(table, row, False)
        words = shlex.split(plain)
        folders.add(words[words.index("--out") + 1])
    assert "DIR" not in folders
    assert len(folders) == len(table.rows)


def test_what_a_table_has_not_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"no table is called 'ham'.*ham10000-64"):
        read_table("ham")
    with pytest.raises(UsageError, match=r"'dcgn' is no row of small.*Did you mean 'dcgan'"):
        planned(tmp_path, data, small_table(), rows=["dcgn"])
    monkeypatch.delenv("HQGAN_DATA", raising=False)
    with pytest.raises(UsageError, match="the table small is of PICTURES: say with --data"):
        plan(small_table(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": []}, "rows is"),
        ({"rows": [{"model": "dcgn"}]}, "Did you mean 'dcgan'"),
        ({"rows": [{"model": "dcgan"}, {"model": "dcgan"}]}, "names a model twice"),
        ({"rows": [{"model": "dcgan", "paper": {"says": "x", "evidence": "Z"}}]}, "evidence is"),
        ({"rows": [{"model": "dcgan", "batch": 3}]}, "unknown key 'rows.0.batch'"),
        ({"data_checksum": "12"}, "data_checksum is"),
        ({"extractor": "inception"}, "extractor is"),
    ],
)
def test_a_wrong_table_is_said_to_be(
    changes: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = small_table().model_dump(mode="json") | changes
    monkeypatch.setattr(tables.yaml, "safe_load", lambda _: values)
    with pytest.raises(UsageError, match=message):
        read_table("ham10000-64")
