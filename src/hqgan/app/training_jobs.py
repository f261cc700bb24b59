"""Trainings that visitors start: one at a time, each in a process of its own, a few in a queue.

The process is `hqgan train`; its metrics.jsonl tells how far it is, SIGTERM makes it save and stop.
SIGINT would too, but what a shell runs in the background ignores that, and so do its children.
Whatever becomes of it, the page lives.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hqgan.app.limits import MOST_SECONDS, WAITING
from hqgan.app.sentences import UNEXPECTED, sentence
from hqgan.errors import HqganError, UsageError
from hqgan.models import snapshots
from hqgan.training.runs import CONFIG, METRICS, STATE, read_records

PATIENCE = 120.0  # seconds for a process to save after SIGTERM, before it is killed
NICE = 10  # the page comes first
INTERRUPTED = 130
LOG = "training.log"

log = logging.getLogger("hqgan.app")


class Stage(Enum):
    """What has become of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self in (Stage.DONE, Stage.STOPPED, Stage.FAILED)


@dataclass(frozen=True)
class Wish:
    """A training as it is asked for.

    Attributes:
        data: the folder of class folders.
        run: the folder of the run; its parent exists, or can be made.
        cache: where decoded images are kept.
        size, kimg, batch, seed: as of `hqgan train`.
        init: a packaged generator's name; None starts from scratch.
        assignments: further "a.b=c", as of `--set`.
    """

    data: Path
    run: Path
    cache: Path
    size: int
    kimg: float
    batch: int
    seed: int = 0
    init: str | None = None
    assignments: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """The process to start."""
        numbers = {"size": self.size, "kimg": self.kimg, "batch": self.batch, "seed": self.seed}
        flags = [word for key, value in numbers.items() for word in (f"--{key}", f"{value:g}")]
        init = ["--init", self.init] if self.init else []
        sets = [word for one in self.assignments for word in ("--set", one)]
        places = ["--data", str(self.data), "--out", str(self.run)]
        # No preset of the server's user, no configuration file: the page's own choice.
        return [sys.executable, "-m", "hqgan.cli", "train", "--preset", "hybridq"] + (
            places + flags + init + sets
        )


