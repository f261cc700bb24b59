"""Measure a trained generator by the recipes: what `hqgan evaluate` does.

Every measurement is appended to RUN/evaluation.jsonl, one line a recipe, with its snapshot.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hqgan.config import read_config
from hqgan.data import EMBEDDED, Dataset, load_dataset, to_uint8
from hqgan.errors import DataError, RunError, UsageError
from hqgan.evaluation.diversity import evaluate_diversity
from hqgan.evaluation.features import Extractor
from hqgan.evaluation.meanings import legend
from hqgan.evaluation.recipes import evaluate_images, reference_class_mix
from hqgan.models import About, Generator, find_snapshot, generate, load_snapshot, snapshots
from hqgan.models.snapshot import require_seed
from hqgan.pretrained import is_packaged

CURVE_FAKES = 500  # images for each point of a curve; the full number is for the end
MOST_FAKES = 50_000  # the kernel distance compares all pairs: 20 GB for this many
RECORDS = "evaluation.jsonl"

Stage = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measurement:
    """One snapshot measured; `records` are its recipes as `RecipeResult.as_json` gives them."""

    snapshot: Path
    images_seen: int
    records: list[dict[str, Any]]

    def lines(self) -> Iterator[str]:
        """An aligned table for people, and what it says; a value that is not defined says why."""
        wide = 24 * any(record.get("interval") for record in self.records)  # few recipes have one
        yield (
            f"  {'recipe':20} {'class':16} {'value':>10}{'95 % interval'[:wide]:>{wide}} "
            f"{'floor':>10} {'real':>6} {'fake':>6}"
        )
        for record in self.records:
            head = f"  {record['recipe']:20} {record['class'] or 'all':16}"
            if record["value"] is None:
                yield f"{head} {'-':>10} {record['reason']}"
                continue
            low_high = "[{:.4g}, {:.4g}]".format(*record["interval"]) if record["interval"] else ""
            floor = f"{record['floor']:.4g}" if record["floor"] is not None else ""
            yield (
                f"{head} {record['value']:10.4g}{low_high:>{wide}} {floor:>10} "
                f"{record['n_real']:6} {record['n_fake']:6}"
            )
        if not any(record.get("curve") for record in self.records):
            yield from (f"  {line}" for line in legend(self.records))


def evaluate_run(
    path: Path,
    data: str,
    extractor: Extractor,
    *,
    split: str | None = None,
    final: bool = False,
    n: int | None = None,
    seed: int = 0,
    curve: bool = False,
    label: str | None = None,
    progress: Stage | None = None,
) -> list[Measurement]:
    """Generate images with the class mix of a split and compare them with it.

    Args:
        path: a run folder (its newest snapshot is measured) or a snapshot.
        data: what the run was trained on; its `split` is the reference, its train split gives the
            floor.
        extractor: see `load_extractor`.
        split: "val", or "test" together with `final`; None is the one that `final` says.
        final: opens the test split; recorded in every line.
        n: number of fakes; None takes as many as the split has.
        seed: of latents, bootstrap and floor.
        curve: measure every snapshot of the run, with 500 fakes each, without floors and diversity.
        label: the column used as class, for data with several.

    Raises:
        UsageError: test without final or final with val, an impossible number of fakes, or a
            generator of the package.
        RunError, DataError: no snapshot, or data of other classes.
    """
    split = chosen_split(split, final)
    require_seed(seed)
    if n is not None and not 2 <= n <= MOST_FAKES:
        raise UsageError(
            f"n is {n}, but a distance is taken of 2 to {MOST_FAKES:,} generated images"
        )
    chosen = snapshots(path) if curve else [find_snapshot(path)]
    if any(map(is_packaged, chosen)):
        raise UsageError(
            f"{path} belongs to the package, where no measurements are written; its own are in its "
            "metrics.json. To measure it, copy it into a folder of yours"
        )
    if not chosen:
        raise RunError(f"{path} holds no snapshots to draw a curve through; name a run folder")
    reference: Dataset | None = None
    measurements = []
    for snapshot in chosen:
        generator, about = load_snapshot(snapshot)
        if reference is None:
            load = partial(
                load_dataset, data, size=generator.size, label=label, progress=decoding(progress)
            )
            reference = load(split)
            train = None if curve else load("train")
            if reference.classes != about.classes:
                raise DataError(
                    f"{data} has the classes {', '.join(reference.classes)}, but {path} was "
                    f"trained on {', '.join(about.classes)}; name the data of the run with --data"
                )
        count = n or (min(CURVE_FAKES, len(reference)) if curve else len(reference))
        images, labels = class_mixed_fakes(generator, reference, count, seed, progress)
        # The whole Inception also gives the numbers of its first part, which others may have alone.
        records = [
            result.as_json()
            for network in (extractor, extractor.narrower())
            if network is not None
            for result in evaluate_images(
                images, labels, reference, train, network, seed, progress=progress
            )
        ]
        if not curve:
            diversity = evaluate_diversity(images, labels, reference, extractor, seed)
            records += [result.as_json() for result in diversity]
        measurements.append(Measurement(snapshot, about.images_seen, records))
        stamp = {"final": final, "curve": curve}
        append(snapshot.parent / RECORDS, about, snapshot, records, stamp)
    return measurements


def decoding(progress: Stage | None) -> Callable[[int, int], None] | None:
    """Progress of `load_dataset`, as a stage of a job."""
    return None if progress is None else partial(progress, "decoding")


def chosen_split(split: str | None, final: bool) -> str:
    """The split, None being the one that `final` says.

    Raises:
        UsageError: it is neither val nor test, or test and final do not go together.
    """
    if split is None:
        return "test" if final else "val"
    if split not in ("val", "test"):
        raise UsageError(
            f"split is {split!r}; a generator is measured on val, and once, at the end, on test"
        )
    if split == "test" and not final:
        raise UsageError(
            "the test split is opened once, at the end: repeat with --final, which is recorded, "
            "or use --split val"
        )
    if split != "test" and final:
        raise UsageError(
            f"--final opens the test split, and nothing else: leave --split {split} or --final out"
        )
    return split


def class_mixed_fakes(
    generator: Generator,
    reference: Dataset,
    n: int,
    seed: int,
    progress: Stage | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`n` fakes, uint8 (n, S, S, 3), and their labels, in the class mix of `reference`."""
    mix = reference_class_mix(reference.labels, len(reference.classes), n)
    labels = np.repeat(np.arange(len(mix)), mix)
    batches, done = [], 0
    for batch in generate(generator, labels.tolist(), seed):
        batches.append(to_uint8(batch))
        done += len(batch)
        if progress is not None:
            progress("generating", done, n)
    return np.concatenate(batches), labels


