"""Named tables: the packaged ones hold together, and a small one is run row by row."""

import json
import shlex
from pathlib import Path

import pytest

from hqgan import tables
from hqgan.config import load_config
from hqgan.errors import UsageError
from hqgan.report import comparison_page
from hqgan.tables import Claim, Row, Table, read_table, table_names
from hqgan.workflows.compare import Plan
from hqgan.workflows.reproduce import commands, plan, reproduce
from small_runs import SIZE, fingerprint, write_folders

KIMG = 0.064
SMALL = ["batch=8", "precision=float32"]
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
    return plan(table, out, data=str(data), extractor="tiny", device="cpu", **changes)


def test_the_packaged_tables_are_those_of_the_issue() -> None:
    assert {"ham10000-64", "ham10000-32-twins", "ham10000-128"} <= set(table_names())


@pytest.mark.parametrize("name", table_names())
def test_a_packaged_table_can_be_trained(name: str) -> None:
    table = read_table(name)
    assert table.name == name
    assert table.rows[0].model == "hybridq"  # whom the others are compared with
    for row in table.rows:
        overrides = {"size": table.size, "kimg": row.kimg or table.kimg}
        load_config(row.model, None, overrides, row.set)


def test_each_checksum_is_of_the_images_at_its_size(ham10000: Path) -> None:
    from hqgan.data import load_dataset

    table = read_table("ham10000-32-twins")
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
    warning = whole.settings["table"]["warning"]
    assert "not the images of the table small" in warning
    assert f"has {UNKNOWN[:16]};" in warning

    final = planned(tmp_path, data, table, rows=["hybridq", "dcgan"], final=True)
    opened = reproduce(final, table)
    assert opened.settings["table"]["missing"] == ["wgan-gp"]
    pages = comparison_page(opened, final, tmp_path)
    assert tmp_path / "small-final.md" in pages
    text = (tmp_path / "small-final.md").read_text()
    assert "hqgan reproduce small --row dcgan --data DATA --out DIR --final" in text
    assert r"worse images \| here (C)" in text
    assert "Not run yet: wgan-gp." in text
    assert warning in text
    saved = json.loads((tmp_path / "comparison-final.json").read_text())
    assert saved["models"][1]["commands"] == commands(table, table.rows[1], True)


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
    ],
)
def test_a_wrong_table_is_said_to_be(
    changes: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = small_table().model_dump(mode="json") | changes
    monkeypatch.setattr(tables.yaml, "safe_load", lambda _: values)
    with pytest.raises(UsageError, match=message):
        read_table("ham10000-64")
