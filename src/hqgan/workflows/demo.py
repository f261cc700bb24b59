"""The first five minutes: train a small HybridQ on built-in synthetic lesions and measure it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hqgan.config import load_config
from hqgan.data import save_grid, to_uint8
from hqgan.evaluation import load_extractor
from hqgan.evaluation.run import RECORDS, evaluate_run
from hqgan.models import generate, load_snapshot
from hqgan.pretrained import find_pretrained, pretrained_names
from hqgan.training import Callbacks, Result, train
from hqgan.workflows.sample import spare_compilation

SIZE = 32
KIMG = 30
COLUMNS = 8


@dataclass(frozen=True)
class Demo:
    """What the demo leaves: the run, and its distance beside that of real images.

    `finished` shows what the generators of the package do.
    """

    run: str
    metrics: str
    recipe: str
    value: float
    floor: float
    training: Result
    finished: tuple["Finished", ...] = ()


@dataclass(frozen=True)
class Finished:
    """A picture of a packaged generator, one row a class, and what must be said beside it."""

    name: str
    picture: str
    classes: tuple[str, ...]
    credit: str

    def line(self) -> str:
        """For people."""
        rows = ", ".join(self.classes)
        return f"{self.picture}  ({self.name}: {self.credit}; one row each: {rows})"


def demo(out: Path, kimg: float = KIMG, callbacks: Callbacks | None = None) -> Demo:
    """Train preset `hybridq` at 32 px on the embedded data, then compare its images with the real.

    Run again it continues or ends at once. The distance is fd_tiny (a small fixed network), which
    compares generators of this demo and nothing else.
    """
    tell = callbacks or Callbacks()
    config = load_config("hybridq", overrides={"data.path": "embedded", "size": SIZE, "kimg": kimg})
    result = train(config, out, callbacks=tell)
    tell.message("training is done; measuring")
    (measured,) = evaluate_run(out, "embedded", load_extractor(name="tiny"))
    overall = measured.records[0]
    return Demo(
        run=str(out),
        metrics=str(out / RECORDS),
        recipe=overall["recipe"],
        value=overall["value"],
        floor=overall["floor"],
        training=result,
        finished=tuple(draw_finished(name, out) for name in pretrained_names()),
    )


def draw_finished(name: str, out: Path) -> Finished:
    """OUT/NAME.png: a row of each class by a generator of the package."""
    folder = find_pretrained(name)
    generator, about = load_snapshot(folder)
    spare_compilation(generator, COLUMNS * len(about.classes))
    labels = [y for y in range(len(about.classes)) for _ in range(COLUMNS)]
    rows = np.concatenate([to_uint8(batch) for batch in generate(generator, labels, seed=0)])
    picture = save_grid(rows, out / f"{name}.png", COLUMNS)
    return Finished(
        name,
        str(picture),
        about.classes,
        about.origin.credit() if about.origin else "synthetic images",
    )