def append(
    file: Path,
    about: About,
    snapshot: Path,
    records: list[dict[str, Any]],
    stamp: dict[str, bool],
) -> None:
    """Add the measurements to the run's record, `stamp` in every line.

    One that cannot be written costs nothing, except on test: RunError, for its opening is recorded.
    """
    origin = {"snapshot": snapshot.name, "images_seen": about.images_seen, **stamp}
    try:
        with file.open("a", encoding="utf-8") as handle:
            handle.writelines(json.dumps({**origin, **record}) + "\n" for record in records)
    except OSError as error:
        if stamp["final"]:
            raise RunError(
                f"the test split is opened on record only, and {file} cannot be written: "
                f"{error.strerror}"
            ) from error


def data_of(path: Path) -> tuple[str, str | None]:
    """Where the data of a run (or of a snapshot in it) are, and the column used as class.

    A snapshot by itself does not say, nor does a packaged generator: $HQGAN_DATA then does.

    Raises:
        UsageError: neither says.
        DataError: they were moved.
    """
    find_snapshot(path)
    for folder in (path, path.parent):
        if (folder / "config.yaml").is_file():
            data = read_config(folder / "config.yaml").data
            if data.path != EMBEDDED and not Path(data.path).exists():
                raise DataError(
                    f"the data of {path} are not at {data.path} any more; say with --data where "
                    "they are"
                )
            return data.path, data.label
    if named := os.environ.get("HQGAN_DATA"):
        return named, None
    raise UsageError(
        f"{path} is no run folder, which would say where its data are; name data with --data, or "
        "in HQGAN_DATA"
    )
