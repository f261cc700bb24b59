"""From a record to a square RGB image of the model's size: the one place that opens image files."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hqgan.data import lesions
from hqgan.data.dataset import Record, Source
from hqgan.errors import DataError, of_the_machine, raise_if_of_the_machine

# Part of every cache key: raise it whenever a change here or in lesions.py alters a pixel.
PIPELINE_VERSION = 1

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


class Unreadable(Exception):
    """An image that has to be left out; the message is the reason, for the report."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an upright 8-bit RGB copy of any image Pillow can decode.

    EXIF orientation is applied; of an animation the first frame is taken; transparency is
    composited on white (scans and figures are cut out on paper, not on black); 16-bit grey keeps
    its upper 8 bits. Raises `ValueError` where the range of the values is unknown.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"values from {values.min()} to {values.max()} are not 16-bit grey")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels: their range is unknown; save it with 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


def to_square(image: Image.Image, size: int) -> np.ndarray:
    """Centre-crop an RGB image to a square and resize it to uint8 (size, size, 3).

    Reduction is Pillow's BOX filter, a plain mean of what each pixel covers (within one level:
    Pillow rounds after rows and after columns); enlargement, which adds no detail, is bilinear.
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        return np.array(image.crop(box))
    kernel = Image.Resampling.BOX if side > size else Image.Resampling.BILINEAR
    return np.array(image.resize((size, size), kernel, box=box))


def reader(source: Source, records: Iterable[Record]) -> Callable[[Record, int], Image.Image]:
    """Return a thread-safe function (record, size) -> upright RGB image at its own resolution.

    It serves the given records only. `size` matters to embedded lesions alone, which have no
    resolution of their own. The function raises `Unreadable` for a damaged or unusable file; a
    damaged npz archive is a `DataError` at once.
    """
    if source.kind == "embedded":
        return lambda record, size: Image.fromarray(
            lesions.draw(
                record.label, size, lesions.seed_of(record.split, record.label, record.row)
            )
        )
    if source.kind == "medmnist":
        stacks = _read_stacks(Path(source.path), {_array_of(record) for record in records})
        return lambda record, size: to_rgb(Image.fromarray(stacks[_array_of(record)][record.row]))
    return lambda record, size: _open(record)


def _array_of(record: Record) -> str:
    """The array of an npz archive with this image: one set aside as val still lies in train's."""
    return f"{record.id.partition('/')[0]}_images"


def _read_stacks(path: Path, names: set[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except Exception as problem:  # see `damaged_npz`
        raise damaged_npz(path, problem) from problem


def damaged_npz(path: Path, problem: Exception) -> DataError:
    """The error for an archive that numpy or zipfile stumbled over, whatever they raised."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    if of_the_machine(problem):
        return DataError(f"{path} cannot be read: {text}; mend that, and repeat the command")
    return DataError(f"{path} is damaged, or no npz archive: {text}. Download it again.")


def _open(record: Record) -> Image.Image:
    assert record.file is not None  # every kind but `embedded` names a file
    if record.file.exists() and not record.file.is_file():  # a pipe would be waited for
        raise Unreadable("not a file")
    try:
        with Image.open(record.file) as image:
            return to_rgb(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as problem:
        limit = Image.MAX_IMAGE_PIXELS
        raise Unreadable(f"more than {limit:,} pixels, perhaps a decompression bomb") from problem
    except UnidentifiedImageError as problem:
        raise Unreadable("not an image, or damaged at its beginning") from problem
    except Exception as problem:  # on damaged files Pillow's decoders raise nearly anything
        raise_if_of_the_machine(problem, record.file)
        text = " ".join(str(problem).split()) or type(problem).__name__
        raise Unreadable(f"unreadable: {text}") from problem
