"""Sending jobs and fetching their answers, so that none is lost and none is paid twice.

Before a job is sent its intention is in the journal, with a tag that the service keeps; its answer
is on disk before the journal says that it is done. Between any two steps the process may be killed:
the next one finds the job by its tag, or its answer by its id.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from hqgan.errors import HqganError, RunError, UsageError, raise_if_of_the_machine
from hqgan.quantum.backends import Device, DeviceError, is_time
from hqgan.workflows.hardware.arrays import are_expectations, load_arrays, save_arrays
from hqgan.workflows.hardware.journal import Job, Journal
from hqgan.workflows.hardware.plan import Part, Plan, answer

CEILING = 500.0  # seconds of QPU time; the open plan has about 600 in four weeks
GRACE = 60.0  # seconds of asking after which a job that the service does not know was never sent
PATIENCE = 600.0  # seconds of one failed call after another
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0  # seconds between calls of the service

CHARGED = "qpu_seconds"  # beside the values of an answer

T = TypeVar("T")
Message = Callable[[str], None]


class Answer(NamedTuple):
    """What all jobs of a plan gave: values, standard errors and raw values, (C, R, V) float64."""

    values: Tensor
    errors: Tensor
    raw: Tensor
    qpu_seconds: float | None


def require_affordable(
    plan: Plan, ceiling: float, parts: Sequence[Part] | None = None, spent: float = 0.0
) -> None:
    """UsageError where the parts that are to be sent (None: all) go beyond the ceiling.

    `spent` are the QPU seconds of jobs before.
    """
    parts = plan.parts if parts is None else parts
    due = sum(part.order.bill.qpu_seconds for part in parts)
    if spent + due > ceiling:
        before = f" beside {spent:,.3g} s of jobs before" if spent else ""
        fitting = int(plan.settings.n * max(ceiling - spent, 0.0) / plan.qpu_seconds)
        raise UsageError(
            f"these jobs would take about {due:,.3g} s of QPU time{before}, but --max-qpu-seconds "
            f"is {ceiling:g}; nothing was sent. Ask for fewer images (about {fitting} fit) or "
            "fewer shots, or raise the ceiling"
        )


def fetch(
    plan: Plan,
    notes: Journal,
    *,
    submit: bool,
    retry: bool = False,
    wait: bool = True,
    ceiling: float | None = CEILING,
    message: Message,
) -> Answer | None:
    """Send what was not sent, wait for what was, and put the answers together.

    Args:
        plan: its folder's journal is `notes`.
        notes: held by this process.
        submit: whether jobs may be sent at all.
        retry: whether a part whose job failed or was cancelled is sent again.
        wait: whether to wait for jobs in the queue.
        ceiling: the most seconds of QPU time for all jobs of the folder, those before included;
            None for no end of it.
        message: where to say what happens.

    Returns:
        None where jobs are still to be sent or waited for.

    Raises:
        UsageError: beyond the ceiling; nothing is sent.
        DeviceError: the service refused a job, or did not answer for `PATIENCE` seconds.
        RunError: a job failed or was cancelled.
    """
    mend(plan, notes, retry, message)
    if submit:
        send(plan, notes, retry=retry, ceiling=ceiling, message=message)
    pause, said = FIRST_PAUSE, ""
    while waiting := [
        p for p in unanswered(plan, notes) if not settled(plan, notes, p, retry, message)
    ]:
        if not wait:
            break
        text = f"waiting for {', '.join(job_of(notes, part).id or '' for part in waiting)}"
        if text != said:
            hint = "; interrupt at will, `hqgan hardware collect` fetches them later"
            message(text + (hint if plan.lasting else ""))
            said = text
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE)
    unsent = [part for part in plan.parts if state(notes, part) in (None, "missing")]
    failed = [part for part in plan.parts if state(notes, part) in ("failed", "cancelled")]
    if failed:
        reasons = "; ".join(
            f"{job.id or job.tag} {job.state} ({job.reason or 'no reason given'})"
            for job in (job_of(notes, part) for part in failed)
        )
        raise RunError(
            f"{len(failed)} of {len(plan.parts)} jobs brought nothing: {reasons}. The others are "
            f"kept in {plan.folder}; the same command with --retry sends the failed ones again"
        )
    if waiting or unsent:
        return None
    return together(plan, notes)


def mend(plan: Plan, notes: Journal, retry: bool, message: Message) -> None:
    """Find out what became of the jobs that an earlier process left open."""
    for part in plan.parts:
        job = notes.latest(part.name)
        if job is not None and job.state == "intended":
            look_for(plan, notes, job, message)
        elif job is not None and job.state == "submitted" and answered(plan, part):
            # Killed between the answer and its note.
            notes.ended(job, "done", used=charged_by(plan.folder / answer(part.name)))
    for part in unanswered(plan, notes):
        settled(plan, notes, part, retry, message)


def answered(plan: Plan, part: Part) -> bool:
    """Whether a job's answer is on disk."""
    return (plan.folder / answer(part.name)).is_file()


