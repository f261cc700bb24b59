"""Trainings that take a second: 32 px, narrow models, a dozen images in memory or on disk."""

import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from hqgan.config import load_config
from hqgan.data import Dataset
from hqgan.schema import Config
from hqgan.training.runs import TIMING_FIELDS
from small_images import picture, write_picture

SIZE = 32
CLASSES = ("bkl", "mel", "nv")
NARROW = (
    "critic.width=8",
    "generator.qubits=2",
    "generator.circuit_layers=1",
    "save_every_kimg=0.016",
)


def tiny_config(
    kimg: float = 0.08, *assignments: str, data: str | Path = "embedded", batch: int = 8
) -> Config:
    """The default preset made narrow, in float32 on the CPU; further `--set` assignments."""
    flags = {"data.path": str(data), "size": SIZE, "batch": batch, "kimg": kimg}
    fixed = {"device": "cpu", "precision": "float32"}
    return load_config("hybridq", overrides=flags | fixed, assignments=(*NARROW, *assignments))


def tiny_dataset(
    counts: tuple[int, ...] = (10, 6, 4), classes: tuple[str, ...] = CLASSES
) -> Dataset:
    """Random smooth pictures, `counts` of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    names = np.array([f"{number:03d}" for number in range(len(labels))])
    images = np.stack([picture(seed, SIZE, SIZE) for seed in range(len(labels))])
    return Dataset(images, labels, classes, names, names, "train")


def write_folders(
    folder: Path, classes: tuple[str, ...] = CLASSES, train: int = 8, held_out: int = 4
) -> Path:
    """The same on disk: split folders with class folders."""
    for split, count in (("train", train), ("val", held_out), ("test", held_out)):
        for y, name in enumerate(classes):
            for number in range(count):
                seed = 1000 * y + 100 * len(split) + number
                file = folder / split / name / f"{number}.png"
                write_picture(file, seed, width=SIZE, height=SIZE)
    return folder


def fingerprint(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def weights(run: Path) -> dict[str, bytes]:
    """The bytes of the weights of every snapshot of a run."""
    return {f.parent.name: f.read_bytes() for f in run.glob("snapshot-*/model.safetensors")}


def metrics(run: Path) -> list[dict[str, float]]:
    """metrics.jsonl without the fields in which equal runs differ."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [{k: v for k, v in r.items() if k not in TIMING_FIELDS} for r in records]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether all weights and buffers are equal bit for bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@contextmanager
def no_file_descriptors() -> Iterator[None]:
    """Inside, this process can open no more files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
