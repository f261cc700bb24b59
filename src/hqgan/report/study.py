"""The page of `hqgan study`: what could have been found, what was fixed, and what was found."""

import csv
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from hqgan.durations import duration
from hqgan.evaluation.classification import MEASURES
from hqgan.evaluation.trials import IN_POINTS, POWER
from hqgan.foreign import shielded
from hqgan.report.page import as_png, html_page, writing_to
from hqgan.report.pieces import listed, paragraph, section, table
from hqgan.report.provenance import provenance, shell, versions_of
from hqgan.report.study_figures import forest_figure
from hqgan.report.study_sections import (
    arms,
    classes,
    comparisons,
    confusions,
    controls,
    groups,
    protocol,
)
from hqgan.report.study_terms import Record, arms_of, count, scalar, share, title_of
from hqgan.training.runs import ENVIRONMENT
from hqgan.workflows.study import StudyResult
from hqgan.workflows.study.cell import CELL
from hqgan.workflows.study.plan import PROTOCOL

MEANINGS = {
    "accuracy": "share of images whose class is recognised; common classes dominate it; ideal: 1",
    "balanced_accuracy": "mean over classes of their recall, so every class counts alike; ideal: 1",
    "precision": "of the images taken for a class, the share that is of it; mean over classes",
    "recall": "of the images of a class, the share recognised; its mean is balanced accuracy",
    "f1": "harmonic mean of precision and recall of a class; mean over classes; ideal: 1",
    "auroc": "chance that an image of a class gets a higher probability of that class than an "
    "image of another does; mean over classes; guessing: 0.5, ideal: 1",
    "ece": "mean distance between a classifier's confidence and its accuracy; ideal: 0",
    "brier": "squared distance of the probabilities to the true class, at most 2; ideal: 0",
}


def study_page(result: StudyResult, out: Path) -> list[Path]:
    """Write study.json, .csv, .png and .html and study-comparisons.csv into `out`; returns them.

    Once test is open they are called study-final, so that what was seen on val stays. study.csv
    has a line for each row of `arms`, study-comparisons.csv for each of `comparisons`, with the
    numbers of study.json, which are fractions of 1; the page has percent and points. study.png is
    the figure of the comparisons. The same result gives the same bytes.

    Raises:
        RunError: where the folder cannot be written.
    """
    plain = result.as_json()
    study = StudyResult(**plain)  # in which what is not a number is None
    name = "study-final" if study.final else "study"
    contents = {
        f"{name}.json": (json.dumps(plain, indent=2) + "\n").encode(),
        f"{name}.csv": as_csv([flat_arm(row) for row in study.arms]),
        f"{name}-comparisons.csv": as_csv([flat_comparison(one) for one in study.comparisons]),
        f"{name}.png": as_png(forest_figure(study)),
    }
    with writing_to(out):
        contents[f"{name}.html"] = study_html(study, out).encode()
        for file, content in contents.items():
            (out / file).write_bytes(content)
    return [out / file for file in contents]


def study_html(study: StudyResult, folder: Path) -> str:
    """The page of a study; what it cost is read from the cells that lie in its folder."""
    parts = body(study) + study_provenance(study, folder)
    lead = (
        f"{count(len(arms_of(study)), 'arm')}, {count(study.protocol['seeds'], 'seed')}, tested on "
        f"{count(study.images, 'image')} of {count(study.lesions, 'lesion')} ({study.split})."
    )
    return html_page("Do synthetic images help?", parts, lead)


def study_provenance(study: StudyResult, folder: Path) -> str:
    """The last sections of the page."""
    protocol = folder / PROTOCOL
    records = [(file, cell_seconds(file)) for file in sorted(folder.rglob(CELL))]
    kinds: dict[str, list[float]] = {}
    for file, seconds in records:
        kinds.setdefault(file.relative_to(folder).parts[0], []).append(seconds)
    cost = [
        (f"{kind}: {count(len(each), 'cell')}", duration(sum(each))) for kind, each in kinds.items()
    ]
    command = shell(
        *("hqgan", "study", protocol, "--data", study.protocol["data"], "--out", folder),
        "--final" if study.final else None,
    )
    return provenance(
        cost or [("cells", "they are not in this folder any more")],
        [("The study; what is done is not done again:", command)],
        versions_of(sorted({file.parent for file in folder.rglob(ENVIRONMENT)})),
        [(f"{what}, sha256", found) for what, found in study.checksums.items()],
    )


