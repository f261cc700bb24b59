"""After a crash or a long queue: fetch what the journals of a run know of, finish its results."""

from collections.abc import Iterator
from pathlib import Path

from hqgan.errors import HqganError, RunError
from hqgan.evaluation import Extractor
from hqgan.workflows.hardware.jobs import Message
from hqgan.workflows.hardware.judging import reference_of
from hqgan.workflows.hardware.order_files import ORDER
from hqgan.workflows.hardware.plan import FOLDER, restored
from hqgan.workflows.hardware.sample import Hardware, Progress, sample


def collect(
    run: Path,
    extractor: Extractor | None = None,
    *,
    backend: str | None = None,
    wait: bool = True,
    message: Message = lambda text: None,
    progress: Progress | None = None,
) -> Iterator[Hardware]:
    """Yield each order whose answers are all there, of a run or of one folder of results.

    Nothing is sent. An order that cannot be finished is said so in a message, and does not keep the
    others from being finished.

    Args:
        run: a run folder with `hardware/`, a snapshot in it, or a folder of results.
        extractor: see `load_extractor`; None measures no kid768.
        backend: the spec of the orders, where that is code (`python:`), which is not run unless it
            is named.
        wait: whether to wait for jobs in the queue.
        message: where to say what happens.
        progress: called as progress(stage, done, total).

    Raises:
        RunError: nothing was ordered there.
        HqganError: at the end, the first reason for which an order could not be finished.
    """
    failure: HqganError | None = None
    for folder in ordered(run):
        try:
            plan = restored(folder, backend)
            settings = plan.settings
            reference = reference_of(plan.snapshot, settings.n, settings.data, settings.label)
            found = sample(
                plan, reference, extractor, wait=wait, message=message, progress=progress
            )
        except HqganError as error:
            message(f"{folder}: {error}")
            failure = failure or error
            continue
        if found is None:
            message(
                f"{folder}: not all jobs are done, or some were never sent; repeat later, or "
                "send them with the command that ordered them"
            )
        else:
            yield found
    if failure is not None:
        raise failure


def ordered(run: Path) -> list[Path]:
    """The folders of results of a run, of a snapshot's run, or the one that is named itself."""
    if (run / ORDER).is_file():
        return [run]
    for place in (run, run.parent):
        found = sorted(file.parent for file in (place / FOLDER).glob(f"*/{ORDER}"))
        if found:
            return found
    raise RunError(
        f"nothing was ordered in {run}: no {FOLDER}/*/{ORDER} there; name a run with results of "
        "`hqgan hardware sample`, or the folder of one of them"
    )
