"""Run a study: what `hqgan study` does."""

import json
import time
from contextlib import closing
from datetime import UTC, datetime

from hqgan.config import to_yaml
from hqgan.data import Dataset
from hqgan.errors import DataError, Interrupted, RunError
from hqgan.training import Callbacks
from hqgan.training.runs import LOCK, acquire, write_atomically
from hqgan.workflows.executor import LOCAL, Executor, run_all, still
from hqgan.workflows.settings import begin
from hqgan.workflows.study.cell import Cell
from hqgan.workflows.study.plan import OPENED, PROTOCOL, Plan
from hqgan.workflows.study.results import StudyResult, tabulate


def study(
    chosen: Plan,
    *,
    final: bool = False,
    executor: Executor = LOCAL,
    callbacks: Callbacks | None = None,
) -> StudyResult:
    """Do the cells that are not done yet, then test every classifier on val, or once on test.

    Args:
        chosen: see `plan`.
        final: opens the test split, after all training; test-opened.json records it.
        executor: the one that the study was planned for.
        callbacks: receivers of messages and progress.

    Raises:
        DataError: `final` without a test split.
        RunError: another process is at this study, or its folder cannot be written.
        HqganError: as the cells and `run_all` do; what is done is kept.
    """
    tell = callbacks or Callbacks()
    study = chosen.study
    if final and not study.has_test():
        raise DataError(
            f"{study.protocol.data} has no test split that --final could open; leave it out, or "
            "add one"
        )
    try:
        study.out.mkdir(parents=True, exist_ok=True)
        with acquire(study.out / LOCK):
            write_atomically(study.out / PROTOCOL, to_yaml(study.protocol).encode())
            begin(study.out, chosen.settings)
            run_stages(chosen, executor, tell)
            return tabulate(chosen, open_test(chosen) if final else chosen.val, final)
    except OSError as error:
        raise RunError(
            f"cannot write to {study.out}: {error.strerror or error}; mend that, and the same "
            "command continues"
        ) from error
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"stopped; what is done is kept in {study.out}, and the same command continues"
        ) from error


def run_stages(chosen: Plan, executor: Executor, tell: Callbacks) -> None:
    """Do what is left of each stage, one after the other."""
    for stage in chosen.stages:
        left = [cell for cell in stage if cell.done() is None]
        started = time.monotonic()
        with closing(run_all(run_cell, left, executor, tell)) as answers:
            for count, (index, record) in enumerate(answers, 1):
                seconds = record["seconds"]
                tell.message(
                    f"{left[index].name}: done in {seconds:.0f} s, {count} of {len(left)}"
                    f"{still(started, count, left)}"
                )


def open_test(chosen: Plan) -> Dataset:
    """The test split, and the record that it was opened, once."""
    test = chosen.study.load("test")
    opened = chosen.study.out / OPENED
    if opened.is_file():
        return test
    if any((cell.folder / f"{test.split}.npy").exists() for cell in chosen.classifiers):
        raise RunError(
            f"test was opened in this study before, but {opened}, which says when, is gone; "
            "restore it"
        )
    about = {"opened": datetime.now(UTC).isoformat(), "checksum": test.checksum}
    write_atomically(opened, (json.dumps(about, indent=1) + "\n").encode())
    return test


def run_cell(cell: Cell, tell: Callbacks | None = None) -> dict[str, object]:
    """Module-level, for clusters."""
    return cell.run(tell or Callbacks())
