"""One cell of a comparison: one model and one seed, trained and measured in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from hqgan.data import Dataset, load_dataset
from hqgan.errors import TrainingStopped, raise_if_of_the_machine
from hqgan.evaluation import (
    Extractor,
    evaluate_images,
    kid,
    load_extractor,
    reference_class_mix,
)
from hqgan.evaluation.costs import costs, sampling_rate
from hqgan.evaluation.diversity import evaluate_diversity
from hqgan.evaluation.features import Features
from hqgan.evaluation.run import class_mixed_fakes
from hqgan.models import (
    Generator,
    find_snapshot,
    load_snapshot,
    parameter_count,
    snapshot_in,
    snapshots,
)
from hqgan.reading import read_json
from hqgan.schema import Config
from hqgan.training import Callbacks, train
from hqgan.training.runs import METRICS, load_state, read_records, write_atomically
from hqgan.training.trainer import build_models
from hqgan.workflows.augmented_folder import digest

SAMPLED = 64  # images whose making is timed
DIGEST = "weights_sha256"  # of the snapshot that a record is of


@dataclass(frozen=True)
class Recipe:
    """How every cell of one table is measured; cells measured in another way do not mix."""

    split: str
    n: int
    curve_n: int
    extractor: str | None
    seed: int


@dataclass(frozen=True)
class Cell:
    """What `run_cell` needs, picklable.

    Attributes:
        model: the row of the table it belongs to.
        config: of its run, resolved.
        data, label: the table's data; a foreign run's own may have moved.
        run: the run folder; a foreign one is measured as it is.
        out: where its measurements go, equal to `run` for one that is trained here.
        recipe: how it is measured.
        weights: file of the extractor, or None (see `load_extractor`).
        budget: seconds of training, or None.
    """

    model: str
    config: Config
    data: str
    label: str | None
    run: Path
    out: Path
    recipe: Recipe
    weights: str | None = None
    budget: float | None = None

    RECORD: ClassVar[str] = "cell.json"
    FEATURES: ClassVar[str] = "fakes.npz"

    @property
    def name(self) -> str:
        """As its folder is called."""
        return self.out.name

    @property
    def trains(self) -> bool:
        """Whether its run is this comparison's own."""
        return self.run == self.out

    def done(self) -> dict[str, Any] | None:
        """What `run_cell` wrote, if it is of this recipe, this far and these weights; else None.

        A snapshot's name says how many images were seen, and another training may have seen as
        many. Records from before their weights had a digest are taken to be of them.
        """
        try:
            record = dict(read_json(self.out / self.RECORD))
        except (OSError, ValueError, TypeError) as error:
            raise_if_of_the_machine(error, self.out)
            return None
        wanted = asdict(self.recipe), self.config.kimg, self.budget
        found = record.get("recipe"), record.get("kimg"), record.get("budget")
        # A foreign run may have gone on since.
        same = self.trains or record.get("snapshot") == find_snapshot(self.run).name
        if not same or wanted != found:
            return None
        return record if record.get(DIGEST) in (None, self.digest(record.get("snapshot"))) else None

    def digest(self, snapshot: str | None) -> str | None:
        """sha256 of a snapshot's weights as they are now, None where there are none."""
        file = snapshot_in(self.run, snapshot) / "model.safetensors" if snapshot else None
        return digest(file) if file and file.is_file() else None


def run_cell(cell: Cell, callbacks: Callbacks | None = None) -> dict[str, Any]:
    """Train the cell's model as far as asked, or as it goes, and measure it; returns cell.json.

    What is there already is used: a finished cell costs nothing, an interrupted one continues.
    A training that its guard stops is a result too (`stopped` says why) and is measured at its last
    snapshot.

    Raises:
        HqganError: as `hqgan.training.train` does, a stopped training excepted.
    """
    finished = cell.done()
    if finished is not None:
        return finished
    tell = callbacks or Callbacks()
    config, recipe = cell.config, cell.recipe
    dataset = load_dataset(cell.data, "train", config.size, label=cell.label)
    stopped = None
    try:
        if cell.trains:
            train(config, cell.run, dataset, callbacks, cell.budget)
    except TrainingStopped as error:
        stopped = str(error)
        tell.message(f"{cell.name}: {stopped}")
    cell.out.mkdir(parents=True, exist_ok=True)
    (cell.out / cell.RECORD).unlink(missing_ok=True)  # the features below will be of now
    extractor = load_extractor(cell.weights, recipe.extractor)
    reference = load_dataset(cell.data, recipe.split, config.size, label=cell.label)
    tell.message(f"{cell.name}: measuring")
    record = {
        "model": cell.model,
        "seed": config.seed,
        "kimg": config.kimg,
        "budget": cell.budget,
        "recipe": asdict(recipe),
        "stopped": stopped,
        "data_checksum": dataset.checksum,
        **trained(cell, dataset),
        **measured(cell, dataset, reference, extractor),
    }
    save(cell, record)
    return record


