"""The page of `hqgan compare`: curves, samples and the table, and what may be said of it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hqgan.report.comparison_command import again, comparison_provenance
from hqgan.report.comparison_figures import PER_CLASS, curve_figure, sample_figure
from hqgan.report.markdown import reproduction
from hqgan.report.page import PURPOSE, as_png, html_page, writing_to
from hqgan.report.pieces import chart, inline, missing, paragraph, scrolled, section
from hqgan.report.pieces import table as table_of
from hqgan.report.statements import (
    CLASS_DIFFERENCES,
    NOTHING,
    difference_mark,
    marks,
    overall,
    shared_remarks,
    to_rival,
)
from hqgan.workflows.compare import Plan
from hqgan.workflows.table import REFERENCE_MODEL, RIVAL, Comparison

WHOLE = 10_000  # from which on a number is written with all its digits
CURVES, SAMPLES = "curves.png", "samples.png"

# Heading, and how a row of the table fills the column.
COLUMNS = (
    ("model", "model"),
    ("G", "generator_parameters"),
    ("stored besides", "buffers"),
    ("critic", "critic_parameters"),
    ("MAC / image", "macs_per_image"),
    ("circuits / image", "circuits_per_image"),
    ("two-qubit gates / image", "two_qubit_gates_per_image"),
    ("amplitude updates / image", "simulation_work"),
    ("training images/s", "images_per_second"),
    ("sampling images/s", "sampling_images_per_second"),
    ("images seen", "images_seen"),
    ("epochs", "epochs"),
    ("images to 5 % of own best", "images_to_near_best"),
)


def comparison_page(table: Comparison, chosen: Plan, out: Path) -> list[Path]:
    """Write comparison.json, .csv and .html, curves.png and samples.png into `out`; returns them.

    On test they are comparison-final.*, and the two pictures stay those of val. A named table (see
    `hqgan.tables`) is written as NAME.md or NAME-final.md as well.

    Raises:
        RunError: where the folder cannot be written.
    """
    with writing_to(out):
        files = list(table.save(out))
        pictures = {CURVES: lambda: curve_figure(table), SAMPLES: lambda: sample_figure(chosen)}
        for name, figure in pictures.items():
            if chosen.before is None or not (out / name).is_file():
                (out / name).write_bytes(as_png(figure()))
                files.append(out / name)
        if "table" in table.settings:
            name = table.settings["table"]["name"]
            files.append(out / f"{name}{table.stem.removeprefix('comparison')}.md")
            files[-1].write_text(reproduction(asdict(table)), encoding="utf-8")
        files.append(out / f"{table.stem}.html")
        files[-1].write_text(comparison_html(table, out), encoding="utf-8")
    return files


def comparison_html(table: Comparison, folder: Path) -> str:
    """The page of a table, with the samples and the runs that lie in its folder."""
    picture = folder / SAMPLES
    samples = (
        scrolled(inline(picture.read_bytes(), samples_in_words(table)), "Samples of every model")
        if picture.is_file()
        else missing(f"{SAMPLES} is not there; the same command draws it:", again(table, folder))
    )
    body = "\n".join(
        [
            section("Table", paragraph(preface(table)), html_table(table), html_costs(table)),
            section("Differences to hybridq", *map(paragraph, table.sentences)),
            section(
                "Kernel distance over images seen",
                chart(curve_figure(table), "kernel distance over images seen", curves_told(table)),
            ),
            section("Samples", samples),
            section("Each class", html_classes(table), html_differences(table)),
            comparison_provenance(table, folder),
        ]
    )
    s = table.settings
    lead = (
        f"{len(table.models)} models trained and measured alike on {images_said(table)} of "
        f"{s.get('size', '?')} px. {PURPOSE}"
    )
    return html_page("Models compared", body, lead)


def preface(table: Comparison) -> str:
    """What all rows share, in words."""
    s = table.settings
    flattered = ", and choices made on this split flatter the model they were made for"
    count = s.get("reference_images")
    images = "" if count is None else f" ({count:,} images)"
    return (
        f"{images_said(table).capitalize()} at {s['size']} px; {s['n']} generated images of each "
        f"model, in the class mix of the {s['split']} split{images}, {s['extractor']}; curves with "
        f"{s['curve_n']}. Compared at equal {s['by']}; runs made elsewhere are taken as they are, "
        "and rows of fewer images say so. The floor is the same measure of real training images. "
        "A number without an interval of the difference does not say which model is better"
        f"{'' if 'test_opened' in s else flattered}. "
        f"{' '.join(shared_remarks(asdict(table), recipes_shown(table)))}"
    )


def images_said(table: Comparison) -> str:
    """How many images of how many classes; tables of earlier versions do not say."""
    s = table.settings
    if "training_images" not in s:
        return "the same training images"
    return f"{s['training_images']:,} training images of {len(s['classes'])} classes"


def samples_in_words(table: Comparison) -> str:
    """What the picture of samples shows."""
    classes = ", ".join(table.settings.get("classes", [])) or "all classes"
    models = ", ".join(model["model"] for model in table.models)
    return f"{PER_CLASS} images of each class ({classes}): real ones on top, then of {models}"


def curves_told(table: Comparison) -> str:
    """The ends of all curves, the best first."""
    drawn = [model for model in table.models if model["curve"]]
    drawn.sort(key=lambda model: model["curve"][-1]["value"])
    ends = (
        f"{m['model']} {m['curve'][-1]['value']:.3g} after {m['curve'][-1]['images_seen']:,.0f}"
        for m in drawn
    )
    return f"Kernel distance of every model over images seen, lower is better. {', '.join(ends)}."


def html_table(table: Comparison) -> str:
    """A row a model: every recipe over all classes, below the floor of real images."""
    recipes, comparison = recipes_shown(table), asdict(table)
    heads = ["model", *recipes, f"images to {RIVAL}'s best", "remarks"]
    floors = {r["recipe"]: r["floor"] for m in table.models for r in overall(m)}
    lines = [["floor (real images)", *(number(floors[recipe]) for recipe in recipes), "", ""]]
    for model in table.models:
        found = {r["recipe"]: r for r in overall(model)}
        values = [with_interval(found.get(recipe)) for recipe in recipes]
        said = "; ".join([*marks(comparison, model), *model["stopped"]])
        lines.append([model["model"], *values, to_rival(comparison, model), said])
    return table_of("Every recipe over all classes", heads, lines)


def html_costs(table: Comparison) -> str:
    """A row a model: what it stores, what an image takes, how fast it is, what it has seen."""
    lines = [[number(model.get(key)) for _, key in COLUMNS] for model in table.models]
    return table_of("Sizes, costs and clock", [head for head, _ in COLUMNS], lines)


def recipes_shown(table: Comparison) -> list[str]:
    """Every recipe over all classes that a row has."""
    return list(dict.fromkeys(r["recipe"] for m in table.models for r in overall(m)))


def html_classes(table: Comparison) -> str:
    """A table a recipe, a row a model, a column a class: each class by itself."""
    names: dict[str, dict[str, None]] = {}  # recipe to its classes, in order
    for model in table.models:
        for one in model["recipes"]:
            if one["class"]:
                names.setdefault(one["recipe"], {})[one["class"]] = None
    tables = []
    for recipe, classes in names.items():
        lines = []
        for model in table.models:
            found = {r["class"]: r for r in model["recipes"] if r["recipe"] == recipe}
            lines.append([model["model"], *(with_interval(found.get(name)) for name in classes)])
        tables.append(table_of(f"{recipe} of each class", ["model", *classes], lines))
    return "\n".join(tables) if tables else paragraph("not defined here")


def html_differences(table: Comparison) -> str:
    """A row a model, a column a class that is large enough: kid minus that of hybridq."""
    names = list(dict.fromkeys(d["class"] for m in table.models for d in m["differences"]))
    if not names:
        return ""
    lines = []
    for model in table.models:
        found = {d["class"]: d for d in model["differences"]}
        if found:
            lines.append([model["model"], *(with_interval(found.get(name)) for name in names)])
    said = (
        f"Kernel distance minus that of {REFERENCE_MODEL} within a class, negative where it is "
        f"lower, {CLASS_DIFFERENCES}"
    )
    caption = "Difference to hybridq within each class"
    return paragraph(f"{said}.") + "\n" + table_of(caption, ["model", *names], lines)


def number(value: Any) -> str:
    """A number as people read it."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{4 if value < WHOLE else 9}g}"


def with_interval(recipe: dict[str, Any] | None) -> str:
    """Value and interval, or why there is none."""
    if recipe is None:
        return NOTHING
    if recipe["value"] is None:
        return recipe.get("reason") or recipe.get("note") or NOTHING
    interval = recipe["interval"]
    text = f"{recipe['value']:.4g}"
    text += f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
    return text + difference_mark(recipe)
