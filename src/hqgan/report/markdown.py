"""A comparison as tables in Markdown: all of it from the JSON that `compare` wrote."""

from collections.abc import Sequence

from hqgan.report.statements import (
    CLASS_DIFFERENCES,
    NOTHING,
    Record,
    difference_mark,
    marks,
    overall,
    recipe_names,
    shared_remarks,
    to_rival,
)
from hqgan.workflows.table import REFERENCE_MODEL, RIVAL

EVIDENCE = {
    "C": "read in the paper's abstract or code",
    "S": "a secondary source",
    "I": "inferred by us",
}


def reproduction(comparison: Record) -> str:
    """The page NAME.md: both tables, and the command of each row."""
    table = comparison["settings"]["table"]
    commands = [line for model in comparison["models"] for line in model["commands"]]
    return "\n".join(
        [
            f"# {table['title']}\n",
            markdown_table(comparison),
            f"## Each class\n\n{class_table(comparison)}",
            "## Commands\n\nOf the two for each row, the first makes it in the table in DIR; the "
            "second trains the same and measures it by itself, in a folder of its own:\n",
            "```sh",
            *commands,
            "```\n",
        ]
    )


def markdown_table(comparison: Record) -> str:
    """A row a model, the floor first, and a caption that says what the numbers are."""
    models = comparison["models"]
    floors = {r["recipe"]: r["floor"] for m in reversed(models) for r in overall(m)}
    kid, others = recipe_names(comparison["settings"]["extractor"])
    others = [name for name in others if name in floors]
    heads = ["model", "generator parameters", "kimg × seeds", "images/s"]
    heads += [f"{kid} × 1000 [95 %]"] if kid in floors else []
    heads += [f"difference to {REFERENCE_MODEL} × 1000 [95 %]", *others]
    heads += [f"images to {RIVAL}'s best", "marks"]
    floor = ["floor (real images)", *[NOTHING] * 3]
    floor += [thousandth(floors[kid])] if kid in floors else []
    lines = [[*floor, NOTHING, *(number(floors[name]) for name in others), NOTHING, ""]]
    for model in models:
        found = {r["recipe"]: r for r in overall(model)}
        line = [model["model"], f"{model['generator_parameters']:,}"]
        line += [f"{model['images_seen'] / 1000:.3g} × {len(model['seeds'])}"]
        line += [rate(model["images_per_second"])]
        line += [with_interval(found.get(kid))] if kid in floors else []
        line += [with_interval(model["difference"], sign="+")]
        line += [number(found.get(name, {}).get("value")) for name in others]
        line += [to_rival(comparison, model)]
        stopped = ["stopped"] if model["stopped"] else []
        lines.append([*line, ", ".join([*marks(comparison, model), *stopped])])
    if any(model.get("paper") for model in models):
        heads.append("the paper says")
        lines = [[*a, b] for a, b in zip(lines, ["", *map(paper, models)], strict=True)]
    return "\n".join([*pipes(heads, lines), "", caption(comparison), ""])


def class_table(comparison: Record) -> str:
    """A row a model, a column a class: kernel distance, and below it the difference to hybridq."""
    models = comparison["models"]
    kid, _ = recipe_names(comparison["settings"]["extractor"])
    by_class = [
        {r["class"]: r for r in m["recipes"] if r["recipe"] == kid and r["class"] is not None}
        for m in models
    ]
    names = list(dict.fromkeys(name for found in by_class for name in found))
    real = {name: one["n_real"] for found in by_class for name, one in found.items()}
    floors = {name: one["floor"] for found in by_class for name, one in found.items()}
    lines = [["floor (real images)", *(thousandth(floors[name]) for name in names)]]
    for model, found in zip(models, by_class, strict=True):
        differences = {one["class"]: one for one in model["differences"]}
        cells = []
        for name in names:
            cell = with_interval(found.get(name))
            if name in differences:
                cell += f"<br>{with_interval(differences[name], sign='+')}"
            cells.append(cell)
        lines.append([model["model"], *cells])
    said = (
        f"*{kid} × 1000 [95 %] within each class; below it the difference to {REFERENCE_MODEL}, "
        f"{CLASS_DIFFERENCES}.*"
    )
    heads = ["model", *(f"{name} ({real[name]} real)" for name in names)]
    return "\n".join([*pipes(heads, lines), "", said, ""])


def caption(comparison: Record) -> str:
    """What the numbers of a table were made of."""
    s = comparison["settings"]
    table = s.get("table", {})
    said = [
        f"{table['title']}." if table else "",
        f"{s['size']} px, train split sha256 `{s['data_checksum'][:16]}`; {s['n']:,} generated "
        f"images of each model in the class mix of {s['split']}, sha256 "
        f"`{s['reference_checksum'][:16]}`; {s['extractor'].split(' sha256')[0]}.",
        *shared_remarks(comparison, recipe_names(s["extractor"])[1]),
    ]
    if any(model.get("paper") for model in comparison["models"]):
        known = "; ".join(f"{letter}: {meaning}" for letter, meaning in EVIDENCE.items())
        said.append(f"What the paper says is about its own experiments, not about these ({known}).")
    if table:
        weights = "" if s["extractor"].startswith("tiny") else " --inception-weights download"
        final = " --final" if s["split"] == "test" else ""
        said.append(
            f"`hqgan reproduce {table['name']} --data DATA{weights}{final}` makes the table, "
            "`--row MODEL` one row of it."
        )
    return f"*{' '.join(filter(None, said))}*"


def paper(model: Record) -> str:
    """What the paper says of it, with the level of evidence."""
    claim = model.get("paper")
    return f"{claim['says']} ({claim['evidence']})" if claim else ""


def with_interval(value: Record | None, sign: str = "") -> str:
    """A kernel distance or a difference, times 1000, with its interval if it has one."""
    if value is None or value["value"] is None:
        return NOTHING
    low_high = value["interval"]
    text = thousandth(value["value"], sign)
    text += f" [{', '.join(thousandth(x, sign) for x in low_high)}]" if low_high else ""
    return text + difference_mark(value)


def thousandth(value: float | None, sign: str = "") -> str:
    """A kernel distance times 1000."""
    return NOTHING if value is None else f"{1000 * value:{sign}#.3g}".rstrip(".")


def number(value: float | None) -> str:
    """Any other measure."""
    return NOTHING if value is None else f"{value:.3g}"


def rate(value: float | None) -> str:
    """Images a second."""
    return NOTHING if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def pipes(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of plain texts."""
    rows = [heads, ["---"] * len(heads), *lines]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
