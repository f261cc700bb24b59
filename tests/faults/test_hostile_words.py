"""Names of classes, images and lesions that are orders for a browser, a terminal, a spreadsheet.

They stay words: on every page, card, table and line that hqgan writes of them.
"""

import csv
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hqgan
from hqgan import cli
from hqgan.data import class_folders, open_source
from hqgan.foreign import from_csv, in_code, in_csv, in_markdown, on_terminal
from small_images import write_picture
from small_runs import NARROW

CLASSES = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "-2+3",
    "\x1b[2J\x1b]0;owned\x07red",
    "\u202egnp.exe",
    "[click](javascript:alert(1))",
    "a | b",
    "`ls`",
    "../../etc/passwd",
    "/etc/passwd",
    "$(touch owned)",
    "{{7*7}}",
    "a\tb",
    "[/red]",
    "$\\frac{1}{0$ $x^$",
)
EACH = 6  # images
ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
FORMULA = tuple("=+-@\t\r")


class Tags(HTMLParser):
    """What a browser would make elements and attributes of."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HAM10000 table with hostile words in every column."""
    folder = tmp_path_factory.mktemp("words") / "data"
    rows = []
    for y, name in enumerate(CLASSES):
        for number in range(EACH):
            image = f"{'=-+@'[number % 4]}{y}-{number}"
            write_picture(folder / f"{image}.png", 100 * y + number, width=32, height=32)
            split = ("train", "train", "train", "train", "val", "test")[number]
            rows.append((image, name, f"=lesion{y}-{number}", split))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_id", "dx", "lesion_id", "split"), *rows])
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "run"
    config = tmp_path_factory.mktemp("words") / "small.yaml"
    config.write_text("size: 32\nbatch: 8\nkimg: 0.032\ndevice: cpu\nprecision: float32\n")
    words = ["--config", str(config), "--data", str(data), "--out", str(folder)]
    sets = [part for one in (*NARROW, "generator.twin=zeros") for part in ("--set", one)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["hqgan", "train", *words, *sets])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code
    return folder


COMMANDS = (
    "report {run} --out {out}/page.html",
    "sample {run} --per-class 1 --out {out}/samples",
    "data prepare {data} --out {out}/prepared --size 32",
    "data inspect {data}",
    "evaluate {run} --n 18",
    pytest.param(
        "augment --data {data} --run {run} --out {out}/augmented --per-class 5",
        marks=pytest.mark.faults,  # it trains a classifier
    ),
    "train --data {data} --out {run} --set seed=5",
    "train --data {data} --init {run} --out {out}/x --set init.label_map={{x:y}}",
)


