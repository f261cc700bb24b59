"""The sections of a study's page that hold its tables and figures, as pieces of HTML."""

from collections.abc import Sequence

from hqgan.evaluation.classification import MEASURES
from hqgan.report.comparison import number
from hqgan.report.pieces import chart, details, heading, paragraph, table
from hqgan.report.study_figures import (
    arms_figure,
    confusion_figure,
    elsewhere_figure,
    forest_figure,
    fractions_figure,
    recall_figure,
)
from hqgan.report.study_terms import (
    FEW_IMAGES,
    Record,
    at,
    baseline,
    change,
    images_of,
    level,
    primary_place,
    probability,
    scalar,
    share,
    title_of,
)
from hqgan.report.study_words import (
    arms_told,
    comparisons_told,
    confusions_told,
    elsewhere_told,
    recall_told,
)
from hqgan.workflows.study import StudyResult

SETTING = ("arm", "classifier", "lesions used")


def setting(row: Record) -> list[str]:
    """The first cells of a row of `arms`."""
    return [row["arm"], row["classifier"], share(row["fraction"])]


def protocol(study: StudyResult) -> list[str]:
    """What was compared and how, and by what it can be recognised."""
    p = study.protocol
    classifier, generators = p["classifier"], p["generators"]
    facts = {
        "data": p["data"] + (f", classes from the column {p['label']}" if p["label"] else ""),
        "image size": f"{p['size']} px",
        "tested on": f"{study.split}: {study.images:,} images of {study.lesions:,} lesions",
        "seeds": f"{p['seeds']}; each has generators and classifiers of its own",
        "training lesions used": ", ".join(map(share, p["fractions"])),
        "classifiers": ", ".join(p["classifiers"]),
        "training of a classifier": f"{classifier['steps']:,} steps of {classifier['batch']} "
        f"images, learning rate {listed(classifier['learning_rate']) or 'as each is made for'}, "
        "equal in all arms; the step is chosen on val",
        "pretrained weights": listed(classifier["weights"]),
        "training of a generator": f"{generators['kimg']:,g} thousand images seen",
        "further settings of generators": ", ".join(generators["set"]),
        "groups": ", ".join(p["groups"]),
        "baseline": baseline(study),
    }
    pairs = "; ".join(f"{arm} against {other}" for arm, other in p["primary"]["comparisons"])
    heads = ["arm", "augmentation", "balance", "generator", "ratio"]
    heads += ["class filter", "copy filter", "real images", "synthetic until"]
    return [
        paragraph(
            f"Primary, fixed before anything was trained: {title_of(p['primary']['measure'])} of "
            f"{pairs}. All else on this page is exploratory: it has no test and claims nothing."
        ),
        table(
            "The protocol",
            ["what", "fixed to"],
            [[key, value] for key, value in facts.items() if value],
        ),
        heading("Arms"),
        table("All arms", heads, [arm_cells(name, arm) for name, arm in p["arms"].items()]),
        paragraph(
            "Ratio: max or median fills every class up to the largest or the median one with "
            "synthetic images; a number adds so many for each real image, in all classes alike. "
            "An arm with several ratios is called ARM@RATIO below."
        ),
        heading("Images"),
        paragraph("Means over seeds."),
        images_table(study),
    ]


def listed(values: Record) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def arm_cells(name: str, arm: Record) -> list[str]:
    """An arm as it was written."""
    cells = [name, arm["augmentation"], arm["balance"], arm["generator"] or "–"]
    if arm["generator"] is None:
        return [*cells, "–", "–", "–", "yes", "–"]
    ratios = arm["ratio"] if isinstance(arm["ratio"], list) else [arm["ratio"]]
    flags = ["yes" if arm[key] else "no" for key in ("class_filter", "copy_filter", "real")]
    until = f"{arm['synthetic_until']:.0%} of the steps"
    return [*cells, ", ".join(map(str, ratios)), *flags, until]


def images_table(study: StudyResult) -> str:
    """Real training images of each class, means over seeds, and the images tested."""
    fractions = study.protocol["fractions"]
    used = [
        max((row["real"] for row in study.arms if row["fraction"] == f), key=sum) for f in fractions
    ]
    tested = at(study, primary_place(study))[0]["per_class"]
    heads = ["class", *(f"train, {share(f)} of the lesions" for f in fractions)]
    lines = [
        [name, *(f"{real[y]:,.5g}" for real in used), images_of(tested[y])]
        for y, name in enumerate(study.classes)
    ]
    return table("Images of each class", [*heads, study.split], lines)


