"""How the page of a study finds its rows, and writes numbers, measures and names.

Measures in `IN_POINTS` are written in percent and their differences in points, as the sentences of
`evaluation.trials` have them; the files beside the page keep fractions of 1.
"""

import textwrap
from typing import Any

from hqgan.evaluation.classification import LOWER_IS_BETTER
from hqgan.evaluation.trials import IN_POINTS, TITLES
from hqgan.foreign import in_figure
from hqgan.workflows.study import StudyResult

Record = dict[str, Any]
Place = tuple[str, float]  # classifier, label fraction

FEW_IMAGES = 30  # of a class: below, one image moves its recall by 3 points or more


def primary_place(study: StudyResult) -> Place:
    """The classifier and the label fraction of the primary comparisons."""
    return study.protocol["classifiers"][0], study.protocol["fractions"][0]


def at(study: StudyResult, place: Place) -> list[Record]:
    """The rows of all arms at one classifier and fraction, in the protocol's order."""
    return [row for row in study.arms if (row["classifier"], row["fraction"]) == place]


def arms_of(study: StudyResult) -> list[str]:
    """Names of all arms, one for each ratio."""
    return list(dict.fromkeys(row["arm"] for row in study.arms))


def baseline(study: StudyResult) -> str:
    """The arm that all others are compared with."""
    named: str | None = study.protocol["baseline"]
    return named or arms_of(study)[0]


def factor(measure: str) -> float:
    """From a fraction of 1 to what is written."""
    return 100.0 if measure in IN_POINTS else 1.0


def title_of(measure: str, unit: str = "") -> str:
    """Its name; the unit (% or points) is added where it has one."""
    return TITLES.get(measure, measure) + (f", {unit}" if unit and measure in IN_POINTS else "")


def ideal(measure: str) -> float:
    """The value of a classifier without fault, as written."""
    return 0.0 if measure in LOWER_IS_BETTER else factor(measure)


def scalar(value: float | None, measure: str) -> str:
    """A level without an interval."""
    if value is None:
        return "–"
    return f"{factor(measure) * value:.{decimals(measure)}f}"


def level(found: Record, measure: str) -> str:
    """A level with its interval, or why there is none."""
    if found["value"] is None:
        return found["note"] or "–"
    ends = [scalar(end, measure) for end in found["interval"] or ()]
    return scalar(found["value"], measure) + (f" [{', '.join(ends)}]" if ends else "")


def change(found: Record, measure: str) -> str:
    """A difference with its interval, signed."""
    if found["value"] is None:
        return found["note"] or "–"
    places = decimals(measure)
    value, *ends = (
        f"{factor(measure) * number:+z.{places}f}"
        for number in (found["value"], *(found["interval"] or ()))
    )
    return value + (f" [{', '.join(ends)}]" if ends else "")


def decimals(measure: str) -> int:
    """A tenth of a point, or a thousandth."""
    return 1 if measure in IN_POINTS else 3


def probability(p: float | None) -> str:
    """A p value, or a dash where no test could be made."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def share(part: float) -> str:
    """A fraction in percent."""
    return f"{100 * part:.3g} %"


def count(number: int, noun: str) -> str:
    """So many of them."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def images_of(row: Record) -> str:
    """The images of a class that were tested, a star where they are few."""
    n = int(row["n"] or 0)
    return f"n = {n:,}" + " *" * (n < FEW_IMAGES)


def wrapped(name: str, width: int) -> str:
    """A text in lines for a figure, where a dollar is a dollar."""
    return in_figure("\n".join(textwrap.wrap(name, width)))
