"""The first five minutes: train a small HybridQ on built-in synthetic lesions and look at it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hqgan.config import load_config
from hqgan.data import Dataset, load_dataset, save_grid, to_uint8
from hqgan.evaluation import load_extractor
from hqgan.evaluation.run import RECORDS, evaluate_run
from hqgan.models import generate, load_snapshot
from hqgan.training import Callbacks, Result, train

SIZE = 32
KIMG = 30
COLUMNS = 8


@dataclass(frozen=True)
class Demo:
    """What the demo leaves: the run, a picture, and its distance beside that of real images."""

    run: str
    grid: str
    metrics: str
    recipe: str
    value: float
    floor: float
    training: Result


def demo(out: Path, kimg: float = KIMG, callbacks: Callbacks | None = None) -> Demo:
    """Train preset `hybridq` at 32 px on the embedded data, then compare its images with the real.

    The picture has two rows a class: embedded images above, generated ones below. Run again it
    continues or ends at once. The distance is fd_tiny (a small fixed network), which compares
    generators of this demo and nothing else.
    """
    tell = callbacks or Callbacks()
    config = load_config("hybridq", overrides={"data.path": "embedded", "size": SIZE, "kimg": kimg})
    result = train(config, out, callbacks=tell)
    tell.message("training is done; drawing and measuring")
    reference = load_dataset("embedded", "train", SIZE)
    grid = real_and_fake(out, reference)
    (measured,) = evaluate_run(out, "embedded", load_extractor(name="tiny"))
    overall = measured.records[0]
    return Demo(
        run=str(out),
        grid=str(grid),
        metrics=str(out / RECORDS),
        recipe=overall["recipe"],
        value=overall["value"],
        floor=overall["floor"],
        training=result,
    )


def real_and_fake(run: Path, reference: Dataset) -> Path:
    """RUN/real-and-fake.png: for each class a row of real and a row of generated images."""
    generator, about = load_snapshot(run)
    rows = []
    for y in range(len(about.classes)):
        real = reference.images[reference.labels == y][:COLUMNS]
        fake = np.concatenate(
            [to_uint8(batch) for batch in generate(generator, [y] * COLUMNS, seed=0)]
        )
        rows += [real, np.full((COLUMNS - len(real), *real.shape[1:]), 255, np.uint8), fake]
    return save_grid(np.concatenate(rows), run / "real-and-fake.png", COLUMNS)