def comparisons(study: StudyResult) -> list[str]:
    """Those that were tested, the figure of all, and those that were not tested."""
    unit = title_of(study.protocol["primary"]["measure"], "points")
    tested = [one for one in study.comparisons if one["primary"]]
    rest = [one for one in study.comparisons if not one["primary"]]
    classifier, fraction = primary_place(study)
    here = [
        c for c in study.comparisons if (c["classifier"], c["fraction"]) == (classifier, fraction)
    ]
    heads = ["arm", "against", f"change of {unit} [95 %]", "t", "p (t)", "Holm's p (t)"]
    heads += ["p (sign flips)", "Holm's p (sign flips)", "minimum detectable effect"]
    parts = [
        paragraph(
            f"Primary, {classifier}, {share(fraction)} of the training lesions. A difference is "
            "the arm less the one it is against, seed by seed; intervals are over seeds and "
            "lesions. An effect is shown only where the paired t test after Holm's correction and "
            "the interval both find it; the sign-flip test stands beside them, and needs no normal "
            "distribution."
        ),
        table("Primary comparisons", heads, [tested_cells(one) for one in tested]),
        *(paragraph(one["sentence"]) for one in tested),
        chart(forest_figure(study), "comparisons", comparisons_told(here)),
    ]
    if rest:
        heads = [*SETTING, "against", f"change of {unit} [95 %]", "remarks"]
        lines = [
            [*setting(one), one["against"], change(one, one["measure"]), one["note"] or ""]
            for one in rest
        ]
        parts += [heading("Exploratory, no test"), table("Exploratory", heads, lines)]
    if any((one["classifier"], one["fraction"]) != primary_place(study) for one in rest):
        about = "The same with other classifiers and other shares of the training lesions"
        drawn = chart(elsewhere_figure(study), "comparisons elsewhere", elsewhere_told(study))
        parts += [paragraph(f"{about}:"), drawn]
    return parts


def tested_cells(one: Record) -> list[str]:
    """A primary comparison."""
    return [
        one["arm"],
        one["against"],
        change(one, one["measure"]),
        "–" if one["t"] is None else f"{one['t']:.2f}",
        *(probability(one[key]) for key in ("p", "p_holm", "sign_flip_p", "sign_flip_p_holm")),
        scalar(one["minimum_detectable_effect"], one["measure"]),
    ]


def arms(study: StudyResult) -> list[str]:
    """The primary measure in figures, all measures in a table."""
    title = title_of(study.protocol["primary"]["measure"])
    parts = [
        paragraph(
            "Means over seeds with their 95 % intervals; dots are seeds. The dotted line is the "
            "baseline; arms of primary comparisons are blue. Two intervals that overlap say little "
            "about a difference, for the arms share seeds and images: see the comparisons."
        ),
        chart(
            arms_figure(study),
            f"{title} of every arm",
            arms_told(study, at_primary_fraction(study)),
        ),
    ]
    if len(study.protocol["fractions"]) > 1:
        words = arms_told(study, study.arms)
        parts.append(chart(fractions_figure(study), f"{title} over the lesions used", words))
    lines = [
        [
            *setting(row),
            str(row["seeds"]),
            *(level(row["measures"][measure], measure) for measure in MEASURES),
            "; ".join(remarks(row)),
        ]
        for row in study.arms
    ]
    titles = (title_of(measure, "%") for measure in MEASURES)
    heads = [*SETTING, "seeds", *titles, "remarks"]
    return [*parts, table("All measures of every arm", heads, lines)]


def at_primary_fraction(study: StudyResult) -> list[Record]:
    """The rows of all arms and classifiers at the fraction of the primary comparisons."""
    return [row for row in study.arms if row["fraction"] == primary_place(study)[1]]


def remarks(row: Record) -> list[str]:
    """What its numbers leave out, each said once."""
    said = (found["note"] for found in row["measures"].values() if found["value"] is not None)
    return list(dict.fromkeys(note for note in (*row["notes"], *said) if note))


def of_class(one: Record, key: str) -> str:
    """A score of one class; recall has an interval."""
    ends = one["recall_interval"] if key == "recall" else None
    return level({"value": one[key], "interval": ends, "note": None}, key)


def classes(study: StudyResult) -> list[str]:
    """Each class's scores in every arm."""
    few = [one for one in study.arms[0]["per_class"] if (one["n"] or 0) < FEW_IMAGES]
    parts = [
        paragraph(
            "Means over seeds; where to look next, not what is shown. In the "
            "picture blue is a higher recall than the baseline's, red a lower one."
            + (
                f" A star marks fewer than {FEW_IMAGES} images, where one image moves the recall "
                "by 3 points or more: that proves little."
                if few
                else ""
            )
        ),
        chart(recall_figure(study), "change of the recall of each class", recall_told(study)),
    ]
    for key in ("recall", "precision", "f1", "auroc"):
        title = title_of(key, "%").removeprefix("macro ")
        heads = [f"{one['class']} ({images_of(one)})" for one in study.arms[0]["per_class"]]
        lines = [
            [*setting(row), *(of_class(one, key) for one in row["per_class"])] for row in study.arms
        ]
        numbers = table(f"{title} of each class", [*SETTING, *heads], lines)
        parts.append(details(title, numbers, shown=key == "recall"))
    return parts


