"""Every recipe is explained in a line where its numbers are shown."""

import pytest

from hqgan.evaluation.meanings import TOO_FEW, legend, meaning_of, measured_in
from hqgan.evaluation.recipes import FRECHET_RECIPES, KID_RECIPES, MANIFOLD_RECIPES

RECIPES = [
    *FRECHET_RECIPES.values(),
    *(f"{name}_infinity" for name in FRECHET_RECIPES.values()),
    *KID_RECIPES.values(),
    *(name for names in MANIFOLD_RECIPES.values() for name in names.values()),
    *("ms_ssim", "intra_class_distance"),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_says_what_it_is_and_which_way_is_better(recipe: str) -> None:
    said = meaning_of(recipe)
    assert said is not None
    assert "better" in said or "too little variety" in said
    assert "{" not in said


def test_an_unknown_recipe_is_left_alone() -> None:
    assert meaning_of("happiness7") is None
    assert legend([{"recipe": "happiness7", "value": 1.0}])[0].startswith("floor: ")


def test_a_refused_fd_tiny_says_what_to_do() -> None:
    refused = {"recipe": "fd_tiny", "value": None}
    assert legend([refused])[-1] == TOO_FEW
    assert TOO_FEW not in legend([refused | {"value": 1.0}])


def test_the_network_behind_the_numbers_is_named_in_words() -> None:
    tiny = measured_in("tiny float32 sha256:7ca6")
    assert tiny == "measured in the features of a small fixed net (tiny float32 sha256:7ca6)"
    assert "of the first layers of Inception (" in measured_in("inception768 float32 sha256:1")
    assert "of the whole of Inception (" in measured_in("inception2048 float32 sha256:1")
