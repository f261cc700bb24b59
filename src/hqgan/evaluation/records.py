"""evaluation.jsonl as it is read: lines that are measurements, and how many are none."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hqgan.errors import raise_if_of_the_machine
from hqgan.reading import read_bytes

HUGE = 1e100
NEEDED = {"snapshot", "images_seen", "recipe", "class", "value", "interval", "floor"}
NEEDED |= {"n_real", "n_fake", "split", "extractor", "seed", "reason"}


def read_records(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The measurements in a file, and how many of its lines are none; no file has none."""
    if not file.is_file():
        return [], 0
    try:
        text = read_bytes(file).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise_if_of_the_machine(error, file)
        return [], 1
    return parsed(text.splitlines())


def parsed(texts: Iterable[str]) -> tuple[list[dict[str, Any]], int]:
    """The same of lines of JSON."""
    records: list[dict[str, Any]] = []
    damaged = 0
    for text in filter(str.strip, texts):
        try:
            record = json.loads(text)
            if not (record.keys() >= NEEDED and whole(record)):
                raise ValueError(text)
        except (ValueError, AttributeError, TypeError, RecursionError):
            damaged += 1
            continue
        records.append(record)
    return records, damaged


def whole(record: dict[str, Any]) -> bool:
    """Whether its numbers are numbers, and its words words."""
    ends = record["interval"] or ()
    words = [record[key] for key in ("snapshot", "recipe", "split", "extractor")]
    words += [record[key] for key in ("class", "reason") if record[key] is not None]
    numbers = [record[key] for key in ("images_seen", "n_real", "n_fake")]
    numbers += [record[key] for key in ("value", "floor") if record[key] is not None]
    return (
        all(isinstance(word, str) for word in words)
        and all(is_plain(number) for number in [*numbers, *ends])
        and len(ends) in (0, 2)
    )


def is_plain(value: object) -> bool:
    """Whether a value is a number that charts and formats can take: finite, below 1e100."""
    return isinstance(value, int | float) and abs(value) < HUGE