def confusions(study: StudyResult) -> list[str]:
    """The matrices of all arms where the primary comparisons are made."""
    classifier, fraction = primary_place(study)
    return [
        paragraph(
            f"{classifier}, {share(fraction)} of the training lesions, summed over seeds: of the "
            "images of each true class (a row), the percentage that is taken for each class."
        ),
        chart(confusion_figure(study), "confusion matrices", confusions_told(study)),
    ]


def groups(study: StudyResult) -> list[str]:
    """The primary measure within each group, a table a column of the data."""
    measure = study.protocol["primary"]["measure"]
    parts = []
    for column in study.protocol["groups"]:
        found = [group for group in study.arms[0]["groups"] if group["column"] == column]
        heads = [
            f"{group['value'] or 'unknown'} ({group['images']:,} images, "
            f"{group['lesions']:,} lesions)"
            for group in found
        ]
        lines = [
            [
                *setting(row),
                *(
                    level(group["measures"][measure], measure)
                    for group in row["groups"]
                    if group["column"] == column
                ),
            ]
            for row in study.arms
        ]
        parts += [heading(column), table(f"By {column}", [*SETTING, *heads], lines)]
        changes = [
            [
                one["arm"],
                one["against"],
                *(change(g, measure) for g in one["groups"] if g["column"] == column),
            ]
            for one in study.comparisons
            if one["primary"]
        ]
        parts.append(table(f"Changes by {column}", ["arm", "against", *heads], changes))
    if not parts:
        return []
    said = (
        f"{title_of(measure, '%')}, within each group, and under it the change that the primary "
        "comparisons show there; exploratory, no test. All measures are in study.json."
    )
    return [paragraph(said), *parts]


def controls(study: StudyResult) -> list[str]:
    """Whether synthetic images are told from real ones, what was dropped, and where they are."""
    if not study.generators:
        return [paragraph("No arm has synthetic images.")]
    told = [
        [
            one["preset"],
            share(one["fraction"]),
            *filter_flags(kind),
            level(kind["detectability"], "auroc"),
            kind["extractor"] or "–",
            "; ".join(one["stopped"]),
        ]
        for one in study.generators
        for kind in one["filters"]
    ]
    heads = ["generator", "lesions used", "class filter", "copy filter"]
    return [
        heading("Can synthetic images be told from real ones?"),
        paragraph(
            "Area under the ROC curve of a linear classifier of features, of val images and of as "
            "many synthetic ones of the same classes that passed the filters: 0.5 where they "
            "cannot be told apart, 1 where all can. The easier it is, the more a classifier may "
            "learn the generator's texture instead of the disease, above all where only rare "
            "classes have synthetic images. A network trained to tell them would find more."
        ),
        table("Detectability", [*heads, "detectability", "features", "stopped"], told),
        heading("What the filters dropped"),
        paragraph("Images, summed over seeds; one may be both a near-copy and unrecognised."),
        table(
            "Images by generator and class",
            [
                *(*heads, "class", "asked", "made"),
                *("near-copies", "unrecognised", "kept", "dropped of made"),
            ],
            [
                [one["preset"], share(one["fraction"]), *filter_cells(kind, each)]
                for one in study.generators
                for kind in one["filters"]
                for each in kind["per_class"]
            ],
        ),
        heading("Synthetic share of the training images"),
        paragraph("Where it differs much between classes, synthetic tells a class by itself."),
        table("Synthetic share", [*SETTING, "all", *study.classes], synthetic_lines(study.arms)),
    ]


def filter_cells(kind: Record, one: Record) -> list[str]:
    """What became of the images of one class."""
    counts = [number(one[k]) for k in ("asked", "made", "near_copies", "unrecognised", "kept")]
    dropped = share(1 - one["kept"] / one["made"]) if one["made"] else "–"
    return [*filter_flags(kind), one["class"], *counts, dropped]


def filter_flags(kind: Record) -> list[str]:
    """Which filters the images went through."""
    return ["yes" if kind[key] else "no" for key in ("class_filter", "copy_filter")]


def synthetic_lines(arms: Sequence[Record]) -> list[list[str]]:
    """Of all arms with synthetic images, over all classes and in each."""
    return [
        [
            *setting(row),
            share(row["synthetic_share"]),
            *(
                share(fake / (real + fake)) if real + fake else "–"
                for real, fake in zip(row["real"], row["synthetic"], strict=True)
            ),
        ]
        for row in arms
        if row["synthetic_share"]
    ]
