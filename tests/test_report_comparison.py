"""The page of a comparison: what is not known is not invented, and names are only text."""

from typing import Any

import pytest

from hqgan.evaluation.statistics import ONE_SEED
from hqgan.report.comparison import html_classes, html_costs, html_differences, html_table
from hqgan.report.comparison_figures import curve_figure
from hqgan.report.page import as_png
from hqgan.workflows.table import Comparison
from html_pages import cells


def row(model: str, **changes: Any) -> dict[str, Any]:
    recipe = {
        "recipe": "kid768",
        "class": None,
        "value": 0.0123,
        "interval": [0.01, 0.02],
        "floor": 1.5e-6,
        "n_real": 100,
        "n_fake": 100,
        "reason": None,
    }
    known = {
        "model": model,
        "seeds": [0],
        "seeds_measured": 1,
        "images_to_rival": None,
        "generator_parameters": 1_234_567,
        "critic_parameters": 0,
        "circuits_per_image": 0,
        "images_seen": 10_000,
        "undertrained": False,
        "stopped": [],
        "curve": [{"images_seen": 1000, "value": 0.5}, {"images_seen": 2000, "value": 0.25}],
        "recipes": [recipe, recipe | {"class": "a&b", "value": None, "reason": "2 images"}],
        "difference": None,
        "differences": [],
    }
    return known | changes


def table(*rows: dict[str, Any]) -> Comparison:
    return Comparison({"size": 32}, list(rows), [])


def test_numbers_stand_beside_their_interval_and_below_the_floor() -> None:
    assert "1,234,567" in cells(html_costs(table(row("mine"))))
    found = cells(html_table(table(row("mine"))))
    assert "0.0123 [0.01, 0.02]" in found
    assert "1.5e-06" in found


def test_what_is_not_known_is_a_dash_or_a_reason() -> None:
    empty = row("dead", recipes=[], curve=[], undertrained=None, stopped=["it diverged"])
    found = cells(html_table(table(row("mine"), empty)))
    assert "too short a curve; it diverged" in found
    assert cells(html_costs(table(empty))).count("–") > 5
    assert "2 images" in html_classes(table(row("mine"), empty))


def test_a_model_that_still_learns_is_marked() -> None:
    assert cells(html_table(table(row("mine", undertrained=True))))[-1] == "undertrained"
    assert cells(html_table(table(row("mine"))))[-1] == ""


def test_a_model_that_saw_fewer_images_than_another_says_so() -> None:
    html = html_table(table(row("mine"), row("large", images_seen=5_000)))
    assert html.count("fewer images") == 1
    assert "fewer images" not in html_table(table(row("mine"), row("yours")))


def test_differences_within_classes_stand_beside_their_interval_or_their_reason() -> None:
    known = {"class": "nv", "value": 0.001, "interval": [-0.002, 0.003], "note": None}
    single = known | {"class": "df", "note": ONE_SEED}
    open_one = {"class": "mel", "value": None, "interval": None, "note": "no fakes"}
    html = html_differences(
        table(row("hybridq"), row("mine", differences=[known, single, open_one]))
    )
    interval = "0.001 [-0.002, 0.003]"
    assert cells(html) == ["mine", interval, f"{interval} (one seed)", "no fakes"]
    assert "at least 50 real images" in html
    assert "none is corrected for the number of models and classes" in html
    assert html_differences(table(row("hybridq"))) == ""


def test_a_target_that_is_never_reached_is_told_from_one_that_is_not_there() -> None:
    assert "never" not in html_table(table(row("mine")))
    rival = row("dcgan+kit", images_to_rival=10)
    assert html_table(table(row("mine"), rival)).count("never") == 1
    short = html_table(table(row("mine", images_seen=2_000), rival))
    assert "never" not in short
    assert short.count("not within 2,000") == 1


def test_names_are_text() -> None:
    assert "<script>" not in html_table(table(row("<script>"))) + html_classes(table(row("a")))
    assert "a&amp;b" in html_classes(table(row("mine")))


@pytest.mark.parametrize("lowest", [0.25, -0.01])
def test_curves_are_drawn_whatever_their_sign(lowest: float) -> None:
    one = row("hybridq")
    one["curve"][-1]["value"] = lowest
    for recipe in one["recipes"]:
        recipe["floor"] = 0.1
    figure = curve_figure(table(one, row("dcgan+kit"), row("twin-zeros", curve=[])))
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()][-1] == "floor"
    assert {line.get_label() for line in axis.lines} == {"hybridq", "dcgan+kit", "floor"}
    assert axis.get_yscale() == ("log" if lowest > 0 else "linear")
    one["recipes"][0]["floor"] = 1e-6 * lowest
    (far,) = curve_figure(table(one)).axes
    assert "below the picture" in far.get_title(loc="left") or lowest < 0
    assert as_png(figure) == as_png(figure)
