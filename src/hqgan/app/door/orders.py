"""What a page may ask Gradio to do: one of the page's own events, with the values it has.

Gradio takes any JSON and says what is wrong with it by a traceback in the log, names files by paths
of the server, and lets a request name any component. Of a request is therefore kept only what
is checked here, and a file is named by the word that its upload was answered with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgan.app.door.refusing import Refused

PLAIN = str | int | float | None  # bool is an int
LONGEST = 1000  # letters of one value
NOT_UNDERSTOOD = "The page asks for something it cannot; please reload it."


@dataclass(frozen=True)
class Event:
    """One event of the page.

    Attributes:
        files: of each input, whether it is a file.
        causes: numbers of the components that may cause it, or an event that it follows.
        chooses: whether it carries which part was chosen.
    """

    files: tuple[bool, ...]
    causes: frozenset[int]
    chooses: bool


def events(blocks: Any) -> dict[int, Event]:
    """The events of a page, without what Gradio itself calls when a page is closed."""
    targets = {number: list(one.targets) for number, one in blocks.fns.items()}
    causes = frozenset(part for pairs in targets.values() for part, _ in pairs if part is not None)
    found = {}
    for number, one in blocks.fns.items():
        names = {name for _, name in targets[number]}
        if "unload" not in names:
            files = tuple(part.get_block_name() == "file" for part in one.inputs)
            found[number] = Event(files, causes, chooses="select" in names)
    return found


def checked(
    asked: Mapping[str, Any], known: Mapping[int, Event], file: Callable[[str], Path]
) -> dict[str, Any]:
    """The body of a request to Gradio's queue, made anew of what is in bounds.

    Args:
        asked: what was sent; `session_hash` is checked elsewhere.
        known: the page's events.
        file: word of an upload to its file; Refused where it is not the visitor's.

    Raises:
        Refused: anything else than a browser with this page sends.
    """
    number, values = asked.get("fn_index"), asked.get("data")
    event = known.get(number) if isinstance(number, int) and number is not True else None
    if event is None or not isinstance(values, list) or len(values) != len(event.files):
        raise Refused(400, NOT_UNDERSTOOD)
    cause = asked.get("trigger_id")
    if cause is not None and (not isinstance(cause, int) or cause not in event.causes):
        raise Refused(400, NOT_UNDERSTOOD)
    return {
        "fn_index": number,
        "session_hash": asked["session_hash"],
        "trigger_id": cause,
        "event_data": _chosen(asked.get("event_data")) if event.chooses else None,
        "data": [
            _file(value, file) if is_file else _plain(value)
            for value, is_file in zip(values, event.files, strict=True)
        ],
    }


def _plain(value: object) -> object:
    if not isinstance(value, PLAIN) or (isinstance(value, str) and len(value) > LONGEST):
        raise Refused(400, NOT_UNDERSTOOD)
    return value


def _file(value: object, file: Callable[[str], Path]) -> dict[str, Any] | None:
    if value is None:
        return None
    word = value.get("path") if isinstance(value, dict) else None
    if not isinstance(word, str):
        raise Refused(400, NOT_UNDERSTOOD)
    return {"path": str(file(word)), "meta": {"_type": "gradio.FileData"}}


def _chosen(data: object) -> dict[str, Any]:
    index = data.get("index") if isinstance(data, dict) else None
    if not isinstance(index, int):
        raise Refused(400, NOT_UNDERSTOOD)
    return {"index": index, "value": None, "selected": True}
