"""Experiment trackers beside metrics.jsonl, which stays the record: TensorBoard, W&B, MLflow.

An adapter is one function, `log(values, images_seen)`, where a value is a number or the path of a
picture. A tracker that fails costs a warning and never the training. A continued run goes on in the
same run of its trackers, whose names RUN/trackers.json keeps.
"""

import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from hqgan.errors import MissingExtra
from hqgan.schema import Config
from hqgan.training.runs import write_atomically

NAMES = "trackers.json"
PROJECT = "hqgan"
PATIENCE = "30"  # seconds for a tracker's server to answer
RETRIES = "1"

Log = Callable[[Mapping[str, float | Path], int], None]


@dataclass(frozen=True)
class Job:
    """What a tracker is told of a run: its folder, its settings, and where it continues.

    `names` are the trackers' own names of this run, which an adapter reads and fills.
    """

    run: Path
    settings: dict[str, Any]
    images_seen: int
    names: dict[str, str]


def require_loggers(names: tuple[str, ...]) -> None:
    """Raise MissingExtra before a training for which a tracker is asked that is not there."""
    for name in names:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of this name, which trackers leave
            raise MissingExtra(name, "loggers", f"--logger {name}")


@contextmanager
def tracking(
    config: Config, run: Path, images_seen: int, message: Callable[[str], None]
) -> Iterator[Log]:
    """One function that tells all trackers of a run, which are closed at the end of the block.

    Args:
        config: whose `loggers` are opened.
        run: the run folder, which exists.
        images_seen: where the run continues.
        message: where to say what happens.
    """
    file = run / NAMES
    names: dict[str, str] = {}
    if config.loggers:
        with suppress(OSError, ValueError, TypeError, RecursionError):
            names = dict(json.loads(file.read_text(encoding="utf-8")))
    job = Job(run, flat(config.model_dump(mode="json")), images_seen, names)
    with ExitStack() as stack:
        logs = [
            stack.enter_context(guarded(n, job, message)) for n in dict.fromkeys(config.loggers)
        ]
        if names:
            write_atomically(file, (json.dumps(names, indent=1) + "\n").encode())

        def log(values: Mapping[str, float | Path], images_seen: int) -> None:
            for each in logs:
                each(values, images_seen)

        yield log


@contextmanager
def guarded(name: str, job: Job, message: Callable[[str], None]) -> Iterator[Log]:
    """An adapter whose failures are sentences; after the first it is not asked again."""
    works = True

    def failed(error: Exception) -> None:
        nonlocal works
        works = False
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        message(f"warning: {name} is given up ({first}); the training goes on without it")

    tracker = ADAPTERS[name](job)
    opened: Log | None = None
    try:
        opened = tracker.__enter__()
    except Exception as error:
        failed(error)

    def log(values: Mapping[str, float | Path], images_seen: int) -> None:
        if works and opened is not None:
            try:
                opened(values, images_seen)
            except Exception as error:
                failed(error)

    if opened is not None and name in job.names:
        message(f"{name}: {job.names[name]}")
    try:
        yield log
    finally:
        if opened is not None:
            reason = sys.exc_info()
            try:
                tracker.__exit__(*reason)
            except Exception as error:
                if error is not reason[1]:
                    failed(error)


@contextmanager
def tensorboard(job: Job) -> Generator[Log]:
    """Event files in RUN/tensorboard, for `tensorboard --logdir RUN`."""
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    folder = job.run / "tensorboard"
    # What a killed run wrote after its last saved state is written again.
    writer = SummaryWriter(str(folder), purge_step=job.images_seen + 1 if job.images_seen else None)
    job.names["tensorboard"] = str(folder)
    if not job.images_seen:
        writer.add_text("config", "\n".join(f"    {k}: {v}" for k, v in job.settings.items()), 0)

    def log(values: Mapping[str, float | Path], images_seen: int) -> None:
        for key, value in values.items():
            if isinstance(value, Path):
                with Image.open(value) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                writer.add_image(key, pixels, images_seen, dataformats="HWC")
            else:
                writer.add_scalar(key, value, images_seen)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def wandb(job: Job) -> Generator[Log]:
    """A run of Weights & Biases, in WANDB_PROJECT (hqgan); RUN/wandb holds its files."""
    import wandb as client

    known = job.names.get("wandb", "").rpartition("/")[2] or uuid4().hex[:8]
    mode: Any = os.environ.get("WANDB_MODE")  # it would remember that of its first import
    timeout = float(os.environ.get("WANDB_INIT_TIMEOUT", PATIENCE))
    run = client.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=os.environ.get("WANDB_NAME", job.run.name),
        id=known,
        resume="allow",
        dir=str(job.run),
        mode=mode,
        config=job.settings,
        settings=client.Settings(silent=True, console="off", init_timeout=timeout),
    )
    job.names["wandb"] = known if run.offline else run.url or known
    # Steps of its own would refuse what a continued run repeats.
    run.define_metric("images_seen")
    run.define_metric("*", step_metric="images_seen")

    def log(values: Mapping[str, float | Path], images_seen: int) -> None:
        shown = {k: client.Image(str(v)) if isinstance(v, Path) else v for k, v in values.items()}
        run.log({**shown, "images_seen": images_seen})

    code = 1
    try:
        yield log
        code = 0
    finally:
        run.finish(exit_code=code)


@contextmanager
def mlflow(job: Job) -> Generator[Log]:
    """A run of MLflow, in MLFLOW_EXPERIMENT_NAME (hqgan) at MLFLOW_TRACKING_URI or RUN/mlruns."""
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if address is None:
        address = (job.run / "mlruns").absolute().as_uri()
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it wants a data base otherwise
    else:  # a server that is down must not hold up a training for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", PATIENCE)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=address)
    known = job.names.get("mlflow")
    try:
        if known is not None:
            client.update_run(known, status="RUNNING")
    except MlflowException:  # of another server
        known = None
    if known is None:
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        known = client.create_run(number, run_name=job.run.name).info.run_id
        for key, value in job.settings.items():
            client.log_param(known, key, value)
    job.names["mlflow"] = known

    def log(values: Mapping[str, float | Path], images_seen: int) -> None:
        for key, value in values.items():
            if isinstance(value, Path):
                with Image.open(value) as picture:
                    client.log_image(known, picture.convert("RGB"), key=key, step=images_seen)
            else:
                client.log_metric(known, key, value, step=images_seen)

    status = "KILLED"
    try:
        yield log
        status = "FINISHED"
    finally:
        client.set_terminated(known, status)


ADAPTERS: dict[str, Callable[[Job], AbstractContextManager[Log]]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
    "mlflow": mlflow,
}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return found
