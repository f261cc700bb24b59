"""The n-th operation on a file fails, for one n after the other: a sentence, and nothing lost.

What SQLite's tests do to SQLite: `failing_io.c` lies between the process and the system and
refuses the n-th open, read, write, flush, rename and so on below a folder, whoever asks for it.
With `KILLS` of 500 every single operation of a training fails once; else a sample of them does.
"""

import errno
import itertools
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from faults.amounts import ALL, KILLS
from faults.canonical import contents
from faults.commands import Command, Place, augmentation, comparison, study, training
from faults.crashing import Answer, Server
from faults.kept_runtime import arrived
from faults.paid import hardware_order

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

CHAIN = 4  # failures of one command before it may finish
SHARES = {augmentation: 0.2, comparison: 0.2, study: 0.2}  # of KILLS
LASTING = 5  # one failure of so many does not go away
UNSAID = "was not written"  # the one thing that may be missing from a command that succeeds


def refusal(watched: Path, at: int, error: int, *, lasting: bool, changes: bool) -> dict[str, Any]:
    """What `Server.run` takes."""
    return {
        "refuse": {
            "folder": str(watched),
            "at": at,
            "error": error,
            "lasting": lasting,
            "changes": changes,
        }
    }


def assert_honest(answer: Answer, folder: Path, expected: dict[str, str]) -> None:
    """It failed in a sentence, or succeeded with all that belongs there, or says what does not."""
    where = f"{answer.failed} failed\n{answer.log}"
    assert answer.status in (0, 1), where
    assert "Traceback" not in answer.log, where
    if answer.status:
        assert "\nerror: " in "\n" + answer.log, where
    elif UNSAID not in answer.log:
        assert contents(folder) == expected, where


def test_a_training_survives_the_failure_of_any_operation_on_a_file(
    place: Place, preloaded: Server, figures: Counter[str]
) -> None:
    folder, watched = place.folder / "failing", place.folder.parent
    arguments = training(place, folder / "out")
    preloaded.finish(arguments, folder)
    expected = contents(folder)
    kinds = [  # a disk that does not answer once, a full one, one that does not answer any more
        {"error": errno.EIO, "changes": False, "lasting": False},
        {"error": errno.ENOSPC, "changes": True, "lasting": True},
        {"error": errno.EIO, "changes": False, "lasting": True},
    ]
    for kind in kinds:
        shutil.rmtree(folder)
        count = preloaded.finish(arguments, folder, **refusal(watched, 0, **kind)).io_operations
        numbers: Any = range(1, count + 1)
        if KILLS < ALL or (kind["error"] == errno.EIO and kind["lasting"]):
            numbers = random.Random(count).sample(numbers, min(count, max(KILLS // LASTING, 3)))
        for number in numbers:
            shutil.rmtree(folder, ignore_errors=True)
            answer = preloaded.run(arguments, folder, **refusal(watched, number, **kind))
            assert answer.failed
            assert_honest(answer, folder, expected)
            if answer.status and not folder.exists():
                figures["operations on files failed: a sentence before anything was written"] += 1
                continue
            preloaded.finish(arguments, folder)
            assert contents(folder) == expected, f"{answer.failed}\n{answer.log}"
            figures["operations on files failed: a sentence, and the same result afterwards"] += 1


@pytest.mark.parametrize("command", SHARES, ids=lambda one: one.__name__)
def test_longer_commands_survive_failures_of_their_files(
    command: Command, place: Place, preloaded: Server, figures: Counter[str]
) -> None:
    folder, watched = place.folder / f"failing-{command.__name__}", place.folder.parent
    arguments = command(place, folder / "out")
    preloaded.finish(arguments, folder)
    expected = contents(folder)
    survive_failures(
        preloaded, arguments, folder, watched, expected, KILLS * SHARES[command], figures
    )


def survive_failures(
    preloaded: Server,
    arguments: list[str],
    folder: Path,
    watched: Path,
    expected: dict[str, str],
    wanted: float,
    figures: Counter[str],
    **more: Any,
) -> None:
    """Fail at random operations, several times until the command gets through, and compare."""
    rng = random.Random(arguments[0])
    counts = {}
    for changes in (False, True):
        shutil.rmtree(folder)
        answer = preloaded.finish(
            arguments, folder, **refusal(watched, 0, 0, lasting=False, changes=changes), **more
        )
        counts[changes] = answer.io_operations
    failures = 0
    while failures < wanted:
        shutil.rmtree(folder)
        for _ in range(CHAIN):
            changes = bool(rng.randrange(2))
            at = rng.randint(1, counts[changes])
            error = errno.ENOSPC if changes and rng.randrange(2) else errno.EIO
            lasting = not rng.randrange(LASTING)
            kind = refusal(watched, at, error, lasting=lasting, changes=changes)
            answer = preloaded.run(arguments, folder, **kind, **more)
            failures += bool(answer.failed)
            assert_honest(answer, folder, expected)
            if not answer.status:
                break
        preloaded.finish(arguments, folder, **more)
        assert contents(folder) == expected, f"{answer.failed}\n{answer.log}"
    figures[f"failing files of {arguments[0]}: the same result afterwards"] += failures


def test_a_paid_job_is_sent_once_whatever_file_fails(
    place: Place, preloaded: Server, figures: Counter[str]
) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    folder = place.folder / "failing-hardware"
    service, out = folder / "service", folder / "out"
    order, more = hardware_order(place, service, out)
    preloaded.finish(order, out, **more)
    expected = contents(out)
    watched = refusal(out, 0, errno.EIO, lasting=False, changes=False)
    shutil.rmtree(folder)
    count = preloaded.finish(order, out, **watched, **more).io_operations
    numbers = itertools.count(1, 1 if KILLS >= ALL else max(1, count // KILLS))
    for number in itertools.takewhile(lambda number: number <= count, numbers):
        shutil.rmtree(folder)
        watched["refuse"]["at"] = number
        answer = preloaded.run(order, out, **watched, **more)
        assert answer.failed
        assert_honest(answer, out, expected)
        preloaded.finish(order, out, **more)
        assert contents(out) == expected, f"{answer.failed}\n{answer.log}"
        assert len(arrived(service)) == 1, f"{answer.failed}\n{answer.log}"
        figures["failing files of hardware sample: one job, the same result afterwards"] += 1
