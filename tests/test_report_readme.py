"""README's numbers are made of committed JSON alone, and a wrong one is seen."""

from typing import Any

import pytest

from hqgan.report.readme import fill, packaged_table, primary_table, study_table

MINE = "<!-- packaged: mine -->\n"
STUDY = "<!-- study: mine -->\n"
END = "<!-- end -->\n"
TEXT = f"before\n{MINE}old\n{END}between\n{STUDY}{END}after\n"


def recipe(name: str, value: float | None, label: str | None = None, **more: Any) -> dict[str, Any]:
    known = {"recipe": name, "class": label, "value": value, "interval": None, "floor": 0.25}
    return known | {"n_real": 12 if label else 60, "n_fake": 60, "split": "val"} | more


METRICS = {
    "name": "mine",
    "preset": "hybridq",
    "images_seen": 250_048,
    "generator_parameters": 758_929,
    "recipes": [
        recipe("fid768", 0.3673),
        recipe("kid768", 0.00038, interval=[0.00035, 0.00042], floor=1.5e-6),
        recipe("kid768", 0.0005, "df", interval=[-0.00015, 0.0012], floor=0.00033),
    ],
}


def measured(value: float) -> dict[str, Any]:
    return {"value": value, "interval": [value - 0.01, value + 0.01], "note": None}


def arm(name: str, share: float) -> dict[str, Any]:
    names = ("balanced_accuracy", "accuracy", "auroc")
    measures = {measure: measured(0.5) for measure in names}
    return {"arm": name, "fraction": 1.0, "synthetic_share": share, "measures": measures}


def compared(primary: bool, effect: float | None) -> dict[str, Any]:
    known = {"arm": "hybridq", "against": "standard", "primary": primary, "p_holm": 0.03}
    known |= {"sign_flip_p_holm": 0.04, "minimum_detectable_effect": effect}
    return known | measured(0.027)


RESULT = {
    "protocol": {
        "size": 32,
        "seeds": 8,
        "classifiers": ["resnet-small"],
        "primary": {"measure": "balanced_accuracy"},
    },
    "split": "test",
    "images": 800,
    "lesions": 600,
    "arms": [arm("standard", 0.0), arm("hybridq", 0.5)],
    "comparisons": [compared(True, 0.098), compared(False, None)],
    "warnings": ["Be careful."],
}


def filled(text: str) -> str:
    return fill(text, {"mine": RESULT}, {"mine": METRICS})


def test_only_what_is_between_markers_is_made_anew() -> None:
    both = packaged_table(METRICS), study_table(RESULT)
    assert filled(TEXT) == f"before\n{MINE}{both[0]}{END}between\n{STUDY}{both[1]}{END}after\n"
    assert filled(filled(TEXT)) == filled(TEXT)


def test_a_number_that_no_command_wrote_is_seen() -> None:
    wrong = filled(TEXT).replace("0.380 [0.350, 0.420]", "0.330 [0.350, 0.420]")
    assert wrong != filled(TEXT)
    assert filled(wrong) == filled(TEXT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- study: yours -->\n<!-- end -->\n", "no results of a study 'yours'"),
        ("<!-- study: mine -->\n", "not followed by <!-- end -->"),
        ("<!-- study: mine -->\n<!-- study: mine -->\n<!-- end -->\n", "not followed by"),
        ("<!-- study:mine -->\n<!-- end -->\n", "not followed by"),
    ],
)
def test_a_wrong_marker_is_said_to_be(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filled(text)


def test_a_text_without_markers_is_left_alone() -> None:
    assert fill("<!-- end -->\nplain\n", {}, {}) == "<!-- end -->\nplain\n"


def test_a_packaged_generator_has_a_column_a_class_and_floors_in_brackets() -> None:
    lines = packaged_table(METRICS).splitlines()
    assert lines[0] == "| recipe | all (60 real) | df (12 real) |"
    assert lines[2] == "| fid768 | 0.367 (0.25) | – |"
    assert lines[3] == (
        "| kid768 × 1000 [95 %] | 0.380 [0.350, 0.420] (0.00150) | 0.500 [-0.150, 1.20] (0.330) |"
    )
    assert "758,929 generator parameters" in lines[-1]


def test_a_study_says_what_was_tested_and_what_could_have_been_found() -> None:
    text = study_table(RESULT)
    assert "| hybridq | 100 % | 50 % | 50.0 [49.0, 51.0] |" in text
    assert "| hybridq against standard | +2.7 [+1.7, +3.7] | 0.03 | 0.04 | +9.8 |" in text
    assert text.count("hybridq against standard") == 1  # the other is exploratory
    assert "800 images of 600 lesions" in text
    assert text.rstrip().endswith("Be careful.*")


def test_the_tested_comparisons_can_stand_alone() -> None:
    text = primary_table(RESULT)
    assert text.splitlines()[0].startswith("| primary comparison |")
    assert "| hybridq against standard | +2.7 [+1.7, +3.7] | 0.03 | 0.04 | +9.8 |" in text
    assert "50.0 [49.0, 51.0]" not in text  # an arm's own level
    assert "800 images of 600 lesions" in text
    assert text.rstrip().endswith("Be careful.*")
