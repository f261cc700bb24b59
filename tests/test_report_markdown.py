"""README's tables are made of committed JSON alone, and a wrong one is seen."""

from typing import Any

from hqgan.evaluation.statistics import ONE_SEED
from hqgan.report.markdown import class_table, markdown_table, short_table


def recipe(name: str, value: float | None, label: str | None = None, **more: Any) -> dict[str, Any]:
    known = {"recipe": name, "class": label, "value": value, "interval": None, "floor": 0.25}
    return known | {"n_real": 60, "n_fake": 60, "reason": None} | more


def row(model: str, **changes: Any) -> dict[str, Any]:
    known = {
        "model": model,
        "seeds": [0, 1, 2],
        "seeds_measured": 3,
        "generator_parameters": 736_609,
        "images_per_second": 122.18,
        "images_seen": 250_016.0,
        "images_to_rival": None,
        "undertrained": False,
        "stopped": [],
        "recipes": [
            recipe("kid768", 0.00254, interval=[0.00246, 0.00264], floor=1.45e-6),
            recipe("kid768", 0.004, "nv", interval=[0.003, 0.005], floor=2e-6),
            recipe("kid768", 0.005, "df", floor=None, n_real=12),
            *(recipe(name, 0.5) for name in ("fid768", "precision768", "recall768", "coverage768")),
        ],
        "difference": None,
        "differences": [],
    }
    return known | changes


def comparison(*models: dict[str, Any], **settings: Any) -> dict[str, Any]:
    known = {
        "data_checksum": "ab" * 32,
        "reference_checksum": "cd" * 32,
        "size": 64,
        "split": "val",
        "n": 824,
        "extractor": "inception768 float32 sha256:f32244d578169d5a",
        "by": "images",
    }
    return {"settings": known | settings, "models": list(models), "sentences": []}


MINE = row("hybridq")
RIVAL = row(
    "dcgan+kit",
    images_seen=50_048.0,
    images_per_second=8.45,
    images_to_rival=50_048,
    undertrained=True,
    difference={"value": 0.0012, "interval": [0.0009, 0.0015]},
    differences=[{"class": "nv", "value": -0.0005, "interval": [-0.001, 0.0001]}],
    paper={"says": "worse | images", "evidence": "C"},
)


def cells(line: str) -> list[str]:
    return line[2:-2].split(" | ")


def test_a_row_has_its_numbers_in_thousandths_and_its_marks() -> None:
    head, rule, floor, mine, rival, *_ = markdown_table(comparison(MINE, RIVAL)).splitlines()
    assert set(cells(rule)) == {"---"}
    assert len(cells(head)) == len(cells(rule)) == 13
    assert cells(floor)[:6] == ["floor (real images)", *"–––", "0.00145", "–"]
    assert cells(floor)[6:10] == ["0.25"] * 4
    assert cells(mine)[:6] == ["hybridq", "736,609", "250 × 3", "122", "2.54 [2.46, 2.64]", "–"]
    assert cells(mine)[10] == "never"
    assert cells(rival)[2:4] == ["50 × 3", "8.4"]
    assert cells(rival)[5] == "+1.20 [+0.900, +1.50]"
    assert cells(rival)[10:] == ["50,048", "undertrained, fewer images", r"worse \| images (C)"]


def test_a_model_without_numbers_has_dashes() -> None:
    dead = row("dead", recipes=[], undertrained=None, stopped=["diverged"], seeds_measured=0)
    line = cells(markdown_table(comparison(MINE, dead)).splitlines()[4])
    assert line[4:11] == ["–"] * 7
    assert line[11] == "too short a curve, 0 of 3 seeds measured, stopped"


def test_a_row_of_fewer_images_is_not_said_to_reach_never() -> None:
    short = row("mediq-v2", images_seen=2_048.0)
    lines = markdown_table(comparison(MINE, RIVAL, short)).splitlines()
    assert [cells(line)[10] for line in lines[3:6]] == ["never", "50,048", "not within 2,048"]


