"""The numbers of README and of the documentation, all of them from files that a command wrote.

The pages hold them between `<!-- KIND: NAME -->` and `<!-- end -->`; what stands there is what
`fill` makes of the committed docs/results/NAME.json (kinds `table`, `short` and `classes` of a
comparison, `study` and `primary` of a study) or of the metrics.json of a generator of the package
(kind `packaged`), which a test checks.
"""

import re
from collections.abc import Mapping

from hqgan.report.markdown import (
    class_table,
    markdown_table,
    number,
    pipes,
    short_table,
    with_interval,
)
from hqgan.report.statements import NOT_FID, NOTHING, Record
from hqgan.report.study_terms import change, level, probability, share, title_of

PACKAGED = "packaged"
STUDY_MEASURES = ("balanced_accuracy", "accuracy", "auroc")


def fill(text: str, results: Mapping[str, Record], packaged: Mapping[str, Record]) -> str:
    """The text with everything between markers made anew.

    Args:
        text: Markdown.
        results: comparisons and studies by name.
        packaged: the metrics of packaged generators by name.

    Raises:
        ValueError: a marker without an end, or of something that is not there.
    """
    if len(OPENING.findall(text)) != len(MARKED.findall(text)):
        raise ValueError("a table's marker is not followed by <!-- end -->")

    def made(found: re.Match[str]) -> str:
        kind, name = found["kind"], found["name"]
        known = packaged if kind == PACKAGED else results
        if name not in known:
            raise ValueError(f"there are no results of a {kind} {name!r}")
        if OPENING.search(found["text"]):
            raise ValueError(f"the marker of {kind} {name!r} is not followed by <!-- end -->")
        return f"{found[1]}{KINDS[kind](known[name])}{found[5]}"

    return MARKED.sub(made, text)


def packaged_table(metrics: Record) -> str:
    """What a packaged generator was measured at, over all and in each class, beside the floors."""
    recipes = metrics["recipes"]
    real = {r["class"]: r["n_real"] for r in recipes}  # None is all of them
    cells = {(r["recipe"], r["class"]): beside_floor(r) for r in recipes}
    heads = ["recipe", *(f"{name or 'all'} ({n} real)" for name, n in real.items())]
    lines = []
    for recipe in dict.fromkeys(r["recipe"] for r in recipes):
        title = f"{recipe} × 1000 [95 %]" if recipe.startswith("kid") else recipe
        lines.append([title, *(cells.get((recipe, name), NOTHING) for name in real)])
    said = (
        f"*{metrics['name']}: preset {metrics['preset']}, {metrics['generator_parameters']:,} "
        f"generator parameters, one run of {metrics['images_seen']:,} images, measured on "
        f"{recipes[0]['split']} with {recipes[0]['n_fake']:,} generated images; intervals over "
        f"lesions; in brackets the floor, real images against real ones. {NOT_FID}*"
    )
    return "\n".join([*pipes(heads, lines), "", said, ""])


def beside_floor(record: Record) -> str:
    """A value with its interval, and the floor in brackets."""
    write = with_interval if record["recipe"].startswith("kid") else level_of
    return f"{write(record)} ({write({'value': record['floor'], 'interval': None})})"


def level_of(record: Record) -> str:
    """A value without an interval."""
    return number(record["value"])


def study_table(study: Record) -> str:
    """The arms of a study, then what was tested, then the sentence of it all."""
    heads = ["arm", "lesions used", "synthetic share"]
    heads += [f"{title_of(measure, '%')} [95 %]" for measure in STUDY_MEASURES]
    arms = [
        [row["arm"], share(row["fraction"]), share(row["synthetic_share"])]
        + [level(row["measures"][measure], measure) for measure in STUDY_MEASURES]
        for row in study["arms"]
    ]
    which = "The second table is the primary family, fixed before; the rest is exploratory."
    return "\n".join([*pipes(heads, arms), "", *tested(study), "", about(study, which), ""])


def primary_table(study: Record) -> str:
    """What a study tested, and nothing else."""
    which = "This is the primary family, fixed before, and all that was tested."
    return "\n".join([*tested(study), "", about(study, which), ""])


def tested(study: Record) -> list[str]:
    """The comparisons that may claim something."""
    measure = study["protocol"]["primary"]["measure"]
    heads = ["primary comparison", title_of(measure, "points") + " [95 %]"]
    heads += ["p (Holm)", "p of sign flips (Holm)", "could have been found from"]
    lines = [
        [
            f"{row['arm']} against {row['against']}",
            change(row, measure),
            probability(row["p_holm"]),
            probability(row["sign_flip_p_holm"]),
            detectable(row["minimum_detectable_effect"], measure),
        ]
        for row in study["comparisons"]
        if row["primary"]
    ]
    return pipes(heads, lines)


def about(study: Record, which: str) -> str:
    """What a study's numbers were made of."""
    protocol = study["protocol"]
    said = [
        f"{protocol['size']} px, {protocol['seeds']} seeds, each with generators and classifiers "
        f"({', '.join(protocol['classifiers'])}) of its own; tested on {study['split']}: "
        f"{study['images']:,} images of {study['lesions']:,} lesions. Intervals are over seeds and "
        "lesions.",
        which,
        *study["warnings"],
    ]
    return f"*{' '.join(said)}*"


def detectable(effect: float | None, measure: str) -> str:
    """The smallest difference that the study had a good chance to find."""
    return NOTHING if effect is None else change({"value": effect, "interval": None}, measure)


KINDS = {
    "table": markdown_table,
    "short": short_table,
    "classes": class_table,
    "study": study_table,
    "primary": primary_table,
    PACKAGED: packaged_table,
}
_KIND = "|".join(KINDS)
OPENING = re.compile(f"<!-- (?:{_KIND}):")
MARKED = re.compile(
    rf"(<!-- (?P<kind>{_KIND}): (?P<name>\S+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL
)
