"""What every rendering of a comparison says of its numbers, in one set of words.

The page for a browser and the table for README differ in columns and in how a number is written,
never in what is said of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hqgan.evaluation.statistics import ONE_SEED
from hqgan.workflows.differences import MIN_CLASS_IMAGES
from hqgan.workflows.table import ENOUGH, RIVAL

Record = Mapping[str, Any]

NOTHING = "–"
UNCORRECTED = "none is corrected for the number of models and classes"
INTERVALS = (
    "Intervals are 95 %, over seeds where there are two or more, else over lesions; that of a "
    "difference (negative: nearer to the real images) is over seeds, lesions and fakes, but where "
    f"a model has one seed, as is marked, it leaves out how seeds differ; {UNCORRECTED}."
)
NOT_FID = "fid768 is not FID, but the same distance of 768 features of the same network."
CLASS_DIFFERENCES = f"for classes of at least {MIN_CLASS_IMAGES} real images; {UNCORRECTED}"


def recipe_names(extractor: str) -> tuple[str, list[str]]:
    """Of a table: the kernel distance, then the Fréchet distance, precision, recall, coverage."""
    dim = extractor.split()[0].removeprefix("inception")
    if not dim.isdigit():
        return "kid", [f"fd_{dim}"]  # without Inception there is no recipe of the name
    return f"kid{dim}", [name + dim for name in ("fid", "precision", "recall", "coverage")]


def overall(model: Record) -> list[dict[str, Any]]:
    """Its recipes over all classes."""
    return [r for r in model["recipes"] if r["class"] is None]


def shared_remarks(comparison: Record, recipes: Sequence[str]) -> list[str]:
    """Sentences about all numbers of a table that shows these recipes."""
    s = comparison["settings"]
    said = [INTERVALS]
    if "fid768" in recipes:
        said.append(NOT_FID)
    if "curve_split" in s:
        said.append(f"Curves are those of {s['curve_split']}.")
    if "test_opened" in s:
        times = [opening["opened"][:10] for opening in s["test_opened"]]
        count = "once" if len(times) == 1 else f"{len(times)} times"
        said.append(f"Test was opened {count} ({', '.join(times)}).")
    return said + table_remarks(s.get("table", {}))


def table_remarks(table: Record) -> list[str]:
    """What is not as a named table wants it (`settings.table`): rows or seeds missing, the data."""
    left = list(table.get("missing", []))
    for model, seeds in missing_seeds(table).items():
        left.append(f"{model} with seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    said = [f"Not run yet: {'; '.join(left)}."] if left else []
    return [*said, *filter(None, [table.get("warning")])]


def missing_seeds(table: Record) -> dict[str, list[int]]:
    """Of models that are there in part; results of earlier versions do not say."""
    return dict(table.get("missing_seeds", {}))


def marks(comparison: Record, model: Record) -> list[str]:
    """What a reader must know before comparing this row, in a word or two each."""
    said = []
    if model["undertrained"]:
        said.append("undertrained")
    if model["undertrained"] is None:
        said.append("too short a curve")
    if saw_fewer(comparison, model):
        said.append("fewer images")
    there = len(model["seeds"])
    missing = missing_seeds(comparison["settings"].get("table", {})).get(model["model"], [])
    if missing:
        said.append(f"{there} of {there + len(missing)} seeds")
    if model["seeds_measured"] < there:
        said.append(f"{model['seeds_measured']} of {there} seeds measured")
    return said


def saw_fewer(comparison: Record, model: Record) -> bool:
    """Whether it saw fewer images than another model, where all should have seen as many."""
    if comparison["settings"].get("by", "images") != "images":
        return False
    most = max(other["images_seen"] for other in comparison["models"])
    return bool(model["images_seen"] < ENOUGH * most)


def to_rival(comparison: Record, model: Record) -> str:
    """Images that it took to the rival's best value; a short training says no more than its length.

    A dash where there is no such model in the table.
    """
    if model["images_to_rival"] is not None:
        return f"{model['images_to_rival']:,}"
    if all(other["model"] != RIVAL for other in comparison["models"]):
        return NOTHING
    if saw_fewer(comparison, model):
        return f"not within {model['images_seen']:,.0f}"
    return "never"


def difference_mark(difference: Record) -> str:
    """What follows a difference whose interval leaves something out, or a recipe: nothing."""
    note = difference.get("note")
    return f" ({'one seed' if note == ONE_SEED else note})" if note else ""
