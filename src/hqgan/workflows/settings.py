"""What the numbers in one folder have in common: written when it is begun, refused when it differs.

A comparison and a study are folders of many runs. settings.json says what must be equal for their
numbers to share a table.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from hqgan.config import KIT, did_you_mean
from hqgan.data import EMBEDDED
from hqgan.errors import RunError, UsageError
from hqgan.training.runs import LOCK, acquire, write_atomically

SETTINGS = "settings.json"
# What all models of a table have in common. A start from another run has seen other images.
SHARED = ("preset", "data", "data.path", "data.label", "size", "kimg", "seed", "device", "init")
BEFORE = (LOCK, "protocol.yaml", "protocol.yaml.part", f"{SETTINGS}.part")  # what is written first


def require_own_settings(assignments: Sequence[str], models: Sequence[str]) -> None:
    """Raise UsageError for a setting of no model at hand, or of what all models share."""
    plain = [m.removesuffix(f"+{KIT}") for m in models]
    for assignment in assignments:
        name, colon, rest = assignment.partition(":")
        named = bool(colon) and "=" not in name
        if named and name not in plain:
            raise UsageError(
                f"the setting {assignment} is for {name!r}, which is not at hand; models are "
                f"{', '.join(models)}.{did_you_mean(name, plain)}"
            )
        key = (rest if named else assignment).partition("=")[0].strip()
        if key in SHARED or key.startswith("init."):
            raise UsageError(
                f"the setting {assignment} would give a model another {key} than the others: all "
                "models here have the same"
            )


def require_outside(data: str, out: Path) -> None:
    """Refuse results within the data they are made of, which would hold other images from then on.

    Raises:
        UsageError: `out` is in the folder of the data.
    """
    if data == EMBEDDED:
        return
    home = Path(data).expanduser().resolve()
    if home.suffix.lower() == ".npz":
        return
    home = home if home.is_dir() else home.parent
    if home in (out.resolve(), *out.resolve().parents):
        raise UsageError(
            f"{out} lies within the data {home}, which would hold other images from then on; "
            "choose another --out"
        )


def require_same(
    out: Path, settings: dict[str, Any], what: str, remedies: Mapping[str, str] | None = None
) -> None:
    """Raise unless `out` is free or holds a `what` that was begun with these settings.

    Args:
        out: the folder.
        settings: what must be equal.
        what: as people call it.
        remedies: what to do where the setting of this name differs.

    Raises:
        UsageError: a setting differs; the message names it.
        RunError: a file, a folder of something else, or damaged settings.
    """
    try:
        if out.exists() and not out.is_dir():
            raise RunError(f"{out} is a file; --out must name a folder for the {what}")
    except OSError as error:  # a name that is too long
        raise RunError(f"{out} cannot be a folder: {error.strerror}; choose another") from error
    file = out / SETTINGS
    if not file.is_file():
        if out.is_dir() and any(entry.name not in BEFORE for entry in out.iterdir()):
            raise RunError(f"{out} is not empty and not a {what}; choose another --out")
        return
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RunError(f"{file} is damaged: {error}; choose another --out") from error
    differing = [
        f"{key}: {before.get(key)!r} -> {value!r}"
        for key, value in settings.items()
        if before.get(key) != value
    ]
    known = [text for key, text in (remedies or {}).items() if before.get(key) != settings[key]]
    if differing:
        raise UsageError(
            f"{out} holds a {what} that was made otherwise ({'; '.join(differing)}), and its "
            "numbers cannot share a table with these; keep the old values, or choose another --out"
            + "".join(f" ({remedy})" for remedy in known)
        )


@contextmanager
def locked(folder: Path) -> Iterator[TextIO]:
    """Keep other processes out of a folder of results, which is made where it is absent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquire(folder / LOCK, "working")
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error
    with lock:
        yield lock


def begin(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder and write its settings; RunError where that is not possible."""
    content = json.dumps(settings, indent=1) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / SETTINGS, content.encode())
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error.strerror}; choose another --out") from error
