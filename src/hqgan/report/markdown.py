"""A comparison as a table for README: all of it from the JSON that `compare` wrote.

README holds a table between `<!-- table: NAME -->` and `<!-- end -->`; what stands there is what
`markdown_table` makes of the committed docs/results/NAME.json, which a test checks.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hqgan.workflows.differences import MIN_CLASS_IMAGES
from hqgan.workflows.table import REFERENCE_MODEL, RIVAL

Record = Mapping[str, Any]

NOTHING = "–"
ENOUGH = 0.99  # of the most images seen; a run ends with the batch that reaches its goal
EVIDENCE = {
    "C": "read in the paper's abstract or code",
    "S": "a secondary source",
    "I": "inferred by us",
}
MARKED = re.compile(
    r"(<!-- (?P<what>table|classes): (?P<name>\S+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL
)
OPENING = re.compile(r"<!-- (?:table|classes):")


def fill(text: str, results: Mapping[str, Record]) -> str:
    """The text with everything between markers made anew, from comparisons by name.

    `<!-- table: NAME -->` holds `markdown_table`, `<!-- classes: NAME -->` `class_table`.

    Raises:
        ValueError: a marker without an end, or of a table that is not among the results.
    """
    if len(OPENING.findall(text)) != len(MARKED.findall(text)):
        raise ValueError("a table's marker is not followed by <!-- end -->")

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in results:
            raise ValueError(f"there are no results of a table {name!r}")
        if OPENING.search(found["text"]):
            raise ValueError(f"the marker of table {name!r} is not followed by <!-- end -->")
        render = markdown_table if found["what"] == "table" else class_table
        return f"{found[1]}{render(results[name])}{found[5]}"

    return MARKED.sub(made, text)


def reproduction(comparison: Record) -> str:
    """The page NAME.md: both tables, and the command of each row."""
    table = comparison["settings"]["table"]
    commands = [line for model in comparison["models"] for line in model["commands"]]
    return "\n".join(
        [
            f"# {table['title']}\n",
            markdown_table(comparison),
            f"## Each class\n\n{class_table(comparison)}",
            "## Commands\n\nEither of the two makes a row, into the table in DIR:\n",
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
    fewer = fewer_images(comparison)
    rival = any(model["model"] == RIVAL for model in models)
    never = "never" if rival else NOTHING
    heads = ["model", "generator parameters", "kimg × seeds", "images/s"]
    heads += [f"{kid} × 1000 [95 %]"] if kid in floors else []
    heads += [f"difference to {REFERENCE_MODEL} × 1000 [95 %]", *others]
    heads += [f"images to {RIVAL}'s best", "marks"]
    floor = ["floor (real images)", *[NOTHING] * 3]
    floor += [thousandth(floors[kid])] if kid in floors else []
    lines = [[*floor, NOTHING, *(number(floors[name]) for name in others), NOTHING, ""]]
    for model in models:
        found = {r["recipe"]: r for r in overall(model)}
        reached = model["images_to_rival"]
        line = [model["model"], f"{model['generator_parameters']:,}"]
        line += [f"{model['images_seen'] / 1000:.3g} × {len(model['seeds'])}"]
        line += [rate(model["images_per_second"])]
        line += [with_interval(found.get(kid))] if kid in floors else []
        line += [with_interval(model["difference"], sign="+")]
        line += [number(found.get(name, {}).get("value")) for name in others]
        line += [never if reached is None else f"{reached:,}"]
        lines.append([*line, marks(model, fewer)])
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
        f"for classes of at least {MIN_CLASS_IMAGES} real images.*"
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
        "Intervals are 95 %, over seeds where there are two or more, else over lesions; that of a "
        "difference (negative: nearer to the real images) is over seeds, lesions and fakes, but "
        "where a model has one seed it leaves out how seeds differ.",
        "fid768 is not FID, but the same distance of 768 features of the same network."
        if "768" in s["extractor"]
        else "",
        "Curves are those of val." if "curve_split" in s else "",
    ]
    if "test_opened" in s:
        times = [opening["opened"][:10] for opening in s["test_opened"]]
        count = "once" if len(times) == 1 else f"{len(times)} times"
        said.append(f"Test was opened {count} ({', '.join(times)}).")
    if any(model.get("paper") for model in comparison["models"]):
        known = "; ".join(f"{letter}: {meaning}" for letter, meaning in EVIDENCE.items())
        said.append(f"What the paper says is about its own experiments, not about these ({known}).")
    if table:
        final = " --final" if s["split"] == "test" else ""
        said.append(
            f"`hqgan reproduce {table['name']} --data DATA{final}` makes the table, `--row MODEL` "
            "one row of it."
        )
        if table["missing"]:
            said.append(f"Not run yet: {', '.join(table['missing'])}.")
        said.append(table["warning"] or "")
    return f"*{' '.join(filter(None, said))}*"


def recipe_names(extractor: str) -> tuple[str, list[str]]:
    """Of a table: the kernel distance, then the Fréchet distance, precision, recall, coverage."""
    dim = extractor.split()[0].removeprefix("inception")
    if not dim.isdigit():
        return "kid", [f"fd_{dim}"]  # without Inception there is no recipe of the name
    return f"kid{dim}", [name + dim for name in ("fid", "precision", "recall", "coverage")]


def overall(model: Record) -> list[dict[str, Any]]:
    """Its recipes over all classes."""
    return [r for r in model["recipes"] if r["class"] is None]


def fewer_images(comparison: Record) -> set[str]:
    """Models that saw fewer images than another, where all should have seen as many."""
    seen = {m["model"]: m["images_seen"] for m in comparison["models"]}
    if comparison["settings"].get("by", "images") != "images":
        return set()
    return {name for name, images in seen.items() if images < ENOUGH * max(seen.values())}


def marks(model: Record, fewer: set[str]) -> str:
    """What a reader must know before comparing this row, in a word or two."""
    said = []
    if model["undertrained"]:
        said.append("undertrained")
    if model["undertrained"] is None:
        said.append("too short a curve")
    if model["model"] in fewer:
        said.append("fewer images")
    if model["seeds_measured"] < len(model["seeds"]):
        said.append(f"{model['seeds_measured']} of {len(model['seeds'])} seeds measured")
    return ", ".join([*said, *(["stopped"] if model["stopped"] else [])])


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
    return text + (f" [{', '.join(thousandth(x, sign) for x in low_high)}]" if low_high else "")


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
