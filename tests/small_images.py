"""Small data sets on disk, made of real image files of a few kilobytes."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, width: int = 24, height: int = 18) -> np.ndarray:
    """A smooth random colour image, uint8 (height, width, 3), different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_picture(path: Path, seed: int, **size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, **size)).save(path)
    return path


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_npz(path: Path, grey: bool = False) -> Path:
    arrays: dict[str, np.ndarray] = {}
    for split, count in (("train", 6), ("val", 2), ("test", 4)):
        images = np.stack([picture(seed, 28, 28) for seed in range(count)])
        arrays[f"{split}_images"] = images[..., 0] if grey else images
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    np.savez_compressed(path, **arrays)
    return path