@dataclass(eq=False)
class Job:
    """One training, from the queue to its end."""

    wish: Wish
    stage: Stage = Stage.WAITING
    problem: str = ""
    began: float = 0.0
    ended: float = 0.0
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def goal(self) -> int:
        """Images to see."""
        return round(1000 * self.wish.kimg)

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, one every 1,000 images."""
        file = self.wish.run / METRICS
        try:
            return list(read_records(file))
        except OSError:  # not there yet, or the session has ended
            return []

    def since_record(self) -> float:
        """Seconds since the last line of metrics.jsonl; 0 where there is none."""
        with suppress(OSError):
            return max(0.0, time.time() - (self.wish.run / METRICS).stat().st_mtime)
        return 0.0

    @property
    def is_kept(self) -> bool:
        """Whether there is a run to take away or to go on with."""
        return (self.wish.run / CONFIG).is_file() and (self.wish.run / STATE).is_file()

    def grid(self) -> Path | None:
        """The newest sheet of samples, one row a class."""
        # Names are numbers of thousands, of equal width; a ".5" comes after the whole ones.
        found = sorted((self.wish.run / "samples").glob("*.png"), key=lambda f: float(f.stem))
        return found[-1] if found else None

    @property
    def snapshot(self) -> Path | None:
        """The newest generator; None before the first 1,000 images."""
        found = snapshots(self.wish.run)
        return found[-1] if found else None

    def said(self) -> str:
        """What the process said on stderr."""
        with suppress(OSError):
            return (self.wish.cache / LOG).read_text(encoding="utf-8", errors="replace")
        return ""


class Trainings:
    """The queue of all jobs, and the thread that runs the first of them.

    Args:
        waiting: jobs that may wait.
        most_seconds: of one training; then it is stopped, its state saved.
    """

    def __init__(self, waiting: int = WAITING, most_seconds: float = MOST_SECONDS):
        self.waiting, self.most_seconds = waiting, most_seconds
        self._jobs: deque[Job] = deque()  # the first one runs
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, wish: Wish) -> Job:
        """Queue a training; UsageError where too many wait."""
        with self._changed:
            if self._closed:
                raise UsageError("The server is shutting down.")
            if len(self._jobs) > self.waiting:
                raise UsageError(
                    f"One training runs and {self.waiting} wait, which is the most this server "
                    "takes; try again later."
                )
            job = Job(wish)
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="trainings", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def ahead_of(self, job: Job) -> int:
        """How many jobs come before a waiting one."""
        with self._changed:
            return self._jobs.index(job) if job in self._jobs else 0

    def cancel(self, job: Job) -> None:
        """Take a waiting job out; let a running one save and stop. Returns at once."""
        with self._changed:
            if job.stage is Stage.WAITING:
                self._jobs.remove(job)
                job.stage = Stage.STOPPED
            elif job.stage is Stage.RUNNING:
                job.stage = Stage.STOPPING
                if job.process is not None:
                    job.process.terminate()
                threading.Thread(target=_insist, args=(job,), daemon=True).start()

    def wait(self, job: Job, seconds: float) -> bool:
        """Wait for a job's end; whether it came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: job.stage.is_over, seconds)

    def close(self, seconds: float = PATIENCE) -> None:
        """Stop everything, the running job with its state saved."""
        with self._changed:
            self._closed = True
            jobs = list(self._jobs)
        for job in reversed(jobs):
            self.cancel(job)
        for job in jobs:
            if not self.wait(job, seconds) and job.process is not None:
                job.process.kill()
        with self._changed:
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                job = self._jobs[0]
                job.stage, job.began = Stage.RUNNING, time.monotonic()
            try:
                stage, problem = self._run(job)
            except Exception:  # the queue must go on whatever happens to one
                log.exception("a training could not start")
                stage, problem = Stage.FAILED, UNEXPECTED
            with self._changed:
                job.stage, job.problem, job.ended = stage, problem, time.monotonic()
                self._jobs.popleft()
                self._changed.notify_all()

    def _run(self, job: Job) -> tuple[Stage, str]:
        wish = job.wish
        wish.cache.mkdir(parents=True, exist_ok=True)
        wish.run.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "HQGAN_CACHE": str(wish.cache), "COLUMNS": "200"}
        with (wish.cache / LOG).open("wb") as said:
            # A group of its own: Ctrl-C in the server's terminal is for the server to pass on.
            process = subprocess.Popen(
                wish.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
                start_new_session=True,
            )
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        with self._changed:
            job.process = process
            if job.stage is Stage.STOPPING:  # asked for before there was a process
                process.terminate()
        try:
            code = process.wait(self.most_seconds)
        except subprocess.TimeoutExpired:
            self.cancel(job)
            code = process.wait()
        if code == 0:
            return Stage.DONE, ""
        if job.stage is Stage.STOPPING:
            return Stage.STOPPED, ""
        return Stage.FAILED, explanation(job, code)


def _insist(job: Job) -> None:
    """A process that does not stop is killed."""
    deadline = time.monotonic() + PATIENCE
    while not job.stage.is_over:
        if time.monotonic() > deadline and job.process is not None:
            job.process.kill()
            return
        time.sleep(0.5)


def explanation(job: Job, code: int) -> str:
    """Why a training failed, as `hqgan train` said it, without the server's paths."""
    log.error("a training ended with exit code %d: %s", code, job.said()[-4000:])
    errors = [line for line in job.said().splitlines() if line.startswith("error: ")]
    if not errors:
        return (
            f"The training ended unexpectedly (exit code {code}); the server's log has the details."
        )
    known = {str(job.wish.data): "your images", str(job.wish.run): "the run"}
    return sentence(HqganError(errors[-1].removeprefix("error: ")), known)
