"""Visitors: what each has made and uploaded, in a folder that goes with the visit."""

import logging
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hqgan.app.generating import Made
from hqgan.app.limits import GRACE, IDLE, MEGABYTE, SESSIONS, SPARE
from hqgan.app.model import Model
from hqgan.app.neighbours import TrainingImages
from hqgan.app.tidying import bytes_below
from hqgan.app.training_jobs import Job, Trainings
from hqgan.errors import UsageError

SWEEP = 5.0  # seconds between two looks for sessions that are over
KEPT = 300.0  # seconds for which nobody else's need for room takes an upload away

log = logging.getLogger("hqgan.app")


@dataclass(eq=False)
class Session:
    """One open page.

    Attributes:
        folder: its own, made with it and deleted with it.
        model, training_images: the generator of the first tab, and what it learned from.
        made: the latest images.
        selected: which of them was looked at last.
        data: the unpacked upload, and how many images the train split of it has.
        job: the latest training.
        kept: the latest of each kind of file, see `replace`.
        packed: a training that is over, and its run as a zip.
    """

    folder: Path
    model: Model
    training_images: TrainingImages
    made: Made | None = None
    selected: int = 0
    data: Path | None = None
    train_images: int = 0
    job: Job | None = None
    packed: tuple[Job, Path] | None = None
    kept: dict[str, Path] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)
    left: float | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_light(self) -> bool:
        """Whether it has nothing that cannot be made again by one click."""
        return self.data is None and (self.job is None or self.job.stage.is_over)

    @property
    def cache(self) -> Path:
        """Where what is made of the upload is kept: with it, not in the cache of the user."""
        return self.folder / "cache"

    def show(self, model: Model, training_images: TrainingImages) -> None:
        """Take another generator into the first tab."""
        with self.lock:
            self.model, self.training_images = model, training_images
            self.made, self.selected = None, 0

    def new_folder(self, name: str) -> Path:
        """A path in the session's folder where nothing is yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder)) / name

    def replace(self, what: str, file: Path) -> None:
        """Keep one of a kind: delete what `new_folder` gave for the one before."""
        with self.lock:
            before, self.kept[what] = self.kept.get(what), file
        if before is not None and before.parent.parent == self.folder:
            shutil.rmtree(before.parent, ignore_errors=True)

    def forget_upload(self) -> None:
        """Delete the images of the last upload, unless a training reads them."""
        if self.data is not None and (self.job is None or self.job.stage.is_over):
            top = next(p for p in (self.data, *self.data.parents) if p.parent == self.folder)
            shutil.rmtree(top, ignore_errors=True)
        self.data = None


class Sessions:
    """All open pages, by the word that Gradio gives each.

    Args:
        folder: below which each has its own; it belongs to the server alone.
        first: what every session shows at first.
        trainings: where jobs of sessions that end are cancelled.
        grace, idle: seconds, see `hqgan.app.limits`.
        most: sessions.
        most_bytes: of all their folders together, before another upload is unpacked.
    """

    def __init__(
        self,
        folder: Path,
        first: Callable[[], tuple[Model, TrainingImages]],
        trainings: Trainings,
        grace: float = GRACE,
        idle: float = IDLE,
        most: int = SESSIONS,
        most_bytes: float = math.inf,
    ):
        self.folder, self.first, self.trainings = folder, first, trainings
        self.grace, self.idle, self.most = grace, idle, most
        self.most_bytes = most_bytes
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def of(self, word: str | None) -> Session:
        """The session of a page, new where there is none; it counts as used now."""
        word = word or ""
        now = time.monotonic()
        with self._lock:
            session = self._open.get(word)
            if session is None:
                model, training_images = self.first()
                folder = Path(tempfile.mkdtemp(prefix="session-", dir=self.folder))
                session = self._open[word] = Session(folder, model, training_images)
            session.used, session.left = now, None
            others = [(name, one) for name, one in self._open.items() if name != word]
            others.sort(key=lambda item: (not item[1].is_light, item[1].used))
            excess = [name for name, _ in others[: max(0, len(self._open) - self.most)]]
        for name in excess:
            self.end(name)
        return session

    def make_room(self, session: Session, count: int) -> None:
        """Find room for so many bytes in a session's folder, if need be where others are idle.

        Raises:
            UsageError: there is none; try later.
        """
        folders = [one for one in self.folder.glob("session-*") if one != session.folder]
        sizes = {folder: bytes_below(folder) for folder in folders}
        spare = shutil.disk_usage(self.folder).free - SPARE

        def lacks() -> float:
            return max(sum(sizes.values()) + count - self.most_bytes, count - spare)

        with self._lock:
            idle = sorted(self._open.items(), key=lambda item: item[1].used)
        for word, one in idle:
            if lacks() <= 0:
                return
            is_idle = time.monotonic() - one.used > KEPT and (
                one.job is None or one.job.stage.is_over
            )
            if is_idle and one is not session and one.folder in sizes:
                self.end(word)
                spare += sizes.pop(one.folder)
        if lacks() > 0:
            raise UsageError(
                f"Your images need {count / MEGABYTE:,.0f} MB, for which the server has no room at "
                "the moment; send fewer or smaller ones, or try again in some minutes."
            )

    def reset(self, session: Session) -> None:
        """Show again what every session shows at first."""
        session.show(*self.first())

    def leave(self, word: str | None) -> None:
        """The page was closed, or its connection broke: the session ends unless it comes back."""
        with self._lock:
            if session := self._open.get(word or ""):
                session.left = time.monotonic()

    def end(self, word: str) -> None:
        """Delete all that belongs to a session; a training of it is stopped first."""
        with self._lock:
            session = self._open.pop(word, None)
        if session is None:
            return
        job = session.job
        if job is not None and not job.stage.is_over:
            self.trainings.cancel(job)

            def later() -> None:
                self.trainings.wait(job, 300)
                shutil.rmtree(session.folder, ignore_errors=True)

            threading.Thread(target=later, daemon=True).start()
            return
        shutil.rmtree(session.folder, ignore_errors=True)

    def sweep(self) -> None:
        """End the sessions whose page is gone or that were idle for long."""
        now = time.monotonic()
        with self._lock:
            over = [
                word
                for word, session in self._open.items()
                if (session.left is not None and now - session.left > self.grace)
                or (now - session.used > self.idle)
            ]
        for word in over:
            self.end(word)

    def keep_sweeping(self, *more: Callable[[], object]) -> None:
        """Sweep now and then, and do what is to be done with it, in a thread, until closed."""

        def work() -> None:
            while not self._closed.wait(SWEEP):
                for task in (self.sweep, *more):
                    try:
                        task()
                    except Exception:  # the next time, and the other ones, come all the same
                        log.exception("the page could not be tidied")

        threading.Thread(target=work, name="sessions", daemon=True).start()

    def close(self) -> None:
        """Delete every session's folder; trainings must have ended."""
        self._closed.set()
        with self._lock:
            sessions, self._open = list(self._open.values()), {}
        for session in sessions:
            shutil.rmtree(session.folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._open)