def test_a_difference_of_one_seed_is_marked() -> None:
    one = {"value": 0.0012, "interval": [0.0009, 0.0015], "note": ONE_SEED}
    single = row("dcgan", difference=one, differences=[one | {"class": "nv"}])
    found = comparison(MINE, single)
    assert "+1.20 [+0.900, +1.50] (one seed)" in markdown_table(found)
    assert "+1.20 [+0.900, +1.50] (one seed)" in class_table(found)


def test_many_comparisons_are_said_to_be_uncorrected() -> None:
    for render in (markdown_table, class_table):
        said = render(comparison(MINE, RIVAL))
        assert "none is corrected for the number of models and classes" in said


def test_a_column_for_the_paper_is_there_where_it_says_something() -> None:
    assert "the paper says" in markdown_table(comparison(MINE, RIVAL))
    assert "the paper says" not in markdown_table(comparison(MINE))


def test_without_inception_there_are_no_columns_for_it() -> None:
    tiny = row("hybridq", recipes=[recipe("fd_tiny", 0.125)])
    head, _, floor, line, *_ = markdown_table(comparison(tiny, extractor="tiny x")).splitlines()
    assert "fd_tiny" in cells(head)
    assert "768" not in head
    unlucky = comparison(tiny, extractor="tiny float32 sha256:ab768cdef0123456")
    assert "768" not in markdown_table(unlucky)
    assert len(cells(head)) == len(cells(line)) == len(cells(floor))


def test_the_caption_says_what_the_numbers_were_made_of() -> None:
    text = markdown_table(comparison(MINE))
    assert f"`{'ab' * 8}`" in text
    assert "824 generated images" in text
    assert "Test was opened" not in text
    assert "fid768 is not FID" in text
    table = {"name": "t", "title": "T", "missing": ["ddpm"], "warning": "Other data."}
    openings = [{"opened": "2026-11-22T10:00:00+00:00", "snapshots": {}}]
    final = comparison(MINE, RIVAL, split="test", table=table, test_opened=openings)
    text = markdown_table(final)
    assert "Test was opened once (2026-11-22)." in text
    assert "`hqgan reproduce t --data DATA --inception-weights download --final`" in text
    assert "Not run yet: ddpm. Other data." in text
    table["missing_seeds"] = {"hybridq": [3]}
    text = markdown_table(comparison(MINE, RIVAL, table=table))
    assert "Not run yet: ddpm; hybridq with seed 3. Other data." in text
    assert "3 of 4 seeds" in text
    assert "C: read in the paper's abstract" in text
    assert "C: read in the paper's abstract" not in markdown_table(comparison(MINE))


def test_within_a_class_the_difference_stands_below_the_distance() -> None:
    head, _, floor, mine, rival, *_ = class_table(comparison(MINE, RIVAL)).splitlines()
    assert cells(head) == ["model", "nv (60 real)", "df (12 real)"]
    assert cells(floor) == ["floor (real images)", "0.00200", "–"]
    assert cells(mine) == ["hybridq", "4.00 [3.00, 5.00]", "5.00"]
    assert cells(rival) == ["dcgan+kit", "4.00 [3.00, 5.00]<br>-0.500 [-1.00, +0.100]", "5.00"]


def test_a_short_table_leaves_out_columns_and_no_warning() -> None:
    whole, short = (render(comparison(MINE, RIVAL)) for render in (markdown_table, short_table))
    heads = cells(short.splitlines()[0])
    assert len(heads) < len(cells(whole.splitlines()[0]))
    assert heads[-2:] == ["marks", "the paper says"]
    assert not any("precision" in head or "images/s" in head for head in heads)
    line = short.splitlines()[4]
    for kept in ("dcgan+kit", "50 × 3", "+1.20 [+0.900, +1.50]", "undertrained, fewer images"):
        assert kept in line
    assert "none is corrected for the number of models and classes" in short
    assert "sha256" not in short