def unanswered(plan: Plan, notes: Journal) -> list[Part]:
    """The parts whose job was sent, and whose answer is not on disk."""
    sent = [part for part in plan.parts if state(notes, part) in ("submitted", "done")]
    return [part for part in sent if not answered(plan, part)]


def send(
    plan: Plan, notes: Journal, *, retry: bool, ceiling: float | None, message: Message
) -> None:
    """Submit the parts that no job of the journal stands for."""
    again = ("missing", "failed", "cancelled") if retry else ("missing",)
    due = [p for p in plan.parts if state(notes, p) is None or state(notes, p) in again]
    if not due:
        return
    if ceiling is not None:
        require_affordable(plan, ceiling, due, notes.cost)
    device = device_of(plan)
    unsent = sum(part.order.bill.qpu_seconds for part in due)
    for part in due:
        bill = part.order.bill
        allowed = None
        if ceiling is not None:  # all jobs together stay below it: each has its share
            share = bill.qpu_seconds / unsent if unsent else 1.0
            allowed = (ceiling - notes.cost) * share
        unsent -= bill.qpu_seconds
        order = part.order.sha256
        job = notes.intend(part.name, order, bill.backend, bill.qpu_seconds, allowed)
        try:
            id = device.submit(part.order, job.tag, ceiling=allowed)
        except DeviceError as error:
            # The request may have arrived and the answer been lost: never simply send it again.
            if not error.transient:
                raise  # the next command asks the service for the tag first
            message(f"{error}; asking the service whether the job arrived")
            if look_for(plan, notes, job, message).state == "missing":
                raise
        except HqganError as error:
            notes.ended(job, "missing", reason=f"refused here: {error}")
            raise
        else:
            job = notes.submitted(job, id)
            message(f"sent: job {id} to {bill.backend}")


def look_for(plan: Plan, notes: Journal, job: Job, message: Message) -> Job:
    """Ask the service for a job that was intended and may have been sent: submitted or missing.

    How long ago that was, by the clock of the wall, is not asked: clocks are set back and forth.
    """
    device = device_of(plan)
    # What runs in this process is known at once.
    end = time.monotonic() + (GRACE if plan.lasting else 0.0)
    while True:
        ids = patiently(lambda: device.find(job.tag), message)
        if ids:
            if len(ids) > 1:
                message(f"the service knows {len(ids)} jobs of tag {job.tag}; {ids[0]} is taken")
            message(f"found: job {ids[0]} had arrived")
            return notes.submitted(job, ids[0])
        left = end - time.monotonic()
        if left <= 0:
            message(f"the service knows no job of tag {job.tag}: it never arrived")
            return notes.ended(job, "missing")
        time.sleep(min(LONGEST_PAUSE, left))


