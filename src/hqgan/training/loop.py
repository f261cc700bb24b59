"""The one training loop: steps, and what happens between them (log, look, snapshot, save, stop).

The clock is images seen: real images shown to the critic, all critic steps counted.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError

from hqgan.data import Dataset, load_dataset, require_trainable, save_grid, to_uint8
from hqgan.errors import DataError, Interrupted, RunError, UsageError, no_memory
from hqgan.models import (
    About,
    Generator,
    Origin,
    find_snapshot,
    generate,
    parameter_count,
    read_about,
)
from hqgan.pretrained import locate
from hqgan.schema import Config
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.clock import Pace, crossed, marks
from hqgan.training.denoising import DenoisingTrainer
from hqgan.training.fabric import leave_group, make_fabric
from hqgan.training.finetune import start_from
from hqgan.training.guard import Guard
from hqgan.training.loggers import Log, require_loggers, tracking
from hqgan.training.runs import STATE, RunFolder, explained, require_continuable
from hqgan.training.signals import stop_signals
from hqgan.training.trainer import Trainer

LOG_EVERY = 1000  # images
GRID_COLUMNS = 8
GRID_ROWS = 12  # classes shown at most


@dataclass(frozen=True)
class Result:
    """What a finished training says of itself; the keys of `hqgan train --json`."""

    images_seen: int
    images_per_second: float
    generator_parameters: int
    critic_parameters: int
    snapshot: str


@dataclass(frozen=True)
class Callbacks:
    """How the loop talks to whoever started it; everything is optional."""

    message: Callable[[str], None] = lambda text: None
    decoding: Callable[[int, int], None] | None = None
    progress: Callable[[int, int, dict[str, float]], None] = lambda seen, goal, record: None
    stage: Callable[[str, int, int], None] = lambda name, done, total: None


def train(
    config: Config,
    out: Path,
    dataset: Dataset | None = None,
    callbacks: Callbacks | None = None,
    budget: float | None = None,
) -> Result:
    """Train, or continue, the run in folder `out` until `config.kimg` thousand images were seen.

    Args:
        config: see `hqgan.config.load_config`; "auto" device and precision are resolved here and
            written down.
        out: the run folder; a run that stopped there is continued.
        dataset: the training split, where the caller has it already; None loads `config.data.path`.
        callbacks: receivers of messages and progress.
        budget: seconds of training, interruptions not counted, after which the run ends before
            `config.kimg`.

    Raises:
        HqganError: unusable data, a run folder with another configuration or that cannot be
            written, divergence or collapse, or an interrupt (`Interrupted`, state saved).
    """
    tell = callbacks or Callbacks()
    fabric = make_fabric(config.device, config.precision)
    config = resolved(config, fabric)
    if config.batch % fabric.world_size or config.batch < 2 * fabric.world_size:
        raise UsageError(
            f"batch is {config.batch}, of which {fabric.world_size} processes cannot have equal "
            "shares of at least 2 images; choose a multiple"
        )
    require_loggers(config.loggers)
    require_continuable(out, config)  # before the data are decoded, which may take minutes
    if dataset is None:
        dataset = load_dataset(
            config.data.path, "train", config.size, label=config.data.label, progress=tell.decoding
        )
    require_trainable(dataset, config.batch)
    for warning in dataset.warnings:
        tell.message(f"warning: {warning}")
    if dataset.skipped:
        first = dataset.skipped[0]
        tell.message(
            f"{len(dataset.skipped)} files or rows were left out, the first is {first.id}: "
            f"{first.reason}; `hqgan data inspect` lists them all"
        )
    run = RunFolder.open(out, config) if fabric.is_global_zero else None
    fabric.barrier()
    try:
        training = Training(config, out, run, dataset, fabric, tell)
        told = tracking(config, out, training.seen, tell.message) if run else nullcontext(untold)
        with told as training.track:
            result = training.finish(budget)
        fabric.barrier()  # the others wait for the process that writes
        return result
    except (OSError, SafetensorError) as error:
        if no_memory(error):
            raise
        raise RunError(
            f"cannot read or write the run folder {out}: {error}; mend that, and the same command "
            "continues from the last saved state"
        ) from error
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the memory of {fabric.device} does not hold this training: lower --batch or --size, "
            "with another --out"
        ) from error
    finally:
        if run:
            run.close()
        leave_group()


class Training:
    """One run between its folder and its goal; made anew, it stands where the folder was saved.

    Args:
        config: resolved.
        out: the run folder.
        run: the same, opened, in the process that writes; None in the others.
        dataset: the training split.
        fabric: launched.
        tell: receivers of messages and progress.

    Raises:
        RunError: the saved state is damaged or belongs to other data.
        UsageError: the run is already further than `config.kimg`, or the fine-tuning cannot be.
    """

    def __init__(
        self,
        config: Config,
        out: Path,
        run: RunFolder | None,
        dataset: Dataset,
        fabric: Fabric,
        tell: Callbacks,
    ):
        self.config, self.out, self.run, self.tell = config, out, run, tell
        self.dataset, self.fabric = dataset, fabric
        self.trainer = make_trainer(config, dataset, fabric)
        self.guard, self.recent = Guard(config.loss.name), Recent()
        self.seen, self.goal = 0, round(1000 * config.kimg)
        self.seconds = 0.0  # of work, since the run began
        self.preparation = (0, 0.0)  # images and seconds of it before the first step
        self.budget = math.inf
        self.origin: Origin | None = None
        self.track: Log = untold
        state = fabric.broadcast(run.load_state() if run else None)
        if state is not None:
            with explained(out / STATE):
                self.load_state_dict(state)
            tell.message(f"continuing {out} at {self.seen:,} images")
        elif config.init is not None:
            source = locate(config.init.run)
            tell.message(start_from(source, self.trainer, config.init))
            self.origin = read_about(find_snapshot(source)).origin
            if self.origin:
                tell.message(self.origin.terms("this run and what it makes"))
        else:
            self.prepare()
        if run:
            run.begin(
                self.seen,
                device=str(fabric.device),
                precision=config.precision,
                processes=fabric.world_size,
            )

    def prepare(self) -> None:
        """Let the generator learn what it fixes beforehand; the images it looks at are counted."""
        generator = self.trainer.generator
        require_room(generator, self.config, len(self.dataset))
        if not generator.preparation(len(self.dataset)):
            return
        self.tell.message(f"{self.config.generator.name} prepares itself on the images")
        started = time.perf_counter()
        self.seen = self.trainer.prepare()
        self.seconds = time.perf_counter() - started
        self.preparation = (self.seen, self.seconds)

    def finish(self, budget: float | None = None) -> Result:
        """Step until the goal or the budget, then write the last snapshot and the state."""
        config = self.config
        self.budget = math.inf if budget is None else budget
        if self.seen < self.goal and self.seconds < self.budget:
            self.tell.message(
                f"training {config.generator.name} at {config.size} px on {len(self.dataset):,} "
                f"images of {len(self.dataset.classes)} classes ({config.device}, "
                f"{config.precision}); the first numbers come after {LOG_EVERY:,} images"
            )
            if budget is None:
                self.tell.stage("training", self.seen, self.goal)
        started, before, pace = time.perf_counter(), self.seen, Pace()
        with stop_signals() as stopped:
            while self.seen < self.goal and not self.anywhere(self.seconds >= self.budget):
                began = time.perf_counter()
                self.recent.add(self.trainer.step(self.seen))
                pace.add(config.batch, took := time.perf_counter() - began)
                self.seconds += took
                previous, self.seen = self.seen, self.seen + config.batch
                if crossed(previous, self.seen, LOG_EVERY):
                    self.log(time.perf_counter() - started, pace.take())
                for mark in marks(previous, self.seen):
                    if 1000 * mark < self.goal:
                        self.show(mark)
                stop = self.anywhere(stopped())
                if stop or crossed(previous, self.seen, 1000 * config.save_every_kimg):
                    self.save()
                if stop:
                    raise Interrupted(
                        f"stopped at {self.seen:,} images, all saved in {self.out}; "
                        "the same command continues"
                    )
        rate = (self.seen - before) / max(time.perf_counter() - started, 1e-9)
        snapshot = self.show(config.kimg if self.seen >= self.goal else self.seen / 1000)
        self.save()
        return Result(
            images_seen=self.seen,
            images_per_second=round(rate, 2),
            generator_parameters=parameter_count(self.trainer.generator),
            critic_parameters=parameter_count(self.trainer.critic) if self.trainer.critic else 0,
            snapshot=str(snapshot),
        )

    def log(self, seconds: float, rate: float) -> None:
        """One line of metrics.jsonl, judged by the guard once it is written.

        `seconds` are those since this process began to train, `rate` is that since the last line.
        """
        record = {
            "images_seen": self.seen,
            "images_generated": self.trainer.images_generated,
            **self.recent.take(),
        }
        timing = {"seconds": round(seconds, 3), "images_per_second": round(rate, 2)}
        if self.run:
            self.run.log(record | timing)
        self.track({k: v for k, v in (record | timing).items() if k != "images_seen"}, self.seen)
        warning = self.guard.check(record)
        if warning:
            self.tell.message("warning: " + warning)
        in_time = self.seen * self.budget / max(self.seconds, 1e-9)
        self.tell.progress(self.seen, int(min(self.goal, in_time)), record | timing)

    def show(self, kimg: float) -> Path:
        """Snapshot and sample grid named after `kimg`; returns the snapshot's folder."""
        if self.run is None:
            return self.out
        self.trainer.require_finite(self.seen)
        rows = range(min(len(self.dataset.classes), GRID_ROWS))
        labels = [y for y in rows for _ in range(GRID_COLUMNS)]
        average = self.trainer.average
        images = np.concatenate([to_uint8(x) for x in generate(average, labels, self.config.seed)])
        grid = save_grid(images, self.run.grid(kimg), GRID_COLUMNS)
        self.track({"samples": grid}, self.seen)
        about = About(
            generator=self.config.generator.name,
            classes=self.dataset.classes,
            class_counts=tuple(self.dataset.counts.tolist()),
            images_seen=self.seen,
            seed=self.config.seed,
            preset=self.config.preset,
            data_checksum=self.dataset.checksum,
            origin=self.origin,
        )
        return self.run.save_snapshot(average, about, kimg)

    def save(self) -> None:
        """Replace the saved state."""
        if self.run:
            self.trainer.require_finite(self.seen)
            self.run.save_state(self.state_dict())

    def anywhere(self, here: bool) -> bool:
        """Whether something is so in any process: all must leave the loop at the same step."""
        if self.fabric.world_size == 1:
            return here
        flag = torch.tensor(float(here), device=self.fabric.device)
        return bool(self.fabric.all_reduce(flag, reduce_op="sum"))

    def state_dict(self) -> dict[str, Any]:
        return {
            "images_seen": self.seen,
            "seconds": self.seconds,
            "preparation": self.preparation,
            "data_checksum": self.dataset.checksum,
            "trainer": self.trainer.state_dict(),
            "guard": self.guard.state_dict(),
            "recent": self.recent.state_dict(),
            "origin": self.origin and asdict(self.origin),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["data_checksum"] != self.dataset.checksum:
            raise RunError(
                f"{self.out} was trained on other data than {self.config.data.path} holds now; "
                "restore them or choose another --out"
            )
        self.seen, self.seconds = state["images_seen"], state["seconds"]
        self.preparation = state["preparation"]
        if self.seen - self.config.batch >= self.goal:
            raise UsageError(
                f"{self.out} has already seen {self.seen:,} images, more than kimg "
                f"{self.config.kimg:g} asks for; give a larger --kimg or choose another --out"
            )
        self.trainer.load_state_dict(state["trainer"])
        self.guard.load_state_dict(state["guard"])
        self.recent.load_state_dict(state["recent"])
        origin = state.get("origin")  # absent from states of hqgan before it was kept
        self.origin = origin and Origin(**origin)


def untold(values: Mapping[str, float | Path], images_seen: int) -> None:
    """No tracker."""


def resolved(config: Config, fabric: Fabric) -> Config:
    """The configuration with the device and precision that "auto" stands for."""
    precision = "bf16" if "bf16" in str(fabric._precision.precision) else "float32"
    return config.model_copy(update={"device": fabric.device.type, "precision": precision})


def require_room(generator: Generator, config: Config, images: int) -> None:
    """Raise unless the data and `config.kimg` suffice for what the generator does beforehand."""
    name = config.generator.name
    if images < generator.least_images:
        raise DataError(
            f"{name} needs at least {generator.least_images:,} training images, but "
            f"{config.data.path} has {images:,}; take more data, or lower its components"
        )
    beforehand = generator.preparation(images)
    if beforehand >= 1000 * config.kimg:
        raise UsageError(
            f"kimg is {config.kimg:g}, but {name} looks at {beforehand:,} images before its first "
            "step; give a larger --kimg"
        )


def make_trainer(config: Config, dataset: Dataset, fabric: Fabric) -> Trainer:
    """The trainer that a configuration needs."""
    kind = AdversarialTrainer if config.critic else DenoisingTrainer
    return kind(config, dataset, fabric)


class Recent:
    """Means of what the steps logged since the last line of metrics.jsonl."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, values: dict[str, float]) -> None:
        for key, value in values.items():
            self.sums[key] += value
            self.counts[key] += 1

    def take(self) -> dict[str, float]:
        means = {key: self.sums[key] / self.counts[key] for key in sorted(self.sums)}
        self.sums.clear()
        self.counts.clear()
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums.update(state["sums"])
        self.counts.update(state["counts"])