def cell_seconds(file: Path) -> float:
    """What a cell took; 0 where its record cannot be read."""
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def body(study: StudyResult) -> str:
    """The page below its title; sections that have nothing to say are left out."""
    sections = {
        "What was fixed beforehand": protocol(study),
        "Comparisons": comparisons(study),
        "Arms": arms(study),
        "Each class": classes(study),
        "Confusion matrices": confusions(study),
        "Groups": groups(study),
        "Controls": controls(study),
        "What this shows, and what it does not": limits(study),
        "Measures": [
            table(
                "What they mean",
                ["measure", "meaning"],
                [[title_of(m), MEANINGS[m]] for m in MEASURES],
            )
        ],
    }
    return "\n".join([*summary(study), *(section(title, *p) for title, p in sections.items())])


def summary(study: StudyResult) -> list[str]:
    """The one sentence, warnings, and what could have been found at all."""
    return [
        paragraph(study.sentence, "result"),
        *(f"<p><strong>Warning.</strong> {escape(said)}</p>" for said in study.warnings),
        f"<p><strong>Minimum detectable effect.</strong> {escape(power(study))}</p>",
    ]


def power(study: StudyResult) -> str:
    """The minimum detectable effect, in words."""
    primary, seeds = study.protocol["primary"], count(study.protocol["seeds"], "seed")
    size, measure = study.minimum_detectable_effect, primary["measure"]
    if size is None:
        return (
            "Unknown: it is reckoned from the spread of the differences over seeds, which cannot "
            f"be had here ({seeds}). That no effect is shown then means nothing."
        )
    return (
        f"{scalar(size, measure)}{' points' if measure in IN_POINTS else ''} of "
        f"{title_of(measure)}. A true effect of this size is found with a chance of "
        f"{share(POWER)} by {seeds}, the paired t test with Holm's correction "
        f"for {count(len(primary['comparisons']), 'comparison')} and the interval together; "
        "smaller ones can be missed. It is reckoned from the spread over seeds and lesions that "
        "was seen, which few seeds know but roughly."
    )


def limits(study: StudyResult) -> list[str]:
    """What a reader must not take from this page."""
    seeds = study.protocol["seeds"]
    said = [
        "Test was opened after all training, once for all arms."
        if study.final
        else f"The numbers are of {study.split}, on which the step of every classifier was chosen: "
        "they flatter all arms, and support no claim. `--final` opens test.",
        f"Intervals are 95 %, by a hierarchical bootstrap over {count(seeds, 'seed')} and "
        f"{study.lesions:,} lesions of {study.split}; all images of a lesion are drawn together. "
        "None is corrected for the number of comparisons; only the p values of the primary family "
        "are."
        if seeds > 1
        else f"One seed: intervals are over the {study.lesions:,} lesions of {study.split} alone. "
        "How much another seed would change is not in them, so there is no test and no p value.",
        "The tests over seeds ask whether other seeds would agree on these same images; the "
        "intervals ask it of other lesions of the same source too. Neither asks it of other data.",
        f"One data set ({study.protocol['data']}), one split, one recipe for each model. Other "
        "cameras, hospitals, skin types and classifiers are not covered.",
        "Exploratory comparisons, classes, groups and confusion matrices say where to look next, "
        "in a new study.",
    ]
    return [listed(said)]


def flat_arm(row: Record) -> Record:
    """A row of `arms` as a line of study.csv."""
    keys = ("arm", "classifier", "fraction", "seeds", "synthetic_share")
    line = {key: row[key] for key in keys}
    line |= {"real": sum(row["real"]), "synthetic": sum(row["synthetic"])}
    for measure, found in row["measures"].items():
        line |= with_ends(measure, found)
    return line | {f"recall {one['class']}": one["recall"] for one in row["per_class"]}


def flat_comparison(one: Record) -> Record:
    """A comparison as a line of study-comparisons.csv; an exploratory one has no tests."""
    line = {key: one[key] for key in ("arm", "against", "classifier", "fraction", "primary")}
    line |= {"measure": one["measure"], **with_ends("difference", one), "seeds": one["seeds"]}
    tests = ("t", "p", "p_holm", "sign_flip_p", "sign_flip_p_holm", "minimum_detectable_effect")
    line |= {key: one.get(key) for key in tests}
    return line | {"sentence": one["sentence"]}


def with_ends(name: str, found: Record) -> Record:
    """A value and the ends of its interval, each under a name of its own."""
    low, high = found["interval"] or (None, None)
    return {name: found["value"], f"{name}_low": low, f"{name}_high": high}


def as_csv(lines: Sequence[dict[str, Any]]) -> bytes:
    """Lines with the same keys; what is unknown is empty."""
    buffer = io.StringIO()
    if lines:
        writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(shielded(lines))
    return buffer.getvalue().encode()
