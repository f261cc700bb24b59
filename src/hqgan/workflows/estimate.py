"""What a comparison would cost, from a few small steps of each model: `hqgan compare --dry-run`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from hqgan.data import Dataset
from hqgan.evaluation import load_extractor
from hqgan.evaluation.costs import sampling_rate
from hqgan.models import load_snapshot, snapshots
from hqgan.schema import Config
from hqgan.training.clock import marks
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import make_trainer
from hqgan.workflows.compare import Plan
from hqgan.workflows.final import FinalCell

BATCH = 16  # images of a timed step: smaller than most presets', so that it is soon known
STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """One cell and its hours; `state` is "done", "begun", "new" or, of a foreign run, "trained"."""

    cell: str
    state: str
    training_hours: float
    measuring_hours: float


def estimates(chosen: Plan) -> Iterator[Estimate]:
    """Yield an estimate for every cell; each model is timed once.

    Steps of 16 images are timed, which larger batches undercut. What a model learns before its
    first step (an autoencoder) is not counted; a run that has begun is counted as if it had not.
    """
    if chosen.before is not None:
        yield from estimates(chosen.before)
    first = chosen.cells[0]
    extractor = load_extractor(first.weights, first.recipe.extractor, cache=False)
    started = time.perf_counter()
    extractor(chosen.reference.images[:BATCH])
    feature = (time.perf_counter() - started) / min(BATCH, len(chosen.reference))
    timed: dict[str, tuple[float, float]] = {}
    for cell in chosen.cells:
        if cell.done() is not None:
            yield Estimate(cell.name, "done", 0.0, 0.0)
            continue
        if isinstance(cell, FinalCell):  # its run is there, or is estimated above
            if cell.model not in timed:
                timed[cell.model] = timing(cell.config, chosen.dataset)
            _, fake = timed[cell.model]
            hours = cell.recipe.n * (fake + feature) / 3600
            yield Estimate(f"{cell.name} on test", "new", 0.0, hours)
            continue
        if not cell.trains:
            fakes = len(snapshots(cell.run)) * cell.recipe.curve_n + cell.recipe.n
            generator, _ = load_snapshot(cell.run)
            rate = sampling_rate(generator, BATCH, BATCH, repeats=1)
            yield Estimate(cell.name, "trained", 0.0, fakes * (1 / rate + feature) / 3600)
            continue
        if cell.model not in timed:
            timed[cell.model] = timing(cell.config, chosen.dataset)
        step, fake = timed[cell.model]
        images = 1000 * cell.config.kimg
        training = images * step if cell.budget is None else cell.budget
        points = len(list(marks(0, round(training / step))))
        fakes = points * cell.recipe.curve_n + cell.recipe.n
        state = "begun" if cell.run.is_dir() else "new"
        yield Estimate(
            cell.name,
            state,
            training / 3600,
            fakes * (fake + feature) / 3600,
        )


def timing(config: Config, dataset: Dataset) -> tuple[float, float]:
    """Seconds of training for a real image, and of sampling for a fake."""
    config = config.model_copy(update={"batch": BATCH})
    trainer = make_trainer(config, dataset, make_fabric(config.device, config.precision))
    # Whole rounds, each with a step of the generator, after one to warm up.
    critic = config.critic.steps if config.critic else 1
    steps = critic * -(-STEPS // critic)
    for number in range(critic):
        trainer.step(number * BATCH)
    started = time.perf_counter()
    for number in range(critic, critic + steps):
        trainer.step(number * BATCH)
    step = (time.perf_counter() - started) / (steps * BATCH)
    return step, 1 / sampling_rate(trainer.average, BATCH, BATCH, repeats=1)
