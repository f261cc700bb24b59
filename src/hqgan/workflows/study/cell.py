"""What all cells of a study are: a task with a folder of its own, done once.

A cell that cannot be done (a training that diverges, a class without any image) is done as well:
its record says why it `failed`, and so do those that need it. What goes wrong around it (a full
disk, data that are not there) is an error, and the same command tries again.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgan.data import Dataset, load_dataset, open_source
from hqgan.data.fractions import lesion_fraction
from hqgan.errors import HqganError, TrainingStopped, raise_if_of_the_machine
from hqgan.protocol import Protocol
from hqgan.training import Callbacks
from hqgan.training.fabric import make_fabric
from hqgan.training.runs import write_atomically

CELL = "cell.json"


class Impossible(HqganError):
    """A cell that no repetition would do."""


@dataclass(frozen=True)
class Study:
    """What all cells share: the study's folder, its protocol, the Inception weights if any."""

    out: Path
    protocol: Protocol
    weights: str | None = None

    def load(self, split: str, progress: Callable[[int, int], None] | None = None) -> Dataset:
        """One split of the data, whole."""
        p = self.protocol
        return load_dataset(p.data, split, p.size, label=p.label, progress=progress)

    def has_test(self) -> bool:
        """Whether there is a test split to open."""
        return bool(open_source(self.protocol.data, label=self.protocol.label).split("test"))


@dataclass(frozen=True)
class Cell(ABC):
    """One task of a study, picklable: a seed at a label fraction; `run` does it, once."""

    study: Study
    fraction: float
    seed: int

    @property
    def draw(self) -> str:
        """As folders call the fraction and the seed."""
        return f"f{self.fraction!r}-seed{self.seed}"

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the results lie."""

    @property
    def name(self) -> str:
        """As people call it."""
        return str(self.folder.relative_to(self.study.out))

    def train_split(self) -> Dataset:
        """The real images that this seed has at this fraction."""
        return lesion_fraction(self.study.load("train"), self.fraction, self.seed)

    @property
    def needs(self) -> tuple["Cell", ...]:
        """Cells that must be done before."""
        return ()

    def done(self) -> dict[str, Any] | None:
        """What `run` wrote, or None."""
        try:
            record: dict[str, Any] = json.loads((self.folder / CELL).read_text(encoding="utf-8"))
            whole = record["failed"] or self.is_there()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise_if_of_the_machine(error, self.folder)
            return None
        return record if whole else None

    def is_there(self) -> bool:
        """Whether the files that others read are there."""
        return True

    def run(self, tell: Callbacks) -> dict[str, Any]:
        """Do what is left to do; returns what `done` then does."""
        found = self.done()
        if found is not None:
            return found
        tell.message(f"{self.name}: begun")
        started = time.perf_counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.attempt(tell) | {"seconds": round(time.perf_counter() - started, 1)}
        write_atomically(self.folder / CELL, (json.dumps(record, indent=1) + "\n").encode())
        return record

    def attempt(self, tell: Callbacks) -> dict[str, Any]:
        """The work's record, or why it `failed`: repeated, it would fail in the same way."""
        for cell in self.needs:
            reason = (cell.done() or {}).get("failed")
            if reason:
                return {"failed": f"{cell.name}: {reason}"}
        try:
            return {"failed": None} | self.work(tell)
        except (TrainingStopped, Impossible) as error:
            tell.message(f"{self.name}: {error}")
            return {"failed": str(error)}

    @abstractmethod
    def work(self, tell: Callbacks) -> dict[str, Any]:
        """The work itself; its record is written when it is done."""

    @property
    def device(self) -> str:
        """Where classifiers are trained and images made."""
        return make_fabric(self.study.protocol.device, "float32").device.type
