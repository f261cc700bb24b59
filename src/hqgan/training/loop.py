"""The one training loop: steps, and what happens between them (log, look, snapshot, save, stop).

The clock is images seen: real images shown to the critic, all critic steps counted.
"""

import logging
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from hqgan.config import Config
from hqgan.data import Dataset, load_dataset, require_trainable, save_grid, to_uint8
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.models import About, generate, parameter_count
from hqgan.training.finetune import start_from
from hqgan.training.guard import Guard
from hqgan.training.runs import RunFolder
from hqgan.training.trainer import Trainer

LOG_EVERY = 1000  # images
GRID_COLUMNS = 8
GRID_ROWS = 12  # classes shown at most


class Interrupted(HqganError):
    """Ctrl-C or SIGTERM: the state has been saved; the same command continues (exit code 130)."""

    exit_code = 130


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


def train(
    config: Config, out: Path, dataset: Dataset | None = None, callbacks: Callbacks | None = None
) -> Result:
    """Train, or continue, the run in folder `out` until `config.kimg` thousand images were seen.

    Args:
        config: see `hqgan.config.load_config`; "auto" device and precision are resolved here and written down.
        out: the run folder; a run that stopped there is continued.
        dataset: the training split, where the caller has it already; None loads `config.data.path`.
        callbacks: receivers of messages and progress.

    Raises:
        HqganError: unusable data, a run folder with another configuration, divergence or collapse, or an interrupt
            (`Interrupted`, state saved).
    """
    tell = callbacks or Callbacks()
    fabric = make_fabric(config)
    config = config.model_copy(
        update={
            "device": fabric.device.type,
            "precision": "bf16" if "bf16" in str(fabric._precision.precision) else "float32",
        }
    )
    if config.batch % fabric.world_size:
        raise UsageError(
            f"batch is {config.batch}, which {fabric.world_size} processes cannot share equally"
        )
    if dataset is None:
        dataset = load_dataset(
            config.data.path, "train", config.size, label=config.data.label, progress=tell.decoding
        )
    require_trainable(dataset, config.batch)
    for warning in dataset.warnings:
        tell.message(warning)
    run = RunFolder.open(out, config) if fabric.is_global_zero else None
    fabric.barrier()
    try:
        return _train(config, out, run, dataset, fabric, tell)
    finally:
        if run:
            run.close()


def _train(
    config: Config,
    out: Path,
    run: RunFolder | None,
    dataset: Dataset,
    fabric: Fabric,
    tell: Callbacks,
) -> Result:
    trainer, guard = Trainer(config, dataset, fabric), Guard(config.loss.name)
    recent = Recent()
    state = RunFolder.load_state(run) if run else None
    state = fabric.broadcast(state)
    seen = 0
    if state is not None:
        if state["data_checksum"] != dataset.checksum:
            raise RunError(
                f"{out} was trained on other data than {config.data.path} holds now; restore them or choose another --out"
            )
        trainer.load_state_dict(state["trainer"])
        guard.load_state_dict(state["guard"])
        recent.load_state_dict(state["recent"])
        seen = state["images_seen"]
        if seen:
            tell.message(f"continuing {out} at {seen:,} images")
    elif config.init is not None:
        tell.message(start_from(Path(config.init.run), trainer, config.init))
    if run:
        run.rewind_log(seen)
        run.write_environment(
            device=str(fabric.device), precision=config.precision, processes=fabric.world_size
        )

    def about() -> About:
        return About(
            generator=config.generator.name,
            classes=dataset.classes,
            class_counts=tuple(
                int(n) for n in np.bincount(dataset.labels, minlength=len(dataset.classes))
            ),
            images_seen=seen,
            seed=config.seed,
            preset=config.preset,
            data_checksum=dataset.checksum,
        )

    def save() -> None:
        if run and trainer.is_finite():
            run.save_state(
                {
                    "images_seen": seen,
                    "data_checksum": dataset.checksum,
                    "trainer": trainer.state_dict(),
                    "guard": guard.state_dict(),
                    "recent": recent.state_dict(),
                }
            )

    def show(kimg: float) -> Path | None:
        """Snapshot and sample grid named after `kimg`."""
        if run is None:
            return None
        rows = range(min(len(dataset.classes), GRID_ROWS))
        labels = [y for y in rows for _ in range(GRID_COLUMNS)]
        images = np.concatenate(
            [to_uint8(x) for x in generate(trainer.average, labels, config.seed)]
        )
        save_grid(images, out / "samples" / f"{kimg:06g}.png", GRID_COLUMNS)
        return run.save_snapshot(trainer.average, about(), kimg)

    goal = round(1000 * config.kimg)
    started, before = time.perf_counter(), seen
    with stop_signals() as stopped:
        while seen < goal:
            recent.add(trainer.step(seen))
            previous, seen = seen, seen + config.batch
            if seen // LOG_EVERY > previous // LOG_EVERY:
                record = {
                    "images_seen": seen,
                    "images_generated": trainer.images_generated,
                    **recent.take(),
                }
                seconds = time.perf_counter() - started
                timing = {
                    "seconds": round(seconds, 3),
                    "images_per_second": round((seen - before) / seconds, 2),
                }
                warning = guard.check(record)
                if warning:
                    tell.message("warning: " + warning)
                if run:
                    run.log({**record, **timing})
                tell.progress(seen, goal, {**record, **timing})
            for mark in marks(previous, seen):
                if 1000 * mark < goal:
                    show(mark)
            if crossed(previous, seen, 1000 * config.save_every_kimg) and seen < goal:
                save()
            if stopped():
                save()
                raise Interrupted(
                    f"stopped at {seen:,} images, all saved in {out}; the same command continues"
                )
    rate = (seen - before) / max(time.perf_counter() - started, 1e-9)
    snapshot = show(config.kimg)
    save()
    return Result(
        images_seen=seen,
        images_per_second=round(rate, 2),
        generator_parameters=parameter_count(trainer.generator),
        critic_parameters=parameter_count(trainer.critic),
        snapshot=str(snapshot),
    )


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


def make_fabric(config: Config) -> Fabric:
    """Fabric for the device and precision asked for; several processes when started by torchrun.

    Raises:
        UsageError: for a device this machine does not have.
    """
    available = (
        ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    )
    device = (
        available[1]
        if config.device == "auto" and len(available) > 1
        else config.device.replace("auto", "cpu")
    )
    if device not in available:
        raise UsageError(f"device is {device!r}, but this machine offers {', '.join(available)}")
    precision = config.precision
    if precision == "auto":
        fast = (device == "cpu" and torch.cpu._is_avx512_bf16_supported()) or (
            device == "cuda" and torch.cuda.is_bf16_supported()
        )
        precision = "bf16" if fast else "float32"
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    logging.getLogger("lightning_fabric").setLevel(
        logging.WARNING
    )  # it announces the precision we report ourselves
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def marks(previous: int, seen: int) -> Iterator[float]:
    """Thousands of images at which to snapshot, 1, 2, 5, 10, 20, 50 ..., among those passed by the last step."""
    decade = 1
    while 1000 * decade <= seen:
        for digit in (1, 2, 5):
            if previous < 1000 * digit * decade <= seen:
                yield digit * decade
        decade *= 10


def crossed(previous: int, seen: int, every: float) -> bool:
    return int(seen // every) > int(previous // every)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question the loop asks after each step; a second one stops at once."""
    received: list[int] = []
    originals: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, originals[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            originals[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: whoever owns it handles signals
        pass
    try:
        yield lambda: bool(received)
    finally:
        for number, original in originals.items():
            signal.signal(number, original)
