"""The journal of paid jobs: nothing is sent to a quantum computer before it is written down here.

`jobs.jsonl` holds a line an event, flushed to disk before whatever follows it:

    intended    before the service is called: a tag, which goes to the service with the job
    submitted   the service took it: the tag and the job's id
    done, failed, cancelled    how it ended
    missing     the service knows no job of this tag: it never arrived, and costs nothing

A process killed between `intended` and `submitted` leaves a job that may run and may be paid; the
service is then asked for the tag (`collect.py`). A line cut in half by the kill was not
acted upon, for acting waits for the disk, so it is dropped.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from hqgan.errors import RunError
from hqgan.quantum.backends import is_time
from hqgan.training.runs import write_atomically
from hqgan.workflows.settings import locked

JOBS = "jobs.jsonl"
End = Literal["done", "failed", "cancelled", "missing"]
State = Literal["intended", "submitted", "done", "failed", "cancelled", "missing"]
OPEN: tuple[State, ...] = ("intended", "submitted")  # what has not ended, or not that we know


@dataclass(frozen=True)
class Job:
    """One job, as its events leave it.

    Attributes:
        part: which values it brings, such as "raw".
        tag: unique to this attempt; the service keeps it with the job.
        order: sha256 of what is asked for.
        backend: the device.
        time: of the intention, UTC, ISO 8601.
        estimated: seconds of QPU time that were expected.
        state: the last event.
        id: the service's name of it; None while that is not known.
        allowed: seconds of QPU time at which the service stops it; None where it is not told to.
        used: seconds of QPU time that the service counted; None where it did not say.
        reason: why it failed.
    """

    part: str
    tag: str
    order: str
    backend: str
    time: str
    estimated: float
    state: State = "intended"
    id: str | None = None
    allowed: float | None = None
    used: float | None = None
    reason: str | None = None

    @property
    def cost(self) -> float:
        """Seconds of QPU time to reckon with: those used, else those expected.

        What never arrived costs nothing, what may still run as much as it is allowed to; a failed
        job of which the service says nothing may have cost all that was expected.
        """
        if self.state == "missing":
            return 0.0
        if self.used is not None:
            return self.used
        return self.allowed if self.allowed is not None and self.state in OPEN else self.estimated


class Journal:
    """jobs.jsonl of one folder, held locked; made by `journal`."""

    def __init__(self, file: Path):
        self.file = file
        self.jobs: list[Job] = []
        whole, torn = lines_of(file)
        if torn:
            write_atomically(file, "".join(line + "\n" for line in whole).encode())
        for number, line in enumerate(whole, 1):
            self._take(number, line)

    def intend(
        self, part: str, order: str, backend: str, estimated: float, allowed: float | None = None
    ) -> Job:
        """Note a job that is about to be submitted; returns it with its new tag.

        Raises:
            RunError: the part has a job that may still run, or the note cannot be written.
        """
        live = self.latest(part)
        if live is not None and live.state in (*OPEN, "done"):
            raise RunError(
                f"{self.file} knows a job of the part {part!r} already ({live.id or live.tag}, "
                f"{live.state}); it is not paid twice"
            )
        tag = f"hqgan-{secrets.token_hex(8)}-{part}"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        job = Job(part, tag, order, backend, now, estimated, allowed=allowed)
        self._append(
            {
                "event": "intended",
                "time": now,
                "tag": tag,
                "part": part,
                "order": order,
                "backend": backend,
                "qpu_seconds": estimated,
                "allowed": allowed,
            }
        )
        self.jobs.append(job)
        return job

    def submitted(self, job: Job, id: str) -> Job:
        """Note the id that the service gave."""
        return self._event(job, "submitted", {"job": id})

    def ended(
        self, job: Job, end: End, *, used: float | None = None, reason: str | None = None
    ) -> Job:
        """Note how a job ended, the seconds of QPU time it used, and why it failed."""
        facts = {"job": job.id, "qpu_seconds": used, "reason": reason}
        return self._event(job, end, {k: v for k, v in facts.items() if v is not None})

    def latest(self, part: str) -> Job | None:
        """The last job of a part; None before the first."""
        return next((job for job in reversed(self.jobs) if job.part == part), None)

    @property
    def cost(self) -> float:
        """Seconds of QPU time that all jobs used, or may use."""
        return sum(job.cost for job in self.jobs)

    def _event(self, job: Job, event: State, facts: dict[str, Any]) -> Job:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"event": event, "time": now, "tag": job.tag, **facts}
        self._append(record)
        return self._apply(record)

    def _append(self, record: dict[str, Any]) -> None:
        try:
            with self.file.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise RunError(
                f"cannot write to {self.file}: {error.strerror}; without its journal no job is "
                "submitted, so make room or choose another --out"
            ) from error

    def _take(self, number: int, line: str) -> None:
        try:
            record = json.loads(line)
            if record["event"] == "intended":
                fields = ("part", "tag", "order", "backend", "time")
                part, tag, order, backend, time = (str(record[name]) for name in fields)
                datetime.fromisoformat(time)
                seconds, limit = record["qpu_seconds"], record.get("allowed")
                if not is_time(seconds) or not (limit is None or is_time(limit)):
                    raise ValueError(f"qpu_seconds {seconds!r:.40}, allowed {limit!r:.40}")
                seconds, allowed = float(seconds), None if limit is None else float(limit)
                self.jobs.append(Job(part, tag, order, backend, time, seconds, allowed=allowed))
            else:
                self._apply(record)
        except (
            *(ValueError, TypeError, KeyError, AttributeError),
            *(RecursionError, OverflowError),
        ) as error:
            raise RunError(
                f"line {number} of {self.file} is none that hqgan wrote ({error!r:.200}); it is "
                "the record of paid jobs, so restore it from a copy, or choose another --out"
            ) from error

    def _apply(self, record: dict[str, Any]) -> Job:
        event = record["event"]
        if event not in get_args(State):
            raise ValueError(f"event {event!r:.40}")
        id, used = record.get("job"), record.get("qpu_seconds")
        if not (id is None or isinstance(id, str)) or not (used is None or is_time(used)):
            raise ValueError(f"job {id!r:.40}, qpu_seconds {used!r:.40}")
        index = {job.tag: i for i, job in enumerate(self.jobs)}[record["tag"]]
        before = self.jobs[index]
        self.jobs[index] = replace(
            before,
            state=event,
            id=record.get("job", before.id),
            used=record.get("qpu_seconds", before.used),
            reason=record.get("reason", before.reason),
        )
        return self.jobs[index]


@contextmanager
def journal(folder: Path) -> Iterator[Journal]:
    """The journal of a folder, which is made and held locked inside.

    Raises:
        RunError: another process holds it, the folder cannot be written, or the file is damaged.
    """
    with locked(folder):
        yield Journal(folder / JOBS)


def lines_of(file: Path) -> tuple[list[str], str]:
    """The whole lines of a file, and what a kill left of one more; both empty without a file."""
    if not file.is_file():
        return [], ""
    *lines, torn = file.read_text(encoding="utf-8", errors="replace").split("\n")
    return lines, torn