def save(cell: Cell, record: dict[str, Any]) -> None:
    """Write what was found of a cell."""
    write_atomically(cell.out / cell.RECORD, (json.dumps(record, indent=1) + "\n").encode())


def trained(cell: Cell, dataset: Dataset) -> dict[str, Any]:
    """What the run folder says of its training: sizes, the clock, speed.

    A training that was stopped has no state of its end; its clock is then that of its last line or
    snapshot. The speed is that of its steps, without what the model did beforehand.
    """
    with torch.device("meta"):  # to be counted, not used
        generator, critic = build_models(cell.config, len(dataset.classes))
    metrics = cell.run / METRICS
    lines = list(read_records(metrics)) if metrics.is_file() else []
    state = load_state(cell.run)
    seen, seconds = (lines[-1]["images_seen"], None) if lines else (0, None)
    rate = lines[-1]["images_per_second"] if lines else None
    if state and state["images_seen"] >= seen:
        seen, seconds = state["images_seen"], state["seconds"]
        before, preparing = state["preparation"]
        rate = round((seen - before) / (seconds - preparing), 2) if seconds > preparing else None
    return {
        "generator_parameters": parameter_count(generator),
        "critic_parameters": parameter_count(critic) if critic else 0,
        "images_seen": seen,
        "training_seconds": seconds,
        "images_per_second": rate,
    }


def measured(
    cell: Cell, dataset: Dataset, reference: Dataset, extractor: Extractor
) -> dict[str, Any]:
    """All recipes of the last snapshot, and the kernel distance of every one, by images seen."""
    recipe = cell.recipe
    found = snapshots(cell.run)
    if not found:
        return {"snapshot": None, "costs": None, "curve": [], "recipes": []}
    real = extractor(reference.images)
    curve = []
    for snapshot in found[:-1]:
        generator, about = load_snapshot(snapshot)
        images, _ = class_mixed_fakes(generator, reference, recipe.curve_n, recipe.seed)
        curve.append({"images_seen": about.images_seen, "value": kid(real, extractor(images))})
    generator, about = load_snapshot(found[-1])
    recipes, fakes, labels = judged(cell, generator, dataset, reference, extractor)
    # The first images of each class are those that a smaller order would have made.
    mix = reference_class_mix(reference.labels, len(reference.classes), recipe.curve_n)
    few = first_of_each(labels, mix)
    curve.append({"images_seen": about.images_seen, "value": kid(real, fakes[few])})
    return {
        "snapshot": found[-1].name,
        DIGEST: cell.digest(found[-1].name),
        "measured_images_seen": about.images_seen,
        "sampling_images_per_second": round(sampling_rate(generator, SAMPLED), 2),
        "costs": asdict(costs(generator)),
        "curve": curve,
        "recipes": recipes,
    }


def judged(
    cell: Cell, generator: Generator, dataset: Dataset, reference: Dataset, extractor: Extractor
) -> tuple[list[dict[str, Any]], Features, NDArray[np.integer]]:
    """All recipes of a generator; its fakes' features (n, d) and labels, also kept in the cell."""
    recipe = cell.recipe
    images, labels = class_mixed_fakes(generator, reference, recipe.n, recipe.seed)
    # The whole Inception also gives the numbers of its first part, which other tables have.
    results = [
        result
        for network in (extractor, extractor.narrower())
        if network is not None
        for result in evaluate_images(images, labels, reference, dataset, network, recipe.seed)
    ]
    results += evaluate_diversity(images, labels, reference, extractor, recipe.seed)
    fakes = extractor(images)
    np.savez(cell.out / cell.FEATURES, features=fakes.astype(np.float32), labels=labels)
    return [result.as_json() for result in results], fakes, labels


def first_of_each(
    labels: NDArray[np.integer], counts: Sequence[int] | NDArray[np.integer]
) -> NDArray[np.integer]:
    """Indices of the first images of each class, as many as `counts` (K,) says or there are."""
    return np.concatenate([np.flatnonzero(labels == y)[:n] for y, n in enumerate(counts)])
