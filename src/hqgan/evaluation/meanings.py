"""What the recipes say, in a line each, for whoever sees their numbers for the first time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MEANINGS = {
    "fid": "Fréchet distance of {dim} Inception features to the real images; lower is better",
    "kid": "kernel distance of {dim} Inception features to the real images; lower is better",
    "fd_tiny": "distance of a small fixed net's features to the real images; lower is better; it "
    "compares models of one project and nothing else",
    "precision": "share of images that look real; higher is better",
    "recall": "share of real images that the model could have made; higher is better",
    "density": "how thickly real images lie around the generated ones; higher is better",
    "coverage": "share of real images with a generated one near them; higher is better",
    "ms_ssim": "likeness of pairs within a class, 1 for copies; above the floor is too little "
    "variety",
    "intra_class_distance": "distance of pairs within a class; below the floor is too little "
    "variety",
}
NETWORKS = {  # by the beginning of an extractor's name
    "tiny": "a small fixed net",
    "inception2048": "the whole of Inception",
    "inception": "the first layers of Inception",
}
FLOOR = "the same measure of real training images, as a perfect generator would score"
TOO_FEW = "too few real images for fd_tiny; kid768 needs fewer: --inception-weights download"


def meaning_of(recipe: str) -> str | None:
    """What a recipe's number says and which way is better; None for one that is not known."""
    found = re.fullmatch(r"([a-z_]+?)(\d*)(_infinity)?", recipe)
    if found is None or found[1] not in MEANINGS:
        return None
    said = MEANINGS[found[1]].format(dim=found[2])
    return f"{said}, extrapolated to endlessly many images" if found[3] else said


def measured_in(extractor: str) -> str:
    """Whose features a measurement is of, in words and as `str(Extractor)` names them."""
    for name, said in NETWORKS.items():
        if extractor.startswith(name):
            return f"measured in the features of {said} ({extractor})"
    return f"measured in the features of {extractor}"


def legend(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines that explain a table of records, as `RecipeResult.as_json` gives them."""
    names = dict.fromkeys(record["recipe"] for record in records)
    lines = [f"{name}: {said}" for name in names if (said := meaning_of(name))]
    lines.append(f"floor: {FLOOR}")
    if any(r["recipe"] == "fd_tiny" and r["value"] is None for r in records):
        lines.append(TOO_FEW)
    return lines