@pytest.mark.parametrize("words", COMMANDS)
def test_hostile_words_stay_words(
    words: str,
    data: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figures: Counter[str],
) -> None:
    monkeypatch.setenv("HQGAN_INCEPTION", "")
    monkeypatch.chdir(tmp_path)
    copy, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(run, copy)
    out.mkdir()
    filled = words.format(run=copy, data=data, out=out)
    monkeypatch.setattr("sys.argv", ["hqgan", *filled.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    refused = stop.value.code or 0
    assert refused in (0, 1, 2), said.err
    assert bool(refused) == ("error: " in said.err), said.err
    assert not ORDERS.search(said.err + said.out), said.err
    assert "Traceback" not in said.err
    assert {file.name for file in tmp_path.iterdir()} <= {"run", "out"}
    assert not list(tmp_path.rglob("passwd*"))
    for page in (*out.rglob("*.html"), *copy.rglob("*.html")):
        harmless_page(page)
        figures["pages of hostile words"] += 1
    for card in (*out.rglob("*.md"), *copy.rglob("*.md")):
        harmless_card(card)
        figures["cards of hostile words"] += 1
    for table in (*out.rglob("*.csv"), *copy.rglob("*.csv")):
        harmless_table(table)
        figures["tables of hostile words"] += 1
    figures["commands on hostile words: nothing obeyed"] += 1


def harmless_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert "script" not in {tag for tag, _ in tags.found}
    for tag, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("href", "src", "action", "formaction", "xlink:href"):
            where = attributes.get(name) or "#"
            assert where.startswith(("#", "data:image/", "https://")), (tag, where[:80])
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text  # the name is there, as a word


def harmless_card(card: Path) -> None:
    text = card.read_text(encoding="utf-8")
    outside = re.sub(r"```.*?```|`[^`\n]*`|<!--.*?-->", "", text, flags=re.DOTALL)
    assert not re.search(r"<(?!https?://)[a-zA-Z/!]", outside), card
    assert not re.search(r"(?<!\\)\]\(javascript", outside), card
    assert not ORDERS.search(text), card
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {
        len(re.findall(r"(?<!\\)\|", row)) for row in rows if "<script>" in row or "lt;" in row
    }
    assert len(widths) <= 2, card  # no row has more cells than those beside it


def harmless_table(table: Path) -> None:
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            for cell in row:
                number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell)
                assert number or not cell.startswith(FORMULA), (table.name, cell)


def test_what_was_prepared_of_hostile_words_is_read_back_as_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "prepared"
    words = f"data prepare {data} --out {out} --size 32"
    monkeypatch.setattr("sys.argv", ["hqgan", *words.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    before, after = open_source(data), open_source(out)
    assert after.classes == before.classes
    assert sorted(one.group for one in after.records) == sorted(one.group for one in before.records)
    assert len(after.records) == len(CLASSES) * EACH
    assert all(out in one.file.resolve().parents for one in after.records)


def test_folders_of_hostile_classes_lie_side_by_side() -> None:
    many = class_folders(("a.", *("a" + "." * n for n in range(2, 3000)), *CLASSES))
    assert len({name.casefold() for name in many}) == len(many)
    for name in many:
        assert not {"/", "\\", "\0"} & set(name)
        assert name not in ("", ".", "..")
        assert not name.startswith(".")


def test_a_table_of_images_elsewhere_reaches_none_of_them(
    tmp_path: Path, figures: Counter[str]
) -> None:
    outside = write_picture(tmp_path / "secret.png", 1, width=32, height=32)
    del outside
    folder = tmp_path / "data"
    for number in range(4):
        write_picture(folder / f"{number}.png", number, width=32, height=32)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    names = ("../secret", "../secret.png", str(tmp_path / "secret"), "./../secret", "..\\secret",
             "file:///etc/passwd", "~/x", "%2e%2e/secret", "a/../../secret")  # fmt: skip
    for kind, head, more in (
        ("labels", ("image_id", "dx"), ()),
        ("manifest", ("file", "class", "split"), ("train",)),
    ):
        suffix = ".png" if kind == "manifest" else ""
        rows = [(f"{n}{suffix}", "ab"[n % 2], *more) for n in range(4)]
        rows += [(name, "a", *more) for name in names]
        with (folder / "table.csv").open("w", newline="") as file:
            csv.writer(file).writerows([head, *rows])
        source = open_source(folder / "table.csv")
        reached = [one.file for one in source.records if one.file]
        assert {file.parent for file in reached} == {folder}
        assert len(reached) == 4
        assert len(source.skipped) >= len(names)
        figures["names of images elsewhere: not reached"] += len(names)


def test_a_card_on_the_hub_is_of_words(run: Path, tmp_path: Path) -> None:
    generator = hqgan.load(run)
    generator.save_pretrained(tmp_path / "shared")
    harmless_card(tmp_path / "shared" / "README.md")
    about = json.loads((tmp_path / "shared" / "hqgan.json").read_text())
    assert set(about["classes"]) == set(CLASSES)


@given(st.text())
def test_any_text_comes_back_from_a_spreadsheet_s_cell(text: str) -> None:
    cell = in_csv(text)
    assert from_csv(cell) == text
    number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell)
    assert number or not cell.startswith(FORMULA)


@given(st.text())
def test_any_text_is_one_line_of_markdown_and_harmless(text: str) -> None:
    for shown in (in_markdown(text), in_code(text)):
        assert len(shown.splitlines()) <= 1
        assert not ORDERS.search(shown)
    assert "<" not in in_markdown(text)
    assert not re.search(r"(?<!\\)(\\\\)*[|\[\]`]", re.sub(r"\\.", "", in_markdown(text)))
    assert in_code(text).count("`") == 2
    assert not ORDERS.search(on_terminal(text))
