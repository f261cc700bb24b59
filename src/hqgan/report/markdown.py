"""A comparison as tables in Markdown: all of it from the JSON that `compare` wrote."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

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
    return rows_of(comparison, list(columns(comparison)), caption(comparison))


def short_table(comparison: Record) -> str:
    """The same in five to seven columns, for a page that points to the whole."""
    chosen = [column for column in columns(comparison) if column.short]
    return rows_of(comparison, chosen, caption(comparison, short=True))


class Column(NamedTuple):
    """Of a comparison's table: its head, the floor's cell, and a model's.

    `short` is whether the short table has it.
    """

    head: str
    floor: str
    of: Callable[[Record], str]
    short: bool = True


def columns(comparison: Record) -> Iterator[Column]:
    """All there are; those of measures that nothing was measured by are left out."""
    models = comparison["models"]
    floors = {r["recipe"]: r["floor"] for m in reversed(models) for r in overall(m)}
    kid, others = recipe_names(comparison["settings"]["extractor"])

    def found(model: Record, name: str) -> Record | None:
        return next((r for r in reversed(overall(model)) if r["recipe"] == name), None)

    def level_of(name: str) -> Callable[[Record], str]:
        return lambda m: number((found(m, name) or {}).get("value"))

    yield Column("model", "floor (real images)", lambda m: m["model"])
    yield Column("generator parameters", NOTHING, lambda m: f"{m['generator_parameters']:,}")
    yield Column("kimg × seeds", NOTHING, trained)
    yield Column("images/s", NOTHING, lambda m: rate(m["images_per_second"]), short=False)
    if kid in floors:
        value = thousandth(floors[kid])
        yield Column(f"{kid} × 1000 [95 %]", value, lambda m: with_interval(found(m, kid)))
    yield Column(
        f"difference to {REFERENCE_MODEL} × 1000 [95 %]",
        NOTHING,
        lambda m: with_interval(m["difference"], sign="+"),
    )
    for name in filter(floors.__contains__, others):
        yield Column(name, number(floors[name]), level_of(name), short=False)
    yield Column(f"images to {RIVAL}'s best", NOTHING, partial(to_rival, comparison), short=False)
    yield Column("marks", "", lambda m: ", ".join(all_marks(comparison, m)))
    if any(model.get("paper") for model in models):
        yield Column("the paper says", "", paper)


def rows_of(comparison: Record, chosen: Sequence[Column], said: str) -> str:
    """These columns, the floor first, then the caption."""
    lines = [[column.floor for column in chosen]]
    lines += [[column.of(model) for column in chosen] for model in comparison["models"]]
    return "\n".join([*pipes([column.head for column in chosen], lines), "", said, ""])


def trained(model: Record) -> str:
    """How long, and how often."""
    return f"{model['images_seen'] / 1000:.3g} × {len(model['seeds'])}"


def all_marks(comparison: Record, model: Record) -> list[str]:
    """What a reader must know of a row."""
    return [*marks(comparison, model), *(["stopped"] if model["stopped"] else [])]


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


def caption(comparison: Record, short: bool = False) -> str:
    """What the numbers of a table were made of; the short one leaves out the checksums."""
    s = comparison["settings"]
    table = s.get("table", {})
    train, reference = (
        "" if short else f", {split}sha256 `{s[key][:16]}`"
        for split, key in (("train split ", "data_checksum"), ("", "reference_checksum"))
    )
    said = [
        f"{table['title']}." if table else "",
        f"{s['size']} px{train}; {s['n']:,} generated images of each model in the class mix of "
        f"{s['split']}{reference}; {s['extractor'].split(' sha256')[0]}.",
        *shared_remarks(comparison, [] if short else recipe_names(s["extractor"])[1]),
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
