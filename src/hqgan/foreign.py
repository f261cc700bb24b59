"""Words that others wrote, such as names of classes and files, shown so that they stay words.

A terminal, a Markdown page and a spreadsheet each take some words for orders. (Pages in HTML escape
all their text, see `hqgan.report.pieces`.)
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

# Control characters but line ends and tabs, and those that turn the direction of what follows.
ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
FORMULA = re.compile(r"'*[=+\-@\t\r]")
SHIELDED = re.compile(r"'+[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MARKS = re.compile(r"([\\|\[\]`])")


def on_terminal(text: str) -> str:
    """`text` with control characters written out (`\\x1b`), so that none moves a cursor."""
    return ORDERS.sub(lambda found: ascii(found[0])[1:-1], text)


def in_figure(text: str) -> str:
    """`text` as a label, in which matplotlib takes what stands between dollars for mathematics."""
    return on_terminal(text).replace("$", r"\$")


def in_markdown(text: str) -> str:
    """`text` as one line of Markdown that is no HTML, no link, no code and no cell's end."""
    line = " ".join(on_terminal(text).split())
    return MARKS.sub(r"\\\1", escape(line, quote=False))


def in_code(text: str) -> str:
    """`text` in a code span of Markdown, in a table too; it cannot end the span."""
    return f"`{' '.join(on_terminal(text).split()).replace('`', chr(39)).replace('|', '/')}`"


def in_csv(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: with an apostrophe before it.

    Only what begins with = + - @ and is no number is changed. `from_csv` undoes it.
    """
    risky = FORMULA.match(text) is not None and NUMBER.fullmatch(text) is None
    return f"'{text}" if risky else text


def shielded(lines: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Lines of a table by column, every text as `in_csv` gives it."""
    for line in lines:
        yield {k: in_csv(v) if isinstance(v, str) else v for k, v in line.items()}


def from_csv(cell: str) -> str:
    """What was given to `in_csv`."""
    return cell[1:] if SHIELDED.match(cell) else cell