def settled(plan: Plan, notes: Journal, part: Part, retry: bool, message: Message) -> bool:
    """Whether a job has ended; what it gave is then on disk and noted.

    A job that the service does not know is given up with `retry` alone: it may be another account
    that was asked.
    """
    device, job = device_of(plan), job_of(notes, part)
    id = job.id or ""
    try:
        status = patiently(lambda: device.status(id), message)
    except DeviceError as error:
        if error.transient or id in patiently(lambda: device.find(job.tag), message):
            raise
        if plan.lasting and not retry:
            raise DeviceError(
                f"{error}. The journal keeps the job {id}: with the account and instance that sent "
                "it, `hqgan hardware collect` fetches it. --retry gives it up and sends, and pays, "
                "another"
            ) from error
        # What ran in a process that is gone is gone.
        notes.ended(job, "failed" if plan.pays else "missing", reason=str(error))
        return True
    if status in ("queued", "running"):
        return False
    if status == "cancelled":
        used = charged(device, id)
        notes.ended(job, "cancelled", used=used, reason="cancelled at the service")
        return True
    try:
        measured = patiently(lambda: device.result(part.order, id), message)
    except DeviceError as error:
        if error.transient or status == "done":
            raise
        notes.ended(job, "failed", used=charged(device, id), reason=str(error))
        return True
    tensors = {"values": measured.values, "errors": measured.errors, "raw": measured.raw}
    arrays = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    used = measured.qpu_seconds
    # Whoever is killed before the journal knows of the answer leaves its price behind all the same.
    price = {} if used is None else {CHARGED: np.array(used)}
    save_arrays(plan.folder / answer(part.name), arrays | price)
    notes.ended(job, "done", used=used)
    message(f"done: job {id}")
    return True


def charged(device: Device, id: str) -> float | None:
    """Seconds of QPU time that a job without an answer took; None where that is not to be had."""
    try:
        return device.qpu_seconds(id)
    except DeviceError:
        return None


def charged_by(file: Path) -> float | None:
    """Seconds of QPU time that an answer on disk was charged with; None where it does not say."""
    try:
        seconds = load_arrays(file)[CHARGED].item()
    except (OSError, ValueError, KeyError) as error:  # `together` tells of a damaged answer
        raise_if_of_the_machine(error, file)
        return None
    return seconds if is_time(seconds) else None


def patiently(call: Callable[[], T], message: Message) -> T:
    """Call the service again after a failure that may pass, for `PATIENCE` seconds.

    Only for what may be asked twice: looking, never sending.
    """
    pause, end = FIRST_PAUSE, time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except DeviceError as error:
            if not error.transient or time.monotonic() + pause > end:
                raise
            message(f"{error}; asking again in {pause:.0f} s")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def together(plan: Plan, notes: Journal) -> Answer:
    """The answers of all jobs, from disk, image after image."""
    found = []
    for part in plan.parts:
        file = plan.folder / answer(part.name)
        try:
            arrays = load_arrays(file)
            read = [arrays[name] for name in ("values", "errors", "raw")]
            if not all(are_expectations(one) and one.shape == read[0].shape for one in read):
                raise ValueError("values are no expectation values, or of different shapes")
            found.append([torch.from_numpy(one) for one in read])
        except Exception as error:  # numpy raises whatever the damaged bytes lead it to
            raise_if_of_the_machine(error, file)
            raise RunError(
                f"{file} is damaged ({error}); delete it and `hqgan hardware collect` fetches it "
                "again from the service, without paying"
            ) from error
    values, errors, raw = (torch.cat(list(parts), 1) for parts in zip(*found, strict=True))
    used = [job.used for job in notes.jobs if job.state != "missing"]
    said = [seconds for seconds in used if seconds is not None]
    return Answer(values, errors, raw, sum(said) if len(said) == len(used) else None)


def state(notes: Journal, part: Part) -> str | None:
    """The state of a part's last job; None before the first."""
    job = notes.latest(part.name)
    return None if job is None else job.state


def job_of(notes: Journal, part: Part) -> Job:
    """A part's last job, which exists."""
    job = notes.latest(part.name)
    if job is None:
        raise KeyError(part.name)
    return job


def device_of(plan: Plan) -> Device:
    """The plan's device, which is open where jobs are left."""
    if not isinstance(plan.backend, Device):
        raise RunError(f"{plan.folder} has no job left to ask for")
    return plan.backend
