"""Results as they lie in a folder, back as what the pages are made of; anything else is refused."""

import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from PIL import Image, UnidentifiedImageError

from hqgan.errors import RunError
from hqgan.evaluation.probes import Probe
from hqgan.reading import read_json
from hqgan.workflows.hardware import Hardware, NoiseStudy
from hqgan.workflows.hardware.arrays import load_arrays
from hqgan.workflows.hardware.results import EXACT, Compared
from hqgan.workflows.hardware.sample import ERRORS, IMAGES, VALUES
from hqgan.workflows.hardware.study import Studied
from hqgan.workflows.study import StudyResult
from hqgan.workflows.table import Comparison

Made = TypeVar("Made")

PROBE, HARDWARE, NOISE_STUDY = "probe.json", "hardware.json", "noise-study.json"
COMPARISONS = ("comparison-final.json", "comparison.json")  # the first that is there
STUDIES = ("study-final.json", "study.json")
EXAMPLES = "examples.png"
LONGEST = 4000  # characters of a text
GAP = 2  # white pixels that `save_grid` leaves between images
NOTHING = np.zeros((0, 0, 1, 1, 3), np.uint8)


def read_probe(folder: Path) -> Probe:
    """probe.json and, where they are there, the images of examples.png."""
    plain = read_object(folder / PROBE)
    with readable(folder / PROBE):
        rows = 1 + len(plain["generators"][0]["changes"])
        return built(Probe, plain | {"examples": read_grid(folder / EXAMPLES, rows)})


def read_hardware(folder: Path) -> Hardware:
    """hardware.json with the values of values.npz and the images of images.png."""
    file = folder / HARDWARE
    plain = read_object(file)
    with readable(folder / VALUES):
        values = load_arrays(folder / VALUES) if (folder / VALUES).is_file() else {}
        values.pop(ERRORS, None)
    with readable(file):
        names = [one["name"] for one in plain["sources"]]
        if len(names) < 2 or names[0] != EXACT:
            raise ValueError(f"sources are {names!r:.80}, expected {EXACT} and at least one other")
        examples = read_grid(folder / IMAGES, len(names))
        named = {"folder": folder, "device": plain["backend"], "values": values}
        return built(Hardware, plain | named | {"compared": compared(plain, examples)})


def read_noise_study(folder: Path) -> NoiseStudy:
    """noise-study.json."""
    plain = read_object(folder / NOISE_STUDY)
    with readable(folder / NOISE_STUDY):
        runs = [built(Studied, run | {"compared": compared(run, NOTHING)}) for run in plain["runs"]]
        return built(NoiseStudy, plain | {"runs": runs})


def compared(plain: Mapping[str, Any], examples: np.ndarray) -> Compared:
    """Sources as `Compared.as_json` writes them."""
    return built(Compared, {**plain, "examples": examples, "features": {}})


def read_comparison(folder: Path) -> Comparison:
    """The table of test where that was opened, else that of val."""
    file = next(folder / name for name in COMPARISONS if (folder / name).is_file())
    plain = read_object(file)
    with readable(file):
        return built(Comparison, plain)


def read_study(folder: Path) -> StudyResult:
    """What a study found on test where that was opened, else on val."""
    file = next(folder / name for name in STUDIES if (folder / name).is_file())
    plain = read_object(file)
    with readable(file):
        return built(StudyResult, plain)


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object; RunError for anything else."""
    with readable(file):
        found = read_json(file)
        if not isinstance(found, dict):
            raise TypeError(f"it holds {type(found).__name__}, expected keys and values")
        return found


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Inside, what cannot be made sense of is a RunError that names the file."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot read {file}: {error.strerror or error}") from error
    except (
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError),
        *(SyntaxError, Image.DecompressionBombError),  # of Pillow
        *(ArithmeticError, RecursionError),  # numbers of 400 digits, brackets 10,000 deep
    ) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunError(
            f"{file} is damaged, or of another version of hqgan ({why}); make it again with the "
            "command that made it"
        ) from error


def read_grid(file: Path, rows: int) -> np.ndarray:
    """The images of a picture by `save_grid`, uint8 (rows, columns, S, S, 3); none where it is not.

    ValueError for a picture that is none of so many rows of square images.
    """
    if not file.is_file():
        return NOTHING
    try:
        with Image.open(file) as picture:
            sheet = np.array(picture.convert("RGB"))
    except UnidentifiedImageError as error:
        raise ValueError(f"{file.name} is no picture") from error
    height, width = sheet.shape[:2]
    step = (height + GAP) // rows
    if (height + GAP) % rows or (width + GAP) % step:
        raise ValueError(f"{file.name} does not hold {rows} rows of images")
    return np.stack(
        [
            [sheet[y : y + step - GAP, x : x + step - GAP] for x in range(0, width, step)]
            for y in range(0, height, step)
        ]
    )


def built(kind: type[Made], plain: Mapping[str, Any]) -> Made:
    """A dataclass of what `asdict` and JSON made of it; further keys are left out.

    TypeError or KeyError for values of other types, or missing ones.
    """
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: value_of(hints[name], plain[name], name) for name in names})


def value_of(hint: Any, value: Any, name: str) -> Any:
    """A value of a field, of the type that it is annotated with."""
    origin, parts = get_origin(hint), get_args(hint)
    if isinstance(value, str) and len(value) > LONGEST:
        raise TypeError(f"{name} is {value!r:.60}, and so on for {len(value):,} characters")
    if origin in (Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        return value_of(next(part for part in parts if part is not type(None)), value, name)
    if hint is Any or hint is np.ndarray or (isinstance(hint, type) and isinstance(value, hint)):
        return value
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return built(hint, value)
    if origin is list and isinstance(value, list):
        return [value_of(parts[0], each, name) for each in value]
    if origin is tuple and isinstance(value, list):
        return tuple(value_of(parts[0], each, name) for each in value)
    if origin is dict and isinstance(value, Mapping):
        return {key: value_of(parts[1], each, name) for key, each in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"{name} is {value!r:.60}, expected {getattr(hint, '__name__', hint)}")
