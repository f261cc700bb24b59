"""Uploads between their arrival and the look at them: bounded for each visitor and in all.

A visitor never learns where a file lies, and names it by a word that is good for that visitor only.
"""

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hqgan.app.door.refusing import Refused
from hqgan.app.limits import MEGABYTE, SPARE, UPLOAD_AGE, UPLOADS_OF_VISITOR, UPLOADS_WAITING

GONE = "That upload is no longer here; please send it again."


@dataclass(eq=False)
class Upload:
    """One file.

    Attributes:
        owner: the visitor's word.
        network: the address that counts as theirs.
        path: where it lies.
        word: what the visitor calls it.
        began: by the shelf's clock.
        bytes: that have arrived.
        shown: what the visitor's own page calls it, which nothing else is made of.
        complete: whether all of it is there.
    """

    owner: str
    network: str
    path: Path
    word: str
    began: float
    bytes: int = 0
    shown: str = ""
    complete: bool = False


@dataclass
class Shelf:
    """The uploads that nobody has looked at.

    Args:
        folder: where they lie, nothing else with them.
        largest: bytes of one.
        of_visitor, in_all: as many of the largest find room.
        seconds: after which one is deleted.
        spare: bytes of the disk to leave free.
        clock: seconds; another one for tests.
    """

    folder: Path
    largest: int
    of_visitor: int = UPLOADS_OF_VISITOR
    in_all: int = UPLOADS_WAITING
    seconds: float = UPLOAD_AGE
    spare: int = SPARE
    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, Upload] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, owner: str, network: str) -> Upload:
        """A place for a new file; the visitor's oldest goes where there are too many."""
        with self._lock:
            self.sweep()
            own = [one for one in self._kept.values() if one.owner == owner and one.complete]
            for one in own[: max(0, len(own) - self.of_visitor + 1)]:
                self.drop(one)
            self.folder.mkdir(parents=True, exist_ok=True)
            word = secrets.token_urlsafe(16)
            upload = Upload(owner, network, self.folder / f"{word}.zip", word, self.clock())
            self._kept[word] = upload
            return upload

    def grow(self, upload: Upload, count: int) -> None:
        """Count bytes before they are written: others make room, oldest first, else Refused."""
        with self._lock:
            upload.bytes += count
            if upload.bytes > self.largest:
                raise Refused(
                    413, f"The file is larger than {self.largest / MEGABYTE:g} MB, the most taken."
                )
            most = self.in_all * self.largest
            for one in list(self._kept.values()):
                if self._sum() <= most:
                    break
                if one.complete:
                    self.drop(one)
            if self._sum() > most:
                raise Refused(503, "Too much is uploaded at the moment; please try again.", 30)
            if shutil.disk_usage(self.folder).free < self.spare + count:
                raise Refused(507, "The server has no room for uploads at the moment.", 60)

    def find(self, word: str, owner: str) -> Path:
        """The file of a visitor's word; Refused where there is none."""
        with self._lock:
            self.sweep()
            one = self._kept.get(word)
            if one is None or one.owner != owner or not one.complete:
                raise Refused(404, GONE)
            return one.path

    def drop(self, upload: Upload) -> None:
        """Delete one."""
        with self._lock:
            self._kept.pop(upload.word, None)
            upload.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what is too old, and forget what was looked at, which deletes it."""
        now = self.clock()
        with self._lock:
            for one in list(self._kept.values()):
                if one.complete and (now - one.began > self.seconds or not one.path.exists()):
                    self.drop(one)

    def _sum(self) -> int:
        return sum(one.bytes for one in self._kept.values())
